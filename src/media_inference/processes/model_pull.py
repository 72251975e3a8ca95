"""`models pull`."""

from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.text import Text

from media_inference.errors import DownloadFailed
from media_inference.models.model import HubFile, Model
from media_inference.processes.chosen_models import find_known, known_models, models_to_pull
from media_inference.processes.licences import refuse_unaccepted, refuse_unknown_licences
from media_inference.runtime.hub import pull
from media_inference.runtime.weights import refuse_missing_own
from media_inference.settings import Settings


def pull_models(settings: Settings, names: Sequence[str]) -> int:
    """Downloads the named models, or those of the settings with the text tower; returns the exit code.

    Raises `CannotStart` for an unknown name, or a licence that was not accepted, before anything is downloaded.
    """
    refuse_unknown_licences(settings, known_models(settings).values())
    wanted = [find_known(settings, name) for name in dict.fromkeys(names)] or models_to_pull(settings)
    for model in wanted:
        refuse_unaccepted(model, settings)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        for model in wanted:
            _pull(model, settings, console)
    except DownloadFailed as error:
        console.print(Text(str(error), style="red"))
        return 1
    return 0


def _pull(model: Model, settings: Settings, console: Console) -> None:
    refuse_missing_own(model, settings.models_dir)
    with _bars(console) as bars:
        files = [file for file in model.files if isinstance(file, HubFile)]
        tasks = {
            file.name: bars.add_task(_titled(model, number, len(files)), total=file.size, visible=False)
            for number, file in enumerate(files, 1)
        }

        def show(name: str, done: int, _size: int) -> None:
            bars.update(tasks[name], completed=done, visible=True)

        pulled = pull(model, settings.models_dir, show, say=lambda line: console.print(Text(f"{model.name}: {line}")))
    if not pulled:
        console.print(Text(f"{model.name}: {'built in' if model.built_in else 'already there'}"))


def _titled(model: Model, number: int, count: int) -> str:
    """Short, so that a bar stays on one line."""
    return model.name if count == 1 else f"{model.name} {number}/{count}"


def _bars(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=12),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
    )
