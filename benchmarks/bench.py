"""What benchmarks run on: a folder, a scale, and the things that are slow to make and made once."""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.child import SideFailed
from benchmarks.photos import PhotoFolder, make_photos
from benchmarks.scale import Scale
from media_inference.processes.cores import usable_cores
from tests.stands.vit_b_32 import vit_b_32_graph

SMALL, LARGE = (640, 480), (4032, 3024)
"""Of photos, in pixels: what a preview has, and a phone's 12 megapixels."""


@dataclass(frozen=True, slots=True)
class Bench:
    """``folder`` is empty and goes at the end; ``store`` stays from one run to the next.

    Both lie in the checkout and not in the system's temporary folder, which may be memory: then nothing that is said
    to be durable would be.
    """

    scale: Scale
    folder: Path
    store: Path
    peers_python: Path

    @property
    def cores(self) -> int:
        """Cores that this process and those that it starts may use."""
        return usable_cores()

    def graph(self) -> Path:
        """A file with a graph of the shape of ViT-B/32, random weights."""
        path = self.store / f"vit-b-32-{self.scale.layers}.onnx"
        if not path.exists():
            part = path.with_suffix(".part")
            part.write_bytes(vit_b_32_graph(self.scale.layers))
            part.rename(path)
        return path

    def photos(self, size: tuple[int, int], count: int) -> PhotoFolder:
        """A media folder with ``count`` photos of this size; a few differ, the rest are the same under other names."""
        return make_photos(self.store / "x".join(map(str, size)), size, count)

    def peers(self) -> Path:
        """The Python of the peers' environment. Raises `SideFailed` where there is none."""
        if not self.peers_python.exists():
            raise SideFailed("the environment of the peers is not there; `make bench` makes it")
        return self.peers_python

    def new_folder(self, name: str) -> Path:
        """An empty folder for one service or one database."""
        folder = self.folder / name
        folder.mkdir()
        return folder
