"""Real pictures for tests, decoded plainly, without the guarded decoder of the product."""

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from media_inference.models.kinds import Pixels


def picture(path: Path) -> Pixels:
    """A picture file as [height, width, 3] uint8, upright."""
    with Image.open(path) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def png(width: int, height: int) -> bytes:
    """A red picture's file."""
    file = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(file, "PNG")
    return file.getvalue()


def noise(height: int, width: int, seed: int = 0) -> Pixels:
    """Random pixels, the same for the same seed."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def around(pixels: Pixels, landmarks: NDArray[np.float32], margin: float) -> tuple[Pixels, NDArray[np.float32]]:
    """The part of a picture around a face, and its landmarks there; ``margin`` in sizes of the landmarks' box."""
    reach = margin * float(np.ptp(landmarks, axis=0).max())
    left, top = np.maximum(0, np.floor(landmarks.min(axis=0) - reach)).astype(int)
    right, bottom = np.ceil(landmarks.max(axis=0) + reach).astype(int)
    return np.ascontiguousarray(pixels[top:bottom, left:right]), landmarks - np.array([left, top], np.float32)


def enlarged(
    pixels: Pixels, landmarks: NDArray[np.float32], factor: int, *, noise: float = 0
) -> tuple[Pixels, NDArray[np.float32]]:
    """A picture ``factor`` times as large with its landmarks, and with ``noise`` (standard deviation) on each pixel.

    A photo made larger has no detail of its own; the noise stands for that of a camera.
    """
    size = (factor * pixels.shape[1], factor * pixels.shape[0])
    large = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
    if noise:
        grain = np.random.default_rng(0).standard_normal(large.shape, np.float32)
        large = np.clip(large + noise * grain, 0, 255).astype(np.uint8)
    return large, ((landmarks + 0.5) * factor - 0.5).astype(np.float32)
