"""Own pixels to a JPEG file."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def encode_jpeg(pixels: NDArray[np.uint8], quality: int = 92) -> bytes:
    """A JPEG of [h, w, 3] uint8 RGB."""
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "JPEG", quality=quality)
    return file.getvalue()
