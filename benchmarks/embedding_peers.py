"""The embedding peers, from their own environment: how each is started, and one turn of it."""

import base64
import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.child import child
from benchmarks.clip_weights import write_weights
from benchmarks.engine import refuse_other_vector
from benchmarks.http_load import post, send_all
from benchmarks.peer_server import peer_server
from benchmarks.photos import PhotoFolder
from tests.stands.free_port import free_port

INFINITY, FASTEMBED = "infinity-emb", "fastembed"

Start = Callable[[Bench, ExitStack, PhotoFolder], Callable[[], float]]


def _infinity(bench: Bench, stack: ExitStack, photos: PhotoFolder) -> Callable[[], float]:
    """Its server with PyTorch, photos as data URIs, which is how it takes them; batches as it makes them."""
    model, port = _clip_folder(bench, stack), free_port()
    command = [bench.peers().with_name("infinity_emb"), "v2", "--model-id", model, "--engine", "torch"]
    command += [
        "--device",
        "cpu",
        "--port",
        port,
        "--host",
        "127.0.0.1",
        "--no-bettertransformer",
        "--dtype",
        "float32",
    ]
    environment = {"PATH": "/usr/bin:/bin", "HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1", "HOME": str(bench.folder)}
    stack.enter_context(peer_server(command, port, bench.folder, ready="/health", environment=environment))

    def request(file: Path) -> bytes:
        uri = "data:image/jpeg;base64," + base64.b64encode(file.read_bytes()).decode()
        return post("/embeddings", {"model": model.name, "modality": "image", "input": [uri]})

    requests = [request(file) for file in photos.files()]
    first = send_all(port, requests[:1], status=200, connections=1)
    refuse_other_vector(json.loads(first.last_body)["data"][0]["embedding"], bench.graph(), photos.files()[0])
    return lambda: send_all(port, requests, status=200).per_second


def _fastembed(bench: Bench, stack: ExitStack, photos: PhotoFolder) -> Callable[[], float]:
    """The library on files, with its own ONNX Runtime, a thread per core and its own batches."""
    module, python = "benchmarks.peers.fastembed_loop", bench.peers()
    folder = bench.new_folder("fastembed")
    (folder / "model.onnx").symlink_to(bench.graph())
    loop = stack.enter_context(child(module, [folder, bench.cores], bench.folder, python=python))
    first = loop.ask(files=[str(photos.files()[0])], vectors=True)
    refuse_other_vector(first["vectors"][0], bench.graph(), photos.files()[0])
    files = [str(file) for file in photos.files()]
    return lambda: float(loop.ask(files=files)["per_second"])


def _clip_folder(bench: Bench, stack: ExitStack) -> Path:
    """A folder of the transformers library with the weights of the graph; made once."""
    folder = bench.store / f"clip-{bench.scale.layers}"
    if not (folder / "done").exists():
        weights = bench.folder / "weights.npz"
        write_weights(bench.graph(), weights)
        module = "benchmarks.peers.clip_folder"
        maker = stack.enter_context(child(module, [], bench.folder, python=bench.peers()))
        maker.ask(weights=str(weights), layers=bench.scale.layers, folder=str(folder))
        (folder / "done").touch()
        weights.unlink()
    return folder


PEERS: dict[str, Start] = {INFINITY: _infinity, FASTEMBED: _fastembed}
