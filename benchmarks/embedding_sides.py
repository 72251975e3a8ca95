"""Everybody who turns photos into vectors here, with the same weights, each as its users run it."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from statistics import mean

from benchmarks.bench import Bench
from benchmarks.child import Child, SideFailed
from benchmarks.embedding_peers import PEERS
from benchmarks.engine import best_batch, engine_loop, refuse_other_vector
from benchmarks.http_load import BadAnswer, post, send_all
from benchmarks.measured_service import MeasuredService, clip_settings, measured_service
from benchmarks.peer_server import peer_server
from benchmarks.photos import PhotoFolder
from tests.stands.free_port import free_port

OURS, ENGINE, PLAIN = "media-inference up", "ONNX Runtime, ready tensors", "plain FastAPI service"
TASK = "image_embedding"

Side = Callable[[], float]


@dataclass(slots=True)
class EmbeddingSides:
    """``rates``: functions that run one turn each and return photos per second. ``cpu``: seconds per photo, by turn.

    ``left_out``: who could not be had, and why.
    """

    rates: dict[str, Side] = field(default_factory=dict)
    cpu: dict[str, list[float]] = field(default_factory=lambda: {OURS: [], ENGINE: []})
    left_out: list[str] = field(default_factory=list)
    batch: int = 0

    def cpu_per_photo(self, side: str) -> float:
        """The mean over the turns so far."""
        return mean(self.cpu[side])


@contextmanager
def embedding_sides(bench: Bench, photos: PhotoFolder, for_peers: int) -> Iterator[EmbeddingSides]:
    """Starts them all and ends them. Peers get only the first ``for_peers`` photos, or it would take too long."""
    sides, few = EmbeddingSides(), photos.first(for_peers)
    with ExitStack() as stack:
        loop = stack.enter_context(engine_loop(bench))
        sides.batch = best_batch(loop, bench.scale.seconds / 10)
        service = stack.enter_context(measured_service(bench, "embedding", clip_settings(bench, photos.path)))
        sides.rates[OURS] = lambda: _ours(sides, service, photos)
        sides.rates[ENGINE] = lambda: _engine(sides, loop, bench.scale.seconds)
        for name, start in ((PLAIN, _plain), *PEERS.items()):
            try:
                sides.rates[name] = start(bench, stack, few)
            except (SideFailed, BadAnswer, AssertionError) as error:
                sides.left_out.append(f"{name}: {error}")
        for rate in sides.rates.values():  # whatever is loaded or compiled at the first request is not to be measured
            rate()
        sides.cpu = {OURS: [], ENGINE: []}
        yield sides


def _ours(sides: EmbeddingSides, service: MeasuredService, photos: PhotoFolder) -> float:
    drained = service.drain([TASK], photos.media_ids)
    sides.cpu[OURS].append(drained.cpu_seconds / drained.all_jobs)
    return drained.per_second


def _engine(sides: EmbeddingSides, loop: Child, seconds: float) -> float:
    rate = float(loop.ask(batch=sides.batch, seconds=seconds)["per_second"])
    sides.cpu[ENGINE].append(float(loop.ask(batch=sides.batch, seconds=seconds / 3, spin=False)["cpu_seconds"]))
    return rate


def _plain(bench: Bench, stack: ExitStack, photos: PhotoFolder) -> Side:
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.sides.plain_service", bench.graph(), port]
    stack.enter_context(peer_server(command, port, bench.folder, ready="/openapi.json"))
    requests = [post("/embed", file.read_bytes()) for file in photos.files()]
    first = send_all(port, requests[:1], status=200, connections=1)
    refuse_other_vector(json.loads(first.last_body), bench.graph(), photos.files()[0])
    return lambda: send_all(port, requests, status=200).per_second
