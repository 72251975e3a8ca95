"""What three tasks on a photo can't do without, each once: a decode, a detection, the vectors. For its CPU time."""

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from benchmarks.child import answer_questions
from media_inference.models.alignment import align
from media_inference.models.catalog import find_model
from media_inference.models.custom import load_custom_models
from media_inference.models.kinds import FaceDetector, FaceEmbedder, ImageEmbedder, Kind, Pixels
from media_inference.models.looks import Looks
from media_inference.runtime.load import load_network
from tests.stands.pictures import picture

BATCH = 8


def main() -> None:
    """Answers ``files`` with CPU seconds per photo, for each part of the work."""
    parser = argparse.ArgumentParser()
    parser.add_argument("models_dir", type=Path)
    parser.add_argument("threads", type=int)
    parser.add_argument("names", nargs=3)
    asked = parser.parse_args()
    custom = load_custom_models(asked.models_dir / "custom")
    kinds = (Kind.IMAGE_EMBEDDER, Kind.FACE_DETECTOR, Kind.FACE_EMBEDDER)
    images, detector, faces = (
        load_network(find_model(name, kind, custom), asked.models_dir, asked.threads).network
        for name, kind in zip(asked.names, kinds, strict=True)
    )
    work = _Work(cast("ImageEmbedder", images), Looks(cast("FaceDetector", detector)), cast("FaceEmbedder", faces))
    answer_questions(work.measure)


class _Work:
    def __init__(self, images: ImageEmbedder, detector: FaceDetector, faces: FaceEmbedder) -> None:
        self._images = images
        self._detector = detector
        self._faces = faces
        self._busy: dict[str, float] = {}

    def measure(self, files: list[str]) -> dict[str, float]:
        self._busy = dict.fromkeys(("decode", "detection", "face vectors", "image vectors"), 0.0)
        for start in range(0, len(files), BATCH):
            batch = files[start : start + BATCH]
            pictures = [self._faces_of(file) for file in batch]
            with self._timed("image vectors"):
                self._images.embed(pictures)
        return {part: busy / len(files) for part, busy in self._busy.items()}

    def _faces_of(self, file: str) -> Pixels:
        with self._timed("decode"):
            pixels = picture(Path(file))
        with self._timed("detection"):
            found = self._detector.detect(pixels)
        with self._timed("face vectors"):
            self._faces.embed([align(pixels, face.landmarks) for face in found])
        return pixels

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        begun = time.process_time()
        yield
        self._busy[part] += time.process_time() - begun


if __name__ == "__main__":
    main()
