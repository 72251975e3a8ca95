"""The report and the table are made from plain values alone, so every text in them can be tried."""

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from media_inference.demo.report import render, write_report
from media_inference.demo.result import (
    DemoResult,
    Face,
    Failure,
    JobResult,
    ModelUsed,
    Neighbour,
    PhotoResult,
)
from media_inference.demo.table import table_of
from media_inference.models.kinds import Kind

NASTY = '<script>alert("1")</script> & [red]\'.png'
VOID = {"meta", "img", "br"}

DONE = tuple(
    JobResult(task, "completed", "id", waited_ms=5, worked_ms=1234)
    for task in ("image_embedding", "face_detection", "face_embedding")
)
BROKEN = tuple(
    JobResult(task, "failed", failure=Failure("image_corrupt", f"damaged {NASTY}"))
    for task in ("image_embedding", "face_detection", "face_embedding")
)
FACE = Face(
    index=0,
    box=(10.0, 20.0, 30.0, 40.0),
    landmarks=((15.0, 30.0),),
    confidence=0.987,
    crop="faces/01-0.jpg",
    neighbours=(Neighbour(NASTY, 0.97, "faces/02-0.jpg", 0), Neighbour("far.png", -0.2, None, 1)),
)
RESULT = DemoResult(
    version="1.2.3",
    models=(
        ModelUsed(Kind.IMAGE_EMBEDDER, "gabor-512", f"by texture {NASTY}", "MIT", 0.9, ("a note",)),
        ModelUsed(Kind.FACE_DETECTOR, "mtcnn", "finds faces", "MIT", 0.7),
        ModelUsed(Kind.FACE_EMBEDDER, "gabor-face-512", "the same picture", "MIT", 0.95),
    ),
    photos=(
        PhotoResult(
            NASTY,
            DONE,
            media_store_id="1",
            width=640,
            height=480,
            picture="pictures/01-a b.jpg",
            thumbnail="thumbnails/01-a b.jpg",
            faces=(FACE,),
            neighbours=(Neighbour("near.png", 0.912, "thumbnails/02.jpg"),),
        ),
        PhotoResult("broken.jpg", BROKEN, media_store_id="2"),
    ),
    start_seconds=2.0,
    work_seconds=3.25,
    notices=(f"built-in models stand in {NASTY}",),
)


class Page(HTMLParser):
    """Reads a page: its tags in their nesting, its links, its words."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.links: list[str] = []
        self.images_without_alt = 0
        self.words: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        named = dict(attrs)
        self.links += [value for name, value in attrs if name in {"src", "href"} and value is not None]
        self.images_without_alt += tag == "img" and "alt" not in named

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        """All that a reader sees."""
        return " ".join(self.words)


@pytest.fixture(scope="module")
def page() -> Page:
    """The page of a demo with one photo of everything and a broken one."""
    return Page(render(RESULT))


def test_the_page_is_well_nested_and_runs_no_script(page: Page) -> None:
    assert page.open == []
    assert "script" not in page.tags
    assert page.tags.count("h1") == 1


def test_every_name_is_shown_as_it_is(page: Page) -> None:
    # photo, similar face, notice, model's summary, and the message of three failures
    assert page.text.count(NASTY) == 7
    assert "broken.jpg" in page.text


def test_every_link_is_relative_and_nothing_comes_from_elsewhere(page: Page) -> None:
    assert set(page.links) == {
        "pictures/01-a%20b.jpg",
        "thumbnails/02.jpg",
        "faces/01-0.jpg",
        "faces/02-0.jpg",
    }
    assert "http" not in render(RESULT)
    assert "url(" not in render(RESULT)


def test_every_picture_has_words_for_those_who_do_not_see_it(page: Page) -> None:
    assert page.images_without_alt == 0


def test_scores_failures_models_and_times_are_told(page: Page) -> None:
    for told in ("0.912", "0.970", "-0.200", "image_corrupt", "gabor-face-512", "a note", "1.2 s", "3.2 s", "1.2.3"):
        assert told in page.text


def test_only_what_lies_above_the_models_own_threshold_is_called_alike(page: Page) -> None:
    assert page.words.count("alike") == 2


def test_failed_jobs_are_counted_in_the_headline() -> None:
    assert "3 of 6 jobs failed" in Page(render(RESULT)).text
    good = DemoResult("1", (), RESULT.photos[:1], 0, 0)
    assert "all completed" in Page(render(good)).text


def test_the_report_is_written_where_its_pictures_are(tmp_path: Path) -> None:
    path = write_report(RESULT, tmp_path)
    assert path == tmp_path / "report.html"
    assert path.read_text(encoding="utf-8") == render(RESULT)


def table_lines(result: DemoResult) -> list[str]:
    console = Console(width=200, force_terminal=False)
    with console.capture() as captured:
        console.print(table_of(result))
    return captured.get().splitlines()


def test_the_table_has_a_line_per_photo_and_task_with_the_nearest_neighbour() -> None:
    _, image, detection, faces, broken = table_lines(RESULT)[:5]
    assert NASTY in image
    assert "near.png" in image
    assert "0.912" in image
    assert detection.split()[-2:] == ["completed", "1"]
    assert faces.endswith("face 0  0.970")
    assert "failed: image_corrupt" in broken


def test_the_json_has_the_sums_in_front() -> None:
    found = json.loads(json.dumps(RESULT.to_json()))
    assert (found["jobs"], found["failed"], found["faces"]) == (6, 3, 1)
    assert found["photos"][0]["faces"][0]["neighbours"][0]["name"] == NASTY
