"""The networks of a worker, as its settings name them."""

from pathlib import Path

import numpy as np
import pytest

from media_inference.processes.networks import load_toolbox
from media_inference.settings import load_settings
from media_inference.tasks.toolbox import Toolbox
from tests.stands.model_files import place_yunet
from tests.stands.pictures import picture


def toolbox(models_dir: Path, **given: object) -> Toolbox:
    names = {"image_model": "gabor-512", "face_detector": "mtcnn", "face_model": "gabor-face-512"}
    loaded, _ = load_toolbox(load_settings(_env_file=None, models_dir=models_dir, **(names | given)), threads=1)
    return loaded


@pytest.mark.parametrize(("tiles", "long_side"), [(False, 1024), (True, 2560)])
def test_face_tiles_decides_how_fine_a_picture_the_detector_wants(tmp_path: Path, tiles: bool, long_side: int) -> None:
    detector = toolbox(tmp_path, face_tiles=tiles).face_detector

    assert (detector.name, detector.long_side) == ("mtcnn", long_side)


def test_a_worker_looks_twice_for_faces_without_being_told(tmp_path: Path, shared: Path) -> None:
    place_yunet(tmp_path, shared)
    close_up = np.ascontiguousarray(picture(shared / "photos" / "obama_1.jpg")[172:369, 417:565])

    assert len(toolbox(tmp_path, face_detector="yunet-2023mar").face_detector.detect(close_up)) == 1
