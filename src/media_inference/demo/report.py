"""The demo's report: one HTML page beside its pictures, without anything from elsewhere."""

from collections.abc import Callable, Iterable
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from media_inference.demo.result import DemoResult, Face, JobResult, ModelUsed, Neighbour, PhotoResult
from media_inference.models.kinds import Kind

Item = TypeVar("Item")

_KINDS = {
    Kind.IMAGE_EMBEDDER: "Pictures to vectors",
    Kind.FACE_DETECTOR: "Where faces are",
    Kind.FACE_EMBEDDER: "Faces to vectors",
}


def write_report(result: DemoResult, out: Path) -> Path:
    """Writes ``report.html`` into ``out``, where its pictures are already; returns its path."""
    path = out / "report.html"
    path.write_text(render(result), encoding="utf-8")
    return path


def render(result: DemoResult) -> str:
    """The page. Every text in it is escaped, every link relative."""
    style = files("media_inference.demo").joinpath("report.css").read_text(encoding="utf-8")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>media-inference demo</title>
<style>
{style}</style>
</head>
<body>
<header>
<h1>media-inference demo</h1>
{_summary(result)}
{_each(_notice, result.notices)}
</header>
<main>
<section aria-labelledby="photos">
<h2 id="photos">Photos</h2>
{_each(lambda numbered: _photo(*numbered, result), enumerate(result.photos, 1))}
</section>
<section aria-labelledby="models">
<h2 id="models">Models that ran</h2>
<ul class="models">
{_each(_model, result.models)}
</ul>
</section>
</main>
<footer>
<p>Made by media-inference {escape(result.version)}: photos uploaded, jobs asked for, results and neighbours read over
HTTP with a signed token. Scores are cosines: 1 is the same, 0 has nothing in common.</p>
</footer>
</body>
</html>
"""


def _summary(result: DemoResult) -> str:
    failed = len(list(result.failed()))
    state, words = ("failed", f"{failed} of {result.jobs} jobs failed") if failed else ("completed", "all completed")
    facts = {
        "Photos": str(len(result.photos)),
        "Jobs": str(result.jobs),
        "Faces": str(result.faces),
        "Start": f"{result.start_seconds:.1f} s",
        "Work": f"{result.work_seconds:.1f} s",
    }
    listed = _each(lambda fact: f"<div><dt>{fact[0]}</dt><dd>{fact[1]}</dd></div>", facts.items())
    return f'<p class="status {state}">{words}</p>\n<dl class="facts">\n{listed}\n</dl>'


def _notice(notice: str) -> str:
    return f'<p class="notice">{escape(notice)}</p>'


def _photo(number: int, photo: PhotoResult, result: DemoResult) -> str:
    size = f"{photo.width} × {photo.height}" if photo.width else "not decoded"
    return f"""<article class="photo" aria-labelledby="photo-{number}">
<div class="shown">
{_picture(photo)}
</div>
<div class="told">
<h3 id="photo-{number}">{escape(photo.name)}</h3>
<p class="quiet">{size} · {_count(len(photo.faces), "face")}</p>
<ul class="jobs">
{_each(_job, photo.jobs)}
</ul>
{_neighbours("Similar photos", photo.neighbours, result.model(Kind.IMAGE_EMBEDDER))}
{_each(lambda face: _face(face, result.model(Kind.FACE_EMBEDDER)), photo.faces)}
</div>
</article>"""


def _picture(photo: PhotoResult) -> str:
    if photo.picture is None:
        return '<p class="missing">This file could not be shown.</p>'
    marked = f", with {_count(len(photo.faces), 'face')} marked" if photo.faces else ""
    return (
        f'<a href="{_link(photo.picture)}"><img src="{_link(photo.picture)}" alt="{escape(photo.name)}{marked}" '
        f'width="{photo.width}" height="{photo.height}" loading="lazy"></a>'
    )


def _job(job: JobResult) -> str:
    times = "" if job.worked_ms is None else f' <span class="quiet">{_duration(job.worked_ms)}</span>'
    failure = (
        ""
        if job.failure is None
        else f'<br><span class="why">{escape(f"{job.failure.code}: {job.failure.message}")}</span>'
    )
    state = "completed" if job.status == "completed" else "failed"
    return f'<li><span class="dot {state}"></span>{escape(job.task_type)}: {escape(job.status)}{times}{failure}</li>'


def _face(face: Face, model: ModelUsed | None) -> str:
    label = f"Face {face.index}"
    crop = "" if face.crop is None else f'<img src="{_link(face.crop)}" alt="{label}" loading="lazy">'
    return f"""<div class="face">
<figure>{crop}<figcaption>{label}<br><span class="quiet">confidence {face.confidence:.2f}</span></figcaption></figure>
<div>
{_neighbours("Similar faces", face.neighbours, model)}
</div>
</div>"""


def _neighbours(title: str, neighbours: Iterable[Neighbour], model: ModelUsed | None) -> str:
    shown = _each(lambda neighbour: _neighbour(neighbour, model), neighbours)
    return f'<h4>{title}</h4>\n<ol class="neighbours">\n{shown}\n</ol>' if shown else ""


def _neighbour(neighbour: Neighbour, model: ModelUsed | None) -> str:
    name = neighbour.name if neighbour.face_index is None else f"{neighbour.name}, face {neighbour.face_index}"
    image = "" if neighbour.image is None else f'<img src="{_link(neighbour.image)}" alt="" loading="lazy">'
    alike = model is not None and neighbour.score >= model.threshold
    verdict = ' <span class="alike">alike</span>' if alike else ""
    return (
        f'<li>{image}<span class="name">{escape(name)}</span>'
        f'<span class="score"><meter min="0" max="1" value="{max(0.0, min(1.0, neighbour.score)):.3f}" '
        f'aria-hidden="true"></meter> {neighbour.score:.3f}{verdict}</span></li>'
    )


def _model(model: ModelUsed) -> str:
    notes = _each(lambda note: f'<p class="quiet">{escape(note)}</p>', model.notes)
    return (
        f'<li><p class="quiet">{_KINDS[model.kind]}</p><h3>{escape(model.name)}</h3><p>{escape(model.summary)}</p>'
        f'{notes}<p class="quiet">{escape(model.licence)} · {_threshold(model)}</p></li>'
    )


def _threshold(model: ModelUsed) -> str:
    if model.kind is Kind.FACE_DETECTOR:
        return f"faces from confidence {model.threshold:g}"
    return f"“alike” from score {model.threshold:g}"


def _each(render_one: Callable[[Item], str], items: Iterable[Item]) -> str:
    return "\n".join(render_one(item) for item in items)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _duration(milliseconds: int) -> str:
    return f"{milliseconds} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"


def _link(path: str) -> str:
    return escape(quote(path))
