"""CLIP's preprocessing a second and a third time, from its description alone; nothing here is shared with the product.

Upright RGB, shorter side to 224 with Pillow's bicubic, longer side to ``int(224 * long / short)``, middle 224 x 224
from ``(length - 224) // 2``, then ``(x / 255 - mean) / std``, [1, 3, 224, 224] float32.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from media_inference.models.kinds import Pixels

SIDE = 224
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)

Grey = NDArray[np.float64]


def crop_by_pillow(pixels: Pixels, extent: tuple[float, float] | None = None) -> Pixels:
    """[224, 224, 3] uint8 by Pillow's own resize and crop of a picture so wide and high, or of all pixels."""
    image = Image.fromarray(pixels)
    width, height = extent or image.size
    if width <= height:
        image = image.resize((SIDE, int(SIDE * height / width)), Image.Resampling.BICUBIC, (0, 0, width, height))
    else:
        image = image.resize((int(SIDE * width / height), SIDE), Image.Resampling.BICUBIC, (0, 0, width, height))
    left, top = (image.width - SIDE) // 2, (image.height - SIDE) // 2
    return np.asarray(image.crop((left, top, left + SIDE, top + SIDE)))


def crops_by_formula(pixels: Pixels) -> tuple[Grey, Grey]:
    """[224, 224, 3] float64 of whole numbers, by the formula of Pillow's filter in float64: across first, down first.

    Keys' cubic convolution with a = -0.5, its support stretched by the scale where a picture becomes smaller; Pillow
    keeps 8 bits between its two passes. Since 13.0 it goes down first where the height shrinks much more.
    """
    rows, columns = pixels.shape[:2]
    short = min(rows, columns)
    width, height = int(SIDE * columns / short), int(SIDE * rows / short)
    left, top = (width - SIDE) // 2, (height - SIDE) // 2
    across = bicubic(columns, width)[left : left + SIDE]
    down = bicubic(rows, height)[top : top + SIDE]
    return _down(_across(pixels, across), down), _across(_down(pixels, down), across)


def _across(pixels: Grey | Pixels, weights: Grey) -> Grey:
    return _in_8_bits(np.einsum("xc,rcd->rxd", weights, pixels.astype(np.float64), optimize=True))


def _down(pixels: Grey | Pixels, weights: Grey) -> Grey:
    return _in_8_bits(np.einsum("yr,rcd->ycd", weights, pixels.astype(np.float64), optimize=True))


def _in_8_bits(values: Grey) -> Grey:
    return np.clip(np.floor(values + 0.5), 0, 255)


def bicubic(length: int, wanted: int) -> Grey:
    """[wanted, length]: what each old pixel gives to each new one, to 22 bits like Pillow's, or ties fall elsewhere."""
    scale = length / wanted
    centres = (np.arange(wanted) + 0.5) * scale
    weights = _cubic((np.arange(length) + 0.5 - centres[:, None]) / max(scale, 1.0))
    return np.asarray(np.rint(weights / weights.sum(axis=1, keepdims=True) * 2**22) / 2**22)


def _cubic(distances: Grey) -> Grey:
    x = np.abs(distances)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def clip_tensor(pixels: Pixels, extent: tuple[float, float] | None = None) -> NDArray[np.float32]:
    """What the network is to be given for one picture."""
    values = crop_by_pillow(pixels, extent).astype(np.float64) / 255
    return np.asarray(((values - np.array(MEAN)) / np.array(STD)).transpose(2, 0, 1)[None], np.float32)
