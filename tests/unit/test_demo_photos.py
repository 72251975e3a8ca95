"""Which photos the demo takes, and how it marks them."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from media_inference.demo.annotate import THUMBNAIL_SIDE, draw_faces, save_pictures
from media_inference.demo.photos import photos_in, printable
from media_inference.demo.result import Face
from media_inference.demo.samples import sample_photos
from media_inference.errors import CannotStart
from media_inference.media.picture import Picture

FACE = Face(0, (100.0, 50.0, 200.0, 100.0), ((150.0, 80.0),), 0.9)


def test_a_folders_pictures_are_told_by_their_suffix_and_sorted(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", "notes.txt", ".hidden.jpg", "c.heic"):
        (tmp_path / name).touch()
    (tmp_path / "folder.jpg").mkdir()
    choice = photos_in(tmp_path)
    assert [photo.name for photo in choice.photos] == ["a.png", "b.JPG", "c.heic"]
    assert choice.left_out == 0


def test_a_large_folder_is_capped_and_the_rest_counted(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"{number}.jpg").touch()
    choice = photos_in(tmp_path, most=3)
    assert ([photo.name for photo in choice.photos], choice.left_out) == (["0.jpg", "1.jpg", "2.jpg"], 2)


@pytest.mark.parametrize("folder", ["empty", "missing"])
def test_a_folder_without_pictures_can_not_start(tmp_path: Path, folder: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(CannotStart, match=folder):
        photos_in(tmp_path / folder)


def test_a_name_can_not_steer_the_terminal() -> None:
    assert printable("a\x1b[31m\udcff\nünï.png") == "a�[31m��ünï.png"


def test_the_samples_are_found_without_importing_their_packages() -> None:
    pytest.importorskip("skimage", reason="scikit-image, which brings the samples, is not installed")
    loaded = "skimage" in sys.modules
    names = {photo.name for photo in sample_photos().photos}
    assert {"astronaut.png", "cat.png", "motorcycle_left.png", "motorcycle_right.png"} <= names
    assert all(photo.path.is_file() for photo in sample_photos().photos)
    assert ("skimage" in sys.modules) == loaded


def test_without_the_samples_the_package_to_install_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.delitem(sys.modules, "skimage", raising=False)
    with pytest.raises(CannotStart, match=r"pip install 'media-inference\[demo\]'"):
        sample_photos()


def test_faces_are_marked_where_they_are_in_a_smaller_copy() -> None:
    image = Image.new("RGB", (400, 200), "white")
    draw_faces(image, [FACE], 0.5, 0.5)
    marked = np.argwhere(np.asarray(image).min(axis=2) < 250)
    (top, left), (bottom, right) = marked.min(axis=0), marked.max(axis=0)
    assert (left, right, bottom) == (50, 150, 75)
    assert top < 25  # the label stands above the box
    assert np.asarray(image)[40, 75].tolist() == [0, 200, 255]


def test_pictures_are_written_annotated_and_as_plain_thumbnails(tmp_path: Path) -> None:
    pixels = np.full((300, 2000, 3), 255, np.uint8)
    save_pictures(Picture(pixels, 4000, 600), [FACE], tmp_path / "annotated.jpg", tmp_path / "thumbnail.jpg")
    with Image.open(tmp_path / "annotated.jpg") as annotated, Image.open(tmp_path / "thumbnail.jpg") as thumbnail:
        assert annotated.size == (1600, 240)
        assert np.asarray(annotated).min() < 100
        assert thumbnail.size == (THUMBNAIL_SIDE, 48)
        assert np.asarray(thumbnail).min() > 250


@pytest.mark.parametrize("box", [(0.0, 0.0, 0.4, 0.4), (-5.0, -5.0, 900.0, 900.0), (639.0, 479.0, 1.0, 1.0)])
def test_a_box_at_the_edge_or_almost_without_size_is_no_error(box: tuple[float, float, float, float]) -> None:
    draw_faces(Image.new("RGB", (640, 480)), [Face(0, box, (), 0.5)], 1.0, 1.0)
