"""The files of a model, checked against their pins."""

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import assert_never

from media_inference.errors import CannotStart
from media_inference.models.model import BuiltFile, HubFile, LocalFile, Model, WeightsFile
from media_inference.runtime.mapped_file import MappedFile

CUSTOM_FOLDER = "custom"
"""Folder below the models folder with the users' own models."""


class FileState(StrEnum):
    """How a file compares with its pin."""

    OK = "ok"
    CHANGED = "changed"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class FileCheck:
    """What was seen of a file; ``fault``: one line on what is wrong, and how to mend it."""

    state: FileState
    fault: str = ""


def locate(model: Model, file: HubFile | LocalFile, models_dir: Path) -> Path:
    """Where a file of a model lies, whether it is there or not."""
    return models_dir / (model.name if isinstance(file, HubFile) else CUSTOM_FOLDER) / file.name


def read(model: Model, file: WeightsFile, models_dir: Path) -> bytes:
    """The bytes of one file, the very ones that were checked.

    Raises `CannotStart` when the file is missing or is not the one that was pinned.
    """
    match file:
        case BuiltFile():
            return file.build()
        case HubFile() | LocalFile():
            return _read_pinned(model, file, locate(model, file, models_dir))
        case _:
            assert_never(file)


def mapped(model: Model, file: WeightsFile, models_dir: Path) -> MappedFile | None:
    """One file, its hash checked, not copied; None for what only `read` can read, or explains better.

    Raises `CannotStart` when the file is not the one that was pinned.
    """
    if isinstance(file, BuiltFile):
        return None
    path = locate(model, file, models_dir)
    try:
        found = MappedFile(path)
    except (OSError, ValueError):
        return None
    _refuse_other(model, file, path, len(found.content), found.sha256)
    return found


def on_disk(model: Model, models_dir: Path) -> bool:
    """Whether all files of a model are there (their sizes looked at, their hashes not)."""
    return all(isinstance(file, BuiltFile) or _is_there(locate(model, file, models_dir), file) for file in model.files)


def refuse_missing_own(model: Model, models_dir: Path) -> None:
    """Raises `CannotStart` when a file is missing that nobody but the user can put there."""
    for file in model.files:
        if isinstance(file, LocalFile) and not _is_there(path := locate(model, file, models_dir), file):
            raise CannotStart(_missing(model, file, path, FileNotFoundError()))


def refuse_cut_files(model: Model, models_dir: Path) -> None:
    """Raises `CannotStart` when a file of a model is there, but not at its size (a hash would take longer)."""
    for file in model.files:
        if isinstance(file, HubFile) and (path := locate(model, file, models_dir)).is_file():
            _refuse_size(model, file, path, path.stat().st_size)


def check(model: Model, file: WeightsFile, models_dir: Path) -> FileCheck:
    """Reads a file as a start would."""
    try:
        read(model, file, models_dir)
    except CannotStart as error:
        gone = not isinstance(file, BuiltFile) and not locate(model, file, models_dir).exists()
        return FileCheck(FileState.MISSING if gone else FileState.CHANGED, str(error))
    return FileCheck(FileState.OK)


def sha256_of(path: Path) -> str | None:
    """The hash of a file in lower-case hex, None when it is not there or can't be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def _is_there(path: Path, file: HubFile | LocalFile) -> bool:
    return path.is_file() and (isinstance(file, LocalFile) or path.stat().st_size == file.size)


def _read_pinned(model: Model, file: HubFile | LocalFile, path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CannotStart(_missing(model, file, path, error)) from None
    _refuse_other(model, file, path, len(content), hashlib.sha256(content).hexdigest())
    return content


def _refuse_other(model: Model, file: HubFile | LocalFile, path: Path, size: int, found: str) -> None:
    if isinstance(file, HubFile):
        _refuse_size(model, file, path, size)
    if found != file.sha256:
        raise CannotStart(
            f"model {model.name}: {path} is not the file that was pinned"
            f" (sha256 {found[:12]}…, expected {file.sha256[:12]}…); {_mend(model, file)}"
        )


def _missing(model: Model, file: HubFile | LocalFile, path: Path, error: OSError) -> str:
    if not isinstance(error, FileNotFoundError):
        return f"model {model.name}: {path} can't be read ({error.strerror})"
    if isinstance(file, LocalFile):
        mend = f"put it there, or correct file in {file.described_in}"
    else:
        mend = f"run `media-inference models pull {model.name}` or copy the file there"
    return f"model {model.name}: {file.name} is not in {path.parent}; {mend}"


def _refuse_size(model: Model, file: HubFile, path: Path, size: int) -> None:
    if size != file.size:
        raise CannotStart(f"model {model.name}: {path} has {size} bytes, expected {file.size}; {_mend(model, file)}")


def _mend(model: Model, file: HubFile | LocalFile) -> str:
    if isinstance(file, HubFile):
        return f"get it again with `media-inference models pull {model.name}`"
    return f"put the right file there, or correct sha256 in {file.described_in}"
