"""Writes the self-tests' references that come with the package: ``python -m tests.stands.golden_outputs``.

Run it when a built-in graph, or the way of asking it, is changed on purpose; look at the difference before you commit.
"""

import json
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from media_inference.models.gabor import GABOR_512, GABOR_FACE_512
from media_inference.models.model import BuiltFile, Model, WeightsFile
from media_inference.models.mtcnn import MTCNN
from media_inference.models.self_test import fingerprint
from media_inference.models.yunet import YUNET_2023MAR
from media_inference.runtime.golden import PACKAGED, Reference
from media_inference.runtime.session import ENGINE, OrtSession
from tests.conftest import SHARED

PACKAGED_MODELS = (GABOR_512, GABOR_FACE_512, MTCNN, YUNET_2023MAR)
"""Those whose weights are at hand here; references of the others are recorded where they are used."""


def graph_of(file: WeightsFile, shared: Path) -> bytes:
    """The bytes of a graph that needs no download."""
    return file.build() if isinstance(file, BuiltFile) else (shared / "models" / file.name).read_bytes()


def computed(model: Model, graph: bytes, *, threads: int = 1) -> Reference:
    """What a graph gives here and now, on the CPU."""
    session = OrtSession(graph, model=model.name, threads=threads)
    feeds = model.self_test.feeds(session)
    assert feeds is not None
    return Reference(fingerprint(session.run(feeds)), f"{ENGINE} on cpu")


def graphs(shared: Path) -> Iterator[tuple[str, Model, bytes]]:
    """Name of the reference, model, and graph."""
    for model in PACKAGED_MODELS:
        for file in model.files:
            yield f"{model.name}/{file.name}", model, graph_of(file, shared)


if __name__ == "__main__":
    references = {name: computed(model, graph).as_json() for name, model, graph in graphs(SHARED)}
    target = resources.files("media_inference.models").joinpath(PACKAGED)
    Path(str(target)).write_text(json.dumps(references, indent=1) + "\n", "ascii")
