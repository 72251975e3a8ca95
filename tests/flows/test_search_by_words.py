"""Searches by words, through the real service: `up` and `serve`, with generated towers whose answer is known."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from PIL import Image

from tests.stands.running_service import RunningService, running_service, until
from tests.stands.text_towers import (
    AUDIENCE,
    CAT,
    Export,
    cosine,
    direct,
    place_text_search,
    reference_feeds,
    text_graph,
)

pytestmark = pytest.mark.flow

WORDS = {"a photo of a cat": CAT, "A Photo of an  AUDIENCE": AUDIENCE}


@pytest.fixture(scope="module", params=[Export.HUGGING_FACE, Export.OPEN_CLIP])
def export(request: pytest.FixtureRequest) -> Export:
    """Whose export the text tower is."""
    return Export(request.param)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, export: Export) -> Iterator[RunningService]:
    """The service with a bright and a dark photo, points 1 and 2."""
    folder = tmp_path_factory.mktemp("words")
    place_text_search(folder / "models", export)
    settings = {"MODELS_DIR": str(folder / "models"), "IMAGE_MODEL": "two-pictures"}
    with running_service(folder, settings) as service:
        for colour in ("white", "black"):
            Image.new("RGB", (300, 240), colour).save(folder / f"{colour}.png")
            service.run("image_embedding", service.add_media(folder / f"{colour}.png"))
        yield service


@pytest.mark.parametrize(("text", "point"), list(zip(WORDS, (1, 2), strict=True)))
def test_words_find_the_picture_of_what_they_say(
    service: RunningService, export: Export, text: str, point: int
) -> None:
    cat, audience = (direct(text_graph(export), reference_feeds(export, tokens)) for tokens in WORDS.values())

    found = service.search("image_embeddings", text=text)

    assert [hit["id"] for hit in found] == [point, 3 - point]
    assert found[0]["score"] >= 0.99999, "the vector is not that of ONNX Runtime on the golden tokens"
    assert found[1]["score"] == pytest.approx(cosine(cat, audience), abs=1e-4)
    assert found[0]["payload"]["model"] == "two-pictures"


def test_the_engine_is_in_the_child_and_not_in_the_api(service: RunningService) -> None:
    service.search("image_embeddings", text="a cat")
    (child,) = tower_pids(service)

    mapped = Path(f"/proc/{service.process.pid}/maps").read_text("ascii")
    assert "onnxruntime" not in mapped
    assert "tokenizers" not in mapped
    assert "onnxruntime" in Path(f"/proc/{child}/maps").read_text("ascii")


def test_a_tower_that_is_killed_is_back_with_the_next_words(service: RunningService) -> None:
    before = service.search("image_embeddings", text="a cat")
    (child,) = tower_pids(service)
    os.kill(child, signal.SIGKILL)

    assert service.search("image_embeddings", text="a cat") == before
    assert tower_pids(service) != [child]


def test_words_are_in_no_log(service: RunningService) -> None:
    service.search("image_embeddings", text="a very private zebra")

    assert "zebra" not in service.log.read_text()
    assert "text_tower.ready" in service.log.read_text()


def test_the_child_is_gone_when_the_service_has_stopped(tmp_path: Path) -> None:
    place_text_search(tmp_path / "models")
    settings = {"MODELS_DIR": str(tmp_path / "models"), "IMAGE_MODEL": "two-pictures", "AUTH_DISABLED": "true"}
    with running_service(tmp_path, settings):
        pass  # migrates
    with running_service(tmp_path, settings, command="serve") as service:
        assert service.search("image_embeddings", text="a cat") == []
        (child,) = tower_pids(service)
        assert service.stop() == 0
        until(lambda: Path(f"/proc/{child}").exists(), lambda there: not there)


def test_a_stop_ends_a_search_that_hangs_at_once_with_503(tmp_path: Path) -> None:
    place_text_search(tmp_path / "models")
    settings = {"MODELS_DIR": str(tmp_path / "models"), "IMAGE_MODEL": "two-pictures", "AUTH_DISABLED": "true"}
    with running_service(tmp_path, settings):
        pass  # migrates
    with running_service(tmp_path, settings, command="serve") as service:
        assert service.search("image_embeddings", text="a cat") == []
        (child,) = tower_pids(service)
        os.kill(child, signal.SIGSTOP)
        with _search_under_way(service, b'{"text": "a dog"}') as connection:
            begun = time.monotonic()
            service.process.terminate()
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
            took = time.monotonic() - begun
            assert service.process.wait(60) == 0

    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"text_tower_unavailable" in answer
    assert took < 4  # requests that go on are waited for 5 seconds


@contextmanager
def _search_under_way(service: RunningService, body: bytes) -> Iterator[socket.socket]:
    """A connection on which a search was sent; its head was read by the application, or there were no 100."""
    parts = urlsplit(service.url)
    head = (
        f"POST /search/image_embeddings HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n"
    )
    with socket.create_connection((str(parts.hostname), parts.port or 0), timeout=30) as connection:
        connection.sendall(head.encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 100 ")
        connection.sendall(body)
        yield connection


def test_an_image_model_without_a_tower_is_409(tmp_path: Path) -> None:
    with running_service(tmp_path) as service:
        answer = service.request("POST", "/search/image_embeddings", json={"text": "a cat"})

        assert (answer.status_code, answer.json()["code"]) == (409, "text_not_supported")
        assert tower_pids(service) == []


def tower_pids(service: RunningService) -> list[int]:
    """The processes with a text tower that run now."""
    listing = subprocess.run(
        ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(service.process.pid)],
        capture_output=True,
        text=True,
        check=False,
    )
    return [int(line.split()[0]) for line in listing.stdout.splitlines() if "text_process" in line]
