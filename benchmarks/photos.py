"""Photos to measure with, made from the free samples of the demo."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from media_inference.demo.samples import sample_photos

GRAIN = 3.0
"""Standard deviation of the noise on each pixel: a sample made larger has no detail, and is decoded too quickly."""

QUALITY = 90


@dataclass(frozen=True, slots=True)
class PhotoFolder:
    """A folder to serve as media store, and the ids in it; the first ``different`` photos differ from each other."""

    path: Path
    media_ids: tuple[str, ...]
    different: int

    def files(self) -> list[Path]:
        """The files behind the ids."""
        return [self.path / media_id for media_id in self.media_ids]

    def first(self, count: int) -> "PhotoFolder":
        """The same with fewer ids."""
        return PhotoFolder(self.path, self.media_ids[:count], min(count, self.different))


def make_photos(folder: Path, size: tuple[int, int], count: int) -> PhotoFolder:
    """JPEGs of one size, cut to its shape from the middle of each sample; made once, then found."""
    folder.mkdir(parents=True, exist_ok=True)
    samples = [photo.path for photo in sample_photos().photos]
    for index in range(count):
        path = folder / f"{index}.jpg"
        if path.exists():
            continue
        if index < len(samples):
            _jpeg(samples[index], size).save(path, "JPEG", quality=QUALITY)
        else:
            os.link(folder / f"{index % len(samples)}.jpg", path)
    return PhotoFolder(folder, tuple(f"{index}.jpg" for index in range(count)), min(count, len(samples)))


def _jpeg(sample: Path, size: tuple[int, int]) -> Image.Image:
    with Image.open(sample) as image:
        fitted = ImageOps.fit(image.convert("RGB"), size, Image.Resampling.BICUBIC)
    grain = np.random.default_rng(0).standard_normal((size[1], size[0], 3), np.float32) * np.float32(GRAIN)
    return Image.fromarray(np.clip(np.asarray(fitted) + grain, 0, 255).astype(np.uint8))
