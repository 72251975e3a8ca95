"""Photos, and what people make of photos: look-alikes whose order tells one embedding from another."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from media_inference.models.kinds import Pixels

LONGEST = 640


def look_alikes(photos: Sequence[Path], count: int) -> list[Pixels]:
    """``count`` upright pictures: the photos, then cuts, mirrorings and other exposures of each, the same each time."""
    random = np.random.default_rng(0)
    images = [_opened(path) for path in photos]
    rounds = -(-count // len(images))
    return [np.asarray(one) for turn in range(rounds) for one in _made(images, turn, random)][:count]


def _opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image).convert("RGB")
    upright.thumbnail((LONGEST, LONGEST))
    return upright


def _made(images: Sequence[Image.Image], turn: int, random: np.random.Generator) -> Iterator[Image.Image]:
    for image in images:
        yield image if turn == 0 else _made_of(image, random)


def _made_of(image: Image.Image, random: np.random.Generator) -> Image.Image:
    share = random.uniform(0.5, 1.0)
    width, height = int(image.width * share), int(image.height * share)
    left, top = int(random.integers(image.width - width + 1)), int(random.integers(image.height - height + 1))
    cut = image.crop((left, top, left + width, top + height))
    cut = ImageOps.mirror(cut) if random.random() < 0.5 else cut
    cut = ImageEnhance.Brightness(cut).enhance(random.uniform(0.6, 1.4))
    cut = ImageEnhance.Color(cut).enhance(random.uniform(0.3, 1.5))
    return cut.filter(ImageFilter.GaussianBlur(random.uniform(0, 2)))
