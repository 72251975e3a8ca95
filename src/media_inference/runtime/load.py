"""A model of the catalogue to a network that is ready to work."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from media_inference.errors import CannotStart, JobError
from media_inference.models.model import Model, Network, WeightsFile
from media_inference.models.session import Session
from media_inference.runtime.batcher import BatchedSession, Batcher
from media_inference.runtime.device import Device
from media_inference.runtime.golden import check_golden
from media_inference.runtime.helpers import Passes
from media_inference.runtime.resting_session import RestingSession
from media_inference.runtime.session import OrtSession
from media_inference.runtime.weights import mapped, read


@dataclass(frozen=True, slots=True)
class LoadedNetwork:
    """A network and the execution provider that it really runs on, in ONNX Runtime's word (`CPUExecutionProvider`).

    ``resting``: its sessions that want to be let go when idle.
    """

    network: Network
    provider: str
    resting: tuple[RestingSession, ...] = ()


def load_network(
    model: Model,
    models_dir: Path,
    threads: int,
    *,
    device: Device = Device.CPU,
    ttl: float = 0.0,
    batcher: Batcher | None = None,
    passes: Passes | None = None,
) -> LoadedNetwork:
    """The network of a model, run once, its graphs tested against their references.

    ``threads``: how many it may use for one pass, fewer where ``passes`` holds some while others run. ``ttl``: seconds
    after which an idle session may rest, 0 for never. ``batcher``: lets its passes be shared. Raises `CannotStart` with
    one line when a file is missing, is not the pinned one, is no graph, does not give what its kind promises or what it
    gave before, or can't run on the device that was asked for.
    """
    opened = partial(_open, model, models_dir=models_dir, threads=threads, passes=passes)
    sessions = {file.name: opened(file, device=device) for file in model.graphs}
    # Loaded again on the device that was given first, or not at all.
    resting = {
        file.name: RestingSession(
            sessions[file.name],
            partial(opened, file, device=sessions[file.name].device),
            ttl=ttl,
        )
        for file in (model.graphs if ttl else ())
    }
    try:
        network = model.network(model.name, _batched({**sessions, **resting}, batcher))
    except JobError as error:
        raise CannotStart(f"model {model.name}: its first run failed ({error.message})") from error
    # Last, for a graph of the wrong shape is better explained by its network.
    for file in model.graphs:
        session = sessions[file.name]
        check_golden(model, file, session, models_dir=models_dir, provider=session.provider)
    provider = ", ".join(sorted({session.provider for session in sessions.values()}))
    return LoadedNetwork(network, provider, tuple(resting.values()))


def _batched(sessions: Mapping[str, Session], batcher: Batcher | None) -> Mapping[str, Session]:
    return sessions if batcher is None else {name: BatchedSession(one, batcher) for name, one in sessions.items()}


def _open(
    model: Model, file: WeightsFile, *, models_dir: Path, threads: int, device: Device, passes: Passes | None
) -> OrtSession:
    opened = partial(OrtSession, model=model.name, threads=threads, device=device, passes=passes)
    found = mapped(model, file, models_dir)
    if found is not None:
        try:
            session = opened(found)
        except CannotStart:
            if found.unchanged:
                raise
        else:
            if found.unchanged:
                return session
    return opened(read(model, file, models_dir))
