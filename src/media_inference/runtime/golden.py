"""The self-test at load: what a graph computes now against what it computed once, packaged or recorded beside it.

A reference is text: a line of JSON with the fingerprint as float16 in base64, about a kilobyte.
"""

import base64
import json
import tempfile
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np
import structlog

from media_inference.errors import CannotStart, JobError
from media_inference.models.model import BuiltFile, HubFile, LocalFile, Model, WeightsFile
from media_inference.models.self_test import REVISION, Fingerprint, cosine, fingerprint, is_usable
from media_inference.models.session import Session
from media_inference.runtime.device import PROVIDERS, Device
from media_inference.runtime.session import ENGINE
from media_inference.runtime.weights import locate

log = structlog.get_logger()

PACKAGED = "golden_outputs.json"
"""Beside `models/model.py`; `python -m tests.stands.golden_outputs` writes it."""

OTHER_DEVICE = 0.999
"""The least cosine off the CPU, whose arithmetic is coarser: TF32 on CUDA, half floats on CoreML."""


@dataclass(frozen=True, slots=True)
class Reference:
    """What a graph gave once, and who says so."""

    answer: Fingerprint
    recorded_by: str

    def as_json(self) -> dict[str, object]:
        """As an object."""
        return {
            "revision": REVISION,
            "recorded_by": self.recorded_by,
            "fingerprint": base64.b64encode(self.answer.astype("<f2").tobytes()).decode("ascii"),
        }


def check_golden(model: Model, file: WeightsFile, session: Session, *, models_dir: Path, provider: str) -> None:
    """Compares a graph with its reference; without one, what it gives on the CPU is written beside its file.

    ``provider``: what the session runs on. Raises `CannotStart` when it gives something else, or nothing usable.
    """
    reference = packaged(model.name, file.name)
    if reference is None and isinstance(file, BuiltFile):
        return
    answer = _ask(model, session)
    if answer is None:
        return
    if reference is not None:
        _compare(model, reference, answer, provider, "")
    elif not isinstance(file, BuiltFile):
        _check_recorded(model, file, answer, models_dir, provider)


def _check_recorded(
    model: Model, file: HubFile | LocalFile, answer: Fingerprint, models_dir: Path, provider: str
) -> None:
    path = recorded_path(model, file, models_dir)
    reference = _read(path)
    if reference is not None:
        _compare(model, reference, answer, provider, f"; remove {path} if that was recorded where something was wrong")
    elif provider == PROVIDERS[Device.CPU]:
        _record(model, path, answer)


def packaged(model: str, file: str) -> Reference | None:
    """The reference that comes with this package."""
    return _parsed(_packaged().get(f"{model}/{file}"))


def recorded_path(model: Model, file: HubFile | LocalFile, models_dir: Path) -> Path:
    """Where the reference of a file is recorded: beside it, under its hash."""
    return locate(model, file, models_dir).with_name(f"{file.sha256}.golden.json")


@cache
def _packaged() -> dict[str, object]:
    text = resources.files("media_inference.models").joinpath(PACKAGED).read_text("ascii")
    return dict(json.loads(text))


def _ask(model: Model, session: Session) -> Fingerprint | None:
    feeds = model.self_test.feeds(session)
    if feeds is None:
        return None
    try:
        answer = fingerprint(session.run(feeds))
    except JobError as error:
        raise CannotStart(f"model {model.name}: its self-test failed ({error.message})") from error
    if not is_usable(answer):
        raise CannotStart(f"model {model.name}: its self-test gave nothing but zeros, or what is no number")
    return answer


def _compare(model: Model, reference: Reference, answer: Fingerprint, provider: str, mend: str) -> None:
    least = model.self_test.cosine if provider == PROVIDERS[Device.CPU] else min(model.self_test.cosine, OTHER_DEVICE)
    found = cosine(reference.answer, answer)
    if found < least:
        raise CannotStart(
            f"model {model.name}: its self-test on {provider} gives another output than {reference.recorded_by} gave "
            f"(cosine {found:.5f}, at least {least:g} expected); try DEVICE=cpu or another release of onnxruntime{mend}"
        )


def _read(path: Path) -> Reference | None:
    """None for a file that is not there, or is none of this revision: it is recorded anew."""
    try:
        return _parsed(json.loads(path.read_text("ascii")))
    except (OSError, ValueError, RecursionError):
        return None


def _parsed(found: object) -> Reference | None:
    try:
        match found:
            case {"revision": revision, "recorded_by": str(recorded_by), "fingerprint": str(text)} if (
                revision == REVISION
            ):
                answer = np.frombuffer(base64.b64decode(text, validate=True), "<f2").astype(np.float32)
                return Reference(answer / max(float(np.linalg.norm(answer)), 1e-30), recorded_by)
    except ValueError:
        pass
    return None


def _record(model: Model, path: Path, answer: Fingerprint) -> None:
    """Whole or not at all. A folder that can't be written is no fault: somebody else may care for the models."""
    content = json.dumps(Reference(answer, f"{ENGINE} on cpu").as_json()) + "\n"
    try:
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as part:
            part.write(content)
        Path(part.name).chmod(0o644)
        Path(part.name).replace(path)
    except OSError as error:
        log.warning("model.reference_not_recorded", action="self_test", model=model.name, reason=error.strerror)
    else:
        log.info("model.reference_recorded", action="self_test", model=model.name)
