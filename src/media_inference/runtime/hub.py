"""Model files from the hub, or from the mirror of it that ``HF_ENDPOINT`` names.

`huggingface_hub` gives addresses, token, proxies and offline mode, all from the environment. Its `hf_hub_download` is
not used: with 2.4 an unreachable hub is retried for minutes, and before the file it asks the hub for a list by which it
reports what program is running.
"""

from pathlib import Path

from media_inference.errors import DownloadFailed
from media_inference.models.model import HubFile, Model
from media_inference.runtime.download import Download, Patience, Progress, Say
from media_inference.runtime.file_lock import locked
from media_inference.runtime.hub_connection import check_reachable
from media_inference.runtime.weights import locate, sha256_of

PATIENT = Patience()


def pull(
    model: Model,
    models_dir: Path,
    progress: Progress = lambda _name, _size, _in_all: None,
    *,
    say: Say = lambda _line: None,
    endpoint: str | None = None,
    patience: Patience = PATIENT,
) -> list[Path]:
    """Downloads the files of a model that are missing or wrong, and returns where those lie that this call brought.

    A file is in place whole and with the pinned hash, or not at all. Several processes may pull one model: one
    downloads, the others wait. ``endpoint``: another hub than that of the environment. Raises `HubUnreachable` when
    nothing answers in time and `DownloadFailed` when a file can't be had, both with one line.
    """
    targets = [(file, locate(model, file, models_dir)) for file in model.files if isinstance(file, HubFile)]
    missing = [(file, path) for file, path in targets if sha256_of(path) != file.sha256]
    if missing:
        check_reachable(endpoint, patience.answer_s)
    return [
        path
        for file, path in missing
        if _pull_file(file, path, endpoint, patience=patience, progress=progress, say=say)
    ]


def _pull_file(
    file: HubFile, path: Path, endpoint: str | None, *, patience: Patience, progress: Progress, say: Say
) -> bool:
    """Whether it was this process that downloaded the file."""
    from huggingface_hub import hf_hub_url

    address = hf_hub_url(file.repo, file.path, revision=file.revision, endpoint=endpoint)
    lock = path.with_name(f"{path.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(lock, lambda: say(f"{file.name}: another process is downloading it, waiting for that")):
            if sha256_of(path) == file.sha256:
                progress(file.name, file.size, file.size)
                return False
            Download(file, path, address, patience=patience, progress=progress, say=say).run()
            return True
    except OSError as error:
        raise DownloadFailed(f"{path} can't be written ({error.strerror})") from None
