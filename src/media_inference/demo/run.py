"""The whole demo, step by step."""

import json
import os
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from rich.console import Console
from rich.text import Text

from media_inference import __version__
from media_inference.demo.api_client import ApiClient
from media_inference.demo.environment import private_environment
from media_inference.demo.failure import DemoFailed
from media_inference.demo.gather import Gatherer
from media_inference.demo.jobs import TASK_TYPES, submit, wait
from media_inference.demo.models_choice import models_for
from media_inference.demo.photos import MOST_PHOTOS, photos_in
from media_inference.demo.private_up import private_up
from media_inference.demo.progress import DemoProgress
from media_inference.demo.report import write_report
from media_inference.demo.result import DemoResult, ModelUsed
from media_inference.demo.samples import sample_photos
from media_inference.demo.table import table_of
from media_inference.errors import CannotStart
from media_inference.models.kinds import Kind
from media_inference.models.model import Model
from media_inference.processes.media import open_decoder
from media_inference.settings import Settings

_WORKERS = 1
_WIDTH_WITHOUT_TERMINAL = 140


def run_demo(settings: Settings, folder: Path | None, out: Path, *, as_json: bool = False) -> int:
    """Runs all tasks on the photos of ``folder``, or on samples, and writes a report into the folder ``out``.

    Returns 0 when every job completed and 1 otherwise. The result goes to stdout, progress and failures to stderr.
    Raises `CannotStart`.
    """
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        with DemoProgress(console) as progress:
            result = _run(settings, folder, out, console, progress)
            report = write_report(result, out)
    except DemoFailed as error:
        console.print(Text(f"media-inference: {error}"))
        return 1
    except OSError as error:
        console.print(Text(f"media-inference: the report can't be written: {error}"))
        return 1
    _print_result(result, as_json=as_json)
    return _sum_up(result, report, console)


def _run(settings: Settings, folder: Path | None, out: Path, console: Console, progress: DemoProgress) -> DemoResult:
    choice = sample_photos() if folder is None else photos_in(folder)
    _make_folder(out)
    progress.say("looking for models")
    chosen = models_for(settings, progress.download)
    notices = [chosen.notice] if chosen.notice else []
    if choice.left_out:
        notices.append(f"only the first {MOST_PHOTOS} photos are shown, {choice.left_out} are left out")
    for notice in notices:
        console.print(Text(notice, style="yellow"))
    progress.say("starting the service")
    began = time.monotonic()
    environment = private_environment(os.environ, settings, chosen.models)
    with private_up(environment, _WORKERS) as up, ApiClient(up.url, up.token) as client:
        started = time.monotonic()
        progress.say("running jobs", len(choice.photos) * len(TASK_TYPES))
        errands = [submit(client, photo) for photo in choice.photos]
        progress.step(sum(len(errand.refusals) for errand in errands))
        wait(client, errands, progress.step)
        worked = time.monotonic()
        progress.say("drawing pictures")
        with closing(open_decoder(settings)) as decoder:
            photos = Gatherer(client, decoder, out).gather(errands)
        progress.say("stopping the service")
    models = _models_used(chosen.models)
    return DemoResult(__version__, models, photos, started - began, worked - started, tuple(notices))


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotStart(f"the report's folder {out} can't be made: {error.strerror}") from error


def _models_used(models: Mapping[Kind, Model]) -> tuple[ModelUsed, ...]:
    return tuple(
        ModelUsed(kind, model.name, model.summary, model.licence.name, model.threshold, model.notes)
        for kind, model in models.items()
    )


def _print_result(result: DemoResult, *, as_json: bool) -> None:
    if as_json:
        json.dump(result.to_json(), sys.stdout, indent=2, ensure_ascii=False)
        sys.stdout.write("\n")
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_WIDTH_WITHOUT_TERMINAL)
    console.print(table_of(result))


def _sum_up(result: DemoResult, report: Path, console: Console) -> int:
    failed = list(result.failed())
    for photo, job in failed:
        reason = f"{job.failure.code}: {job.failure.message}" if job.failure else job.status
        console.print(Text(f"failed: {photo.name}, {job.task_type}: {reason}", style="red"))
    done = result.jobs - len(failed)
    console.print(Text(f"{done} of {result.jobs} jobs completed in {result.work_seconds:.1f} s; report: {report}"))
    return 1 if failed else 0
