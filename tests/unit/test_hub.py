"""Model files from a hub: what is asked of it, and what lies on disk afterwards."""

import os
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import pytest

from media_inference.errors import DownloadFailed, HubUnreachable
from media_inference.models.gabor import GABOR_512
from media_inference.models.model import HubFile, Model
from media_inference.models.yunet import YUNET_2023MAR
from media_inference.runtime.download import Patience
from media_inference.runtime.hub import pull
from tests.stands.hub import Behaviour, Hub, dripping_hub, hub
from tests.stands.model_files import sha256

CONTENT = os.urandom(3 << 20)
REVISION = "0" * 40
ONE_LINE = r"\A[^\n]+\Z"
IN_TIME = 8.0
"""Seconds, on a busy machine, for what is bounded at half a second: the client's own bound is ten, or there is none."""
FILE = HubFile("org/repo", REVISION, "sub/model.onnx", sha256(CONTENT), len(CONTENT))
MODEL: Model = replace(YUNET_2023MAR, name="pinned", files=(FILE,))


@pytest.fixture
def running() -> Iterator[Hub]:
    with hub() as stand:
        stand.put(FILE.repo, REVISION, FILE.path, CONTENT)
        yield stand
        huggingface_hub.close_session()


def leftovers(models_dir: Path) -> list[str]:
    return [str(path.relative_to(models_dir)) for path in models_dir.rglob("*") if path.is_file()]


def test_a_pulled_file_lies_in_its_place_and_progress_was_told(running: Hub, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []

    pulled = pull(MODEL, tmp_path, lambda *step: told.append(step), endpoint=running.url)

    assert pulled == [tmp_path / "pinned" / "model.onnx"]
    assert pulled[0].read_bytes() == CONTENT
    assert leftovers(tmp_path) == ["pinned/model.onnx"]
    assert told[-1] == ("model.onnx", len(CONTENT), len(CONTENT))
    assert [step[1] for step in told] == sorted(step[1] for step in told)


def test_every_file_of_a_model_is_pulled_whatever_it_is(running: Hub, tmp_path: Path) -> None:
    words = b'{"version": "1.0"}'
    running.put(FILE.repo, REVISION, "tokenizer.json", words)
    tokenizer = HubFile(FILE.repo, REVISION, "tokenizer.json", sha256(words), len(words))

    pull(replace(MODEL, files=(FILE, tokenizer)), tmp_path, endpoint=running.url)

    assert sorted(leftovers(tmp_path)) == ["pinned/model.onnx", "pinned/tokenizer.json"]


def test_a_file_that_is_there_is_not_pulled_again(running: Hub, tmp_path: Path) -> None:
    pull(MODEL, tmp_path, endpoint=running.url)
    running.received.clear()

    assert pull(MODEL, tmp_path, endpoint=running.url) == []
    assert running.requests == []


def test_a_wrong_file_in_the_place_is_replaced(running: Hub, tmp_path: Path) -> None:
    (tmp_path / "pinned").mkdir()
    (tmp_path / "pinned" / "model.onnx").write_bytes(CONTENT[:-1] + b"?")

    (path,) = pull(MODEL, tmp_path, endpoint=running.url)

    assert path.read_bytes() == CONTENT


def test_the_hub_is_told_nothing_but_the_file_that_is_wanted(
    running: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "")

    pull(MODEL, tmp_path, endpoint=running.url)

    assert running.requests == ["HEAD /", f"GET /org/repo/resolve/{REVISION}/sub/model.onnx"]
    harmless = {"accept", "accept-encoding", "connection", "host", "user-agent", "x-amzn-trace-id"}
    assert {name for request in running.received for name in request.headers} <= harmless


@pytest.mark.parametrize("served", [b"x" * len(CONTENT), CONTENT[:-1], CONTENT + b"x", b""])
def test_another_file_than_the_pinned_one_is_not_kept(running: Hub, tmp_path: Path, served: bytes) -> None:
    running.put(FILE.repo, REVISION, FILE.path, served)

    with pytest.raises(DownloadFailed, match=r"^sub/model\.onnx of org/repo [^\n]*$"):
        pull(MODEL, tmp_path, endpoint=running.url)

    assert len(running.ranges) == 1
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize(
    ("status", "told"), [(404, r"404 for sub/model\.onnx of org/repo"), (401, "HF_TOKEN"), (403, "HF_TOKEN")]
)
def test_a_file_that_can_not_be_had_is_named_and_asked_for_once(
    running: Hub, tmp_path: Path, status: int, told: str
) -> None:
    running.usual = Behaviour(status=status)

    with pytest.raises(DownloadFailed, match=told) as caught:
        pull(MODEL, tmp_path, endpoint=running.url)

    assert "\n" not in str(caught.value)
    assert len(running.ranges) == 1
    assert leftovers(tmp_path) == []


def test_a_built_in_model_needs_no_hub(tmp_path: Path) -> None:
    assert pull(GABOR_512, tmp_path, endpoint="http://127.0.0.1:1") == []


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:1", "http://hub.invalid", "no address", "ftp://127.0.0.1"])
def test_a_hub_that_is_not_there_is_known_at_once(tmp_path: Path, endpoint: str) -> None:
    start = time.monotonic()

    with pytest.raises(HubUnreachable, match=ONE_LINE):
        pull(MODEL, tmp_path, endpoint=endpoint)

    assert time.monotonic() - start < Patience().answer_s + IN_TIME
    assert leftovers(tmp_path) == []


def test_a_hub_that_never_answers_is_given_up_in_time(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        start = time.monotonic()

        with pytest.raises(HubUnreachable):
            pull(MODEL, tmp_path, endpoint=endpoint, patience=Patience(answer_s=0.5))

        assert time.monotonic() - start < IN_TIME
    huggingface_hub.close_session()


def test_a_hub_that_answers_too_slowly_is_given_up_in_time(tmp_path: Path) -> None:
    with dripping_hub() as endpoint:
        start = time.monotonic()

        with pytest.raises(HubUnreachable, match=r"did not answer within 0\.5 s"):
            pull(MODEL, tmp_path, endpoint=endpoint, patience=Patience(answer_s=0.5))

        assert time.monotonic() - start < IN_TIME
    huggingface_hub.close_session()


def test_a_folder_that_can_not_be_written_is_one_line(running: Hub, tmp_path: Path) -> None:
    (tmp_path / "pinned").write_text("a file where the folder should be")

    with pytest.raises(DownloadFailed, match=r"^[^\n]*can't be written[^\n]*$"):
        pull(MODEL, tmp_path, endpoint=running.url)


def test_a_folder_in_the_place_of_the_file_is_one_line(running: Hub, tmp_path: Path) -> None:
    (tmp_path / "pinned" / "model.onnx").mkdir(parents=True)

    with pytest.raises(DownloadFailed, match=r"^[^\n]*model\.onnx can't be written[^\n]*$"):
        pull(MODEL, tmp_path, endpoint=running.url)
