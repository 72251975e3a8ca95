"""A model of the catalogue to a network that is ready to work."""

from dataclasses import dataclass
from pathlib import Path

from media_inference.errors import CannotStart, JobError
from media_inference.models.model import Model, Network
from media_inference.runtime.session import OrtSession
from media_inference.runtime.weights import read


@dataclass(frozen=True, slots=True)
class LoadedNetwork:
    """A network and the execution provider that it really runs on, in ONNX Runtime's word (`CPUExecutionProvider`)."""

    network: Network
    provider: str


def load_network(model: Model, models_dir: Path, threads: int) -> LoadedNetwork:
    """The network of a model, run once.

    ``threads``: how many it may use for one picture. Raises `CannotStart` with one line when a file is missing, is not
    the pinned one, is no graph, or does not give what its kind promises.
    """
    sessions = {
        file.name: OrtSession(read(model, file, models_dir), model=model.name, threads=threads) for file in model.files
    }
    try:
        network = model.network(model.name, sessions)
    except JobError as error:
        raise CannotStart(f"model {model.name}: its first run failed ({error.message})") from error
    return LoadedNetwork(network, ", ".join(sorted({session.provider for session in sessions.values()})))
