"""Real pictures for tests, decoded plainly, without the guarded decoder of the product."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from media_inference.models.kinds import Pixels


def picture(path: Path) -> Pixels:
    """A picture file as [height, width, 3] uint8, upright."""
    with Image.open(path) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def noise(height: int, width: int, seed: int = 0) -> Pixels:
    """Random pixels, the same for the same seed."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)
