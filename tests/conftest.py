"""Fixtures that every tier of the tests shares."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real photos, formats and models beside the checkout; skips the test where it is missing."""
    if not (SHARED / "photos").is_dir():
        pytest.skip("the folder ../shared with the test photos and models is not there")
    return SHARED
