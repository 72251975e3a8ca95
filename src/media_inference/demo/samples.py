"""Free photos that come with scikit-image and matplotlib; the packages are looked up, never imported."""

from importlib.util import find_spec
from pathlib import Path

from media_inference.demo.photos import Choice, Photo
from media_inference.errors import CannotStart

# The file inside the package, and the name that it is shown under. Two faces, three pictures without one, and two
# pictures of one scene from a hand's breadth apart, which are each other's nearest neighbours.
_SKIMAGE = {
    "data/astronaut.png": "astronaut.png",
    "data/chelsea.png": "cat.png",
    "data/coffee.png": "coffee.png",
    "data/motorcycle_left.png": "motorcycle_left.png",
    "data/motorcycle_right.png": "motorcycle_right.png",
    "data/rocket.jpg": "rocket.jpg",
}
_MATPLOTLIB = {"mpl-data/sample_data/grace_hopper.jpg": "grace_hopper.jpg"}


def sample_photos() -> Choice:
    """The sample photos; raises `CannotStart` when the packages that bring them are not installed."""
    photos = _photos_of("skimage", _SKIMAGE) + _photos_of("matplotlib", _MATPLOTLIB)
    if len(photos) < len(_SKIMAGE):
        raise CannotStart(
            "the sample photos are not installed: pip install 'media-inference[demo]', "
            "or name a folder of your own: media-inference demo FOLDER"
        )
    return Choice(tuple(sorted(photos, key=lambda photo: photo.name)))


def _photos_of(package: str, files: dict[str, str]) -> list[Photo]:
    spec = find_spec(package)
    folders = (spec and spec.submodule_search_locations) or []
    paths = [(Path(folder, file), name) for folder in folders for file, name in files.items()]
    return [Photo(name, path) for path, name in paths if path.is_file()]
