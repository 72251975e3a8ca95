"""What every storm is given."""

import json
import time
from pathlib import Path

import pytest

from tests.storms.ledger import LEDGERS, Verdict
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


_BEGUN = time.time()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The ledgers of this run, whichever process kept them."""
    kept = [path for path in sorted(LEDGERS.glob("*.json")) if path.stat().st_mtime >= _BEGUN]
    if kept:
        terminalreporter.section("ledgers")
    for path in kept:
        terminalreporter.write_line(str(Verdict(**json.loads(path.read_text()))))
