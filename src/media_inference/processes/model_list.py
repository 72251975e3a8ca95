"""`models list`."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from media_inference.models.kinds import Kind
from media_inference.models.model import HubFile, Model
from media_inference.processes.chosen_models import known_models
from media_inference.processes.console import wide_console
from media_inference.processes.licences import may_be_used
from media_inference.runtime.weights import on_disk
from media_inference.settings import Settings

_INDENT = 4
_LEGEND = (
    "* chosen by IMAGE_MODEL, FACE_DETECTOR or FACE_MODEL. The text_embedder is that of IMAGE_MODEL. "
    "`media-inference models pull NAME` downloads one."
)
_NOT_ACCEPTED = (
    "A model whose licence is not accepted can't be used before ACCEPT_MODEL_LICENSE names that licence or the model."
)


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One model. ``bytes``: to download, 0 for what needs no download.

    ``accepted``: whether the licence lets it be used as the settings are. ``threshold_source``: where that and the
    other numbers of the model were taken from.
    """

    name: str
    kind: str
    summary: str
    licence: str
    commercial_use: bool
    licence_forbids: str
    accepted: bool
    bytes: int
    dimension: int | None
    threshold: float
    threshold_source: str
    origin: str
    on_disk: bool
    chosen: bool

    def as_json(self) -> dict[str, object]:
        """As an object."""
        return asdict(self)


def describe_models(settings: Settings) -> list[ModelRow]:
    """The catalogue and the users' own models."""
    models = known_models(settings)
    chosen = {settings.image_model, settings.face_detector, settings.face_model}
    towers = {models[name].text_tower for name in chosen if name in models}
    return [
        ModelRow(
            name=model.name,
            kind=model.kind.value,
            summary=model.summary,
            licence=model.licence.name,
            commercial_use=model.licence.commercial_use,
            licence_forbids=model.licence.forbids,
            accepted=may_be_used(model, settings),
            bytes=sum(file.size for file in model.files if isinstance(file, HubFile)),
            dimension=model.dimension,
            threshold=model.threshold,
            threshold_source=model.source,
            origin=_origin(model),
            on_disk=on_disk(model, settings.models_dir),
            chosen=model.name in chosen | towers,
        )
        for model in models.values()
    ]


def print_models(rows: Sequence[ModelRow]) -> None:
    """On stdout, by kind: a line of columns per model, and below it what it does and where it comes from."""
    console = wide_console()
    width = max(len(row.name) for row in rows)
    console.print(Text(_columns(("", "name", "size", "dim", "on disk", "licence"), width), style="bold"))
    for kind in Kind:
        console.print()
        console.print(Text(kind.value, style="underline"))
        for row in rows:
            if row.kind == kind.value:
                _print_model(console, row, width)
    console.print()
    console.print(Text(_LEGEND))
    if not all(row.accepted for row in rows):
        console.print(Text(_NOT_ACCEPTED))


def _print_model(console: Console, row: ModelRow, width: int) -> None:
    size = f"{row.bytes / 1e6:.1f} MB" if row.bytes else "-"
    mark, there = "*" if row.chosen else "", "yes" if row.on_disk else "no"
    line = Text(_columns((mark, row.name, size, str(row.dimension or "-"), there, row.licence), width))
    line.stylize("bold", 2, 2 + len(row.name))
    console.print(line, soft_wrap=True)
    numbers = f"{row.origin}; threshold {row.threshold:g}: {row.threshold_source}"
    for detail in (row.summary, numbers):
        console.print(_indented(detail, "dim"))
    if not row.commercial_use:
        accepted, style = ("accepted", "dim") if row.accepted else ("not accepted", "yellow")
        console.print(_indented(f"licence {accepted}; it forbids {row.licence_forbids}", style))


def _indented(detail: str, style: str) -> Padding:
    return Padding(Text(detail, style=style), (0, 0, 0, _INDENT), expand=False)


def _columns(cells: tuple[str, str, str, str, str, str], width: int) -> str:
    mark, name, size, dimension, there, licence = cells
    return f"{mark:1} {name:{width}}  {size:>8}  {dimension:>3}  {there:7}  {licence}"


def _origin(model: Model) -> str:
    repos = {f"{file.repo}@{file.revision[:8]}" for file in model.files if isinstance(file, HubFile)}
    if model.built_in:
        return "built in"
    return ", ".join(sorted(repos)) or "yours"
