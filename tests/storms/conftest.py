"""What every storm is given."""

from pathlib import Path

import pytest

from tests.storms.photos import Photo, photos
from tests.storms.size import Size, size_from_environment


@pytest.fixture(scope="session")
def size() -> Size:
    """How large it is to be."""
    return size_from_environment()


@pytest.fixture(scope="session")
def known_photos(shared: Path) -> dict[str, Photo]:
    """Small photos whose outcome is known, by name."""
    return photos(shared)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A storm with a ``seed`` runs once for each."""
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", size_from_environment().seeds)
