"""`models list`, `pull` and `verify`."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table

from media_inference.errors import CannotStart, MediaInferenceError
from media_inference.models.catalog import all_models
from media_inference.models.custom import load_custom_models
from media_inference.models.model import HubFile, Model
from media_inference.processes.chosen_models import chosen_models
from media_inference.processes.console import wide_console
from media_inference.registry import Registry
from media_inference.runtime.hub import pull
from media_inference.runtime.weights import CUSTOM_FOLDER, on_disk, read, refuse_missing_own
from media_inference.settings import Settings


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A line of `models list`. ``bytes``: to download, 0 for what needs no download."""

    name: str
    kind: str
    summary: str
    licence: str
    bytes: int
    dimension: int | None
    source: str
    on_disk: bool
    chosen: bool

    def as_json(self) -> dict[str, object]:
        """As an object."""
        return asdict(self)


def describe_models(settings: Settings) -> list[ModelRow]:
    """The catalogue and the users' own models."""
    chosen = {settings.image_model, settings.face_detector, settings.face_model}
    return [
        ModelRow(
            name=model.name,
            kind=model.kind.value,
            summary=model.summary,
            licence=model.licence,
            bytes=sum(file.size for file in model.files if isinstance(file, HubFile)),
            dimension=model.dimension,
            source=_source(model),
            on_disk=on_disk(model, settings.models_dir),
            chosen=model.name in chosen,
        )
        for model in _catalogue(settings).values()
    ]


def print_models(rows: Sequence[ModelRow]) -> None:
    """A table on stdout; ``*`` marks the models of the settings."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("", "name", "kind", "size", "dim", "on disk", "licence", "source"):
        table.add_column(column, overflow="fold")
    for row in rows:
        size = f"{row.bytes / 1e6:.1f} MB" if row.bytes else "-"
        table.add_row(
            "*" if row.chosen else "",
            row.name,
            row.kind,
            size,
            str(row.dimension or "-"),
            "yes" if row.on_disk else "no",
            row.licence,
            row.source,
        )
    wide_console().print(table)


def pull_models(settings: Settings, names: Sequence[str]) -> int:
    """Downloads the named models, or those of the settings; returns the exit code."""
    wanted = [_find(settings, name) for name in names] or list(chosen_models(settings).values())
    console = Console(stderr=True)
    for model in wanted:
        if on_disk(model, settings.models_dir):
            console.print(f"{model.name}: already there")
            continue
        refuse_missing_own(model, settings.models_dir)
        try:
            _pull(model, settings, console)
        except MediaInferenceError as error:
            console.print(str(error), style="red", soft_wrap=True)
            return 1
    return 0


def _pull(model: Model, settings: Settings, console: Console) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console) as progress:
        bars = {
            file.name: progress.add_task(f"{model.name}/{file.name}", total=file.size)
            for file in model.files
            if isinstance(file, HubFile)
        }

        def show(name: str, done: int, _size: int) -> None:
            progress.update(bars[name], completed=done)

        pull(model, settings.models_dir, show)


def verify_models(settings: Settings, names: Sequence[str]) -> int:
    """Hashes the files of the named models, or of all that are on disk; returns the exit code."""
    there = [model for model in _catalogue(settings).values() if on_disk(model, settings.models_dir)]
    models = [_find(settings, name) for name in names] or there
    console = Console()
    damaged = 0
    for model in models:
        try:
            for file in model.files:
                read(model, file, settings.models_dir)
        except CannotStart as error:
            damaged += 1
            console.print(f"{model.name}: {error}", style="red", soft_wrap=True)
        else:
            console.print(f"{model.name}: ok")
    return 1 if damaged else 0


def _catalogue(settings: Settings) -> Registry[Model]:
    return all_models(load_custom_models(settings.models_dir / CUSTOM_FOLDER))


def _find(settings: Settings, name: str) -> Model:
    models = _catalogue(settings)
    if name not in models:
        raise CannotStart(f"no model is called {name!r}; there are {', '.join(models)}")
    return models[name]


def _source(model: Model) -> str:
    repos = {f"{file.repo}@{file.revision[:8]}" for file in model.files if isinstance(file, HubFile)}
    if model.built_in:
        return "built in"
    return ", ".join(sorted(repos)) or "yours"
