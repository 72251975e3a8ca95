"""Fixtures and rules that every tier of the tests shares."""

import os
from collections.abc import Generator
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real photos, formats and models beside the checkout; skips the test where it is missing."""
    if not (SHARED / "photos").is_dir():
        pytest.skip("the folder ../shared with the test photos and models is not there")
    return SHARED


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With NOTHING_SKIPPED set, as in CI, a skipped test is a failed one: what it needs should be there."""
    report = yield
    if report.skipped and os.environ.get("NOTHING_SKIPPED"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} ({call.when}) was skipped, and nothing may be skipped here: {reason}"
    return report


@pytest.fixture(scope="session")
def vit_b_32(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a graph of the shape of CLIP's ViT-B/32 image tower, all 12 layers, random weights; 351 MB."""
    from tests.stands.vit_b_32 import vit_b_32_graph  # loads onnx, which most tests do without

    path = tmp_path_factory.mktemp("vit-b-32") / "model.onnx"
    path.write_bytes(vit_b_32_graph())
    return path
