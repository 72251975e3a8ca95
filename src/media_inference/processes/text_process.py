"""The text tower in a process of its own: the API never loads an inference engine.

Started by `processes.text_search` as ``python -m media_inference.processes.text_process MODEL DESCRIPTOR``. It says
`READY`, then answers each text with its vector, until the other end is closed: so it ends with its parent. Where it can
not notice that, stopped or lost in a graph, the system ends it (on Linux).
"""

import sys
import time
from contextlib import suppress
from multiprocessing.connection import Connection

import structlog

from media_inference.errors import CannotStart, PermanentError
from media_inference.media.sandbox.parent import end_with_parent
from media_inference.models.catalog import find_model
from media_inference.models.custom import load_custom_models
from media_inference.models.kinds import Kind
from media_inference.processes.cores import usable_cores
from media_inference.processes.logs import set_up_logs
from media_inference.processes.networks import device_of
from media_inference.processes.text_child import LONGEST_TEXT_BYTES, NO_VECTOR, READY, REFUSED
from media_inference.runtime.text_tower import TextTower, load_text_tower
from media_inference.runtime.weights import CUSTOM_FOLDER
from media_inference.settings import Settings, load_settings
from media_inference.worker.supervisor import EXIT_CANNOT_START

log = structlog.get_logger()


def main(model: str, descriptor: str) -> int:
    """Serves texts until the parent is gone; returns the exit code."""
    end_with_parent()
    with Connection(int(descriptor)) as channel, suppress(EOFError, ConnectionError):  # the parent is gone
        try:
            settings = load_settings(_env_file=None)
            set_up_logs(settings)
            tower = _load(model, settings)
        except CannotStart as error:
            print(f"media-inference: {error}", file=sys.stderr, flush=True)  # noqa: T201  # for the operator
            channel.send_bytes(REFUSED)
            return EXIT_CANNOT_START
        channel.send_bytes(READY)
        while True:
            text = channel.recv_bytes(LONGEST_TEXT_BYTES).decode("utf-8")
            channel.send_bytes(_answer(tower, text))
    return 0


def _load(name: str, settings: Settings) -> TextTower:
    begun = time.monotonic()
    model = find_model(name, Kind.TEXT_EMBEDDER, load_custom_models(settings.models_dir / CUSTOM_FOLDER))
    threads = settings.worker_threads or usable_cores()
    tower = load_text_tower(model, settings.models_dir, threads, device=settings.device)
    took = round(time.monotonic() - begun, 2)
    log.info("text_tower.ready", action="start", model=name, device=device_of([tower.provider]), seconds=took)
    return tower


def _answer(tower: TextTower, text: str) -> bytes:
    """A `TransientError` ends the process: the next one may have the memory that this one lacked."""
    try:
        return bytes(tower.embed(text)[0].astype("<f4"))
    except PermanentError as error:
        log.warning("text_tower.refused", action="embed", error=str(error))
        return NO_VECTOR


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
