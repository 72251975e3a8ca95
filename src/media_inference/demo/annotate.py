"""Faces drawn into a picture."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from media_inference.demo.result import Face
from media_inference.media.picture import Picture

PICTURE_SIDE = 1600
THUMBNAIL_SIDE = 320
_SMALLEST_SIDE = 640

_BOX, _OUTLINE = (255, 196, 0), (20, 20, 20)
_LANDMARKS = ((0, 200, 255), (0, 200, 255), (255, 90, 160), (120, 230, 60), (120, 230, 60))


def save_pictures(picture: Picture, faces: Sequence[Face], annotated: Path, thumbnail: Path) -> None:
    """Writes the picture with its faces marked, and a small copy without marks, as JPEG files."""
    image = Image.fromarray(picture.pixels)
    small = image.copy()
    small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    small.save(thumbnail, "JPEG", quality=85)
    image = ImageOps.contain(image, _annotated_size(image))
    draw_faces(image, faces, image.width / picture.full_width, image.height / picture.full_height)
    image.save(annotated, "JPEG", quality=88)


def _annotated_size(image: Image.Image) -> tuple[int, int]:
    side = min(max(*image.size, _SMALLEST_SIDE), PICTURE_SIDE)  # marks on a tiny picture would hide it
    return side, side


def draw_faces(image: Image.Image, faces: Sequence[Face], scale_x: float, scale_y: float) -> None:
    """Boxes, landmarks and numbers. ``scale``: pixels of the image per pixel of the full-size picture."""
    draw = ImageDraw.Draw(image)
    stroke = max(2, round(max(image.size) / 400))
    for face in reversed(faces):  # the surest on top
        x, y, width, height = face.box
        box = (x * scale_x, y * scale_y, (x + width) * scale_x, (y + height) * scale_y)
        _draw_box(draw, box, stroke)
        for (left, top), colour in zip(face.landmarks, _LANDMARKS, strict=False):
            _draw_dot(draw, left * scale_x, top * scale_y, stroke, colour)
        _draw_label(draw, f"{face.index} · {face.confidence:.2f}", box, stroke)


def _draw_box(draw: ImageDraw.ImageDraw, box: tuple[float, float, float, float], stroke: int) -> None:
    draw.rectangle(box, outline=_OUTLINE, width=stroke + 2)
    inner = (box[0] + 1, box[1] + 1, max(box[0] + 1, box[2] - 1), max(box[1] + 1, box[3] - 1))
    draw.rectangle(inner, outline=_BOX, width=stroke)


def _draw_dot(draw: ImageDraw.ImageDraw, x: float, y: float, stroke: int, colour: tuple[int, int, int]) -> None:
    draw.circle((x, y), stroke + 1.5, fill=_OUTLINE)
    draw.circle((x, y), stroke, fill=colour)


def _draw_label(draw: ImageDraw.ImageDraw, text: str, box: tuple[float, float, float, float], stroke: int) -> None:
    font = ImageFont.load_default(size=stroke * 6)
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    height = bottom - top + 2 * stroke
    y = box[1] - height if box[1] >= height else box[1]
    draw.rectangle((box[0], y, box[0] + right - left + 2 * stroke, y + height), fill=_BOX)
    draw.text((box[0] + stroke - left, y + stroke - top), text, fill=_OUTLINE, font=font)
