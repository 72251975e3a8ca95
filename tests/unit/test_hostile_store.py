"""What the http store makes of a server that misbehaves in every way that has a name."""

import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from media_inference.errors import DependencyAway, ErrorCode, JobError, PermanentError, TransientError
from media_inference.jobs.retry_after import LONGEST_SECONDS
from media_inference.media.decoder import Decoder
from media_inference.media.http_store import HttpStore
from media_inference.media.store import ResultUpload
from media_inference.media.store_kind import StoreOptions
from tests.stands.hostile_behaviours import BEHAVIOURS, PHOTO, UPLOAD_BEHAVIOURS
from tests.stands.hostile_store import Behaviour, Canary, HostileStore, Visit
from tests.stands.running_service import until

pytestmark = pytest.mark.slow

TOKEN = "a-very-secret-token"
TOTAL = 1.0
MAX_BYTES = 100_000
SLACK_SECONDS = 8.0  # two cores, and others use them as well; what hangs would do so for twenty
HANGING = {
    *("body one byte a second", "body byte by byte", "headers byte by byte", "interim answers for ever"),
    *("never answers", "silent in mid-body", "stored and silent", "early answer, body never read"),
}
"""Only these are to be given up; an honest answer may take its time."""

Stand = Callable[..., tuple[HostileStore, HttpStore]]

TRANSIENT = (TransientError, ErrorCode.MEDIA_UNAVAILABLE)
AWAY = (DependencyAway, ErrorCode.MEDIA_UNAVAILABLE)
TOO_LARGE = (PermanentError, ErrorCode.IMAGE_TOO_LARGE)
ABSENT = (PermanentError, ErrorCode.MEDIA_NOT_FOUND)
FORBIDDEN = (PermanentError, ErrorCode.MEDIA_FORBIDDEN)
REJECTED = (PermanentError, ErrorCode.UPLOAD_REJECTED)

FETCHED = {
    "honest": PHOTO,
    "answers twice": PHOTO,
    "photo with links": PHOTO,
    "cookies": PHOTO,
    "length too small": PHOTO[:100],
    "empty": b"",
    "html": b"<!doctype html><title>Please log in</title>",
}
NOT_TRANSIENT = {
    **dict.fromkeys(["endless body", "endless chunks", "length past the limit"], TOO_LARGE),
    **dict.fromkeys(["404", "404 briefly", "410"], ABSENT),
    **dict.fromkeys(["401", "403"], FORBIDDEN),
    **dict.fromkeys(["429 in 7 s", "429 in a while", "429 in -5 s", "429 in NaN s"], AWAY),
}
REFUSED_UPLOADS = {
    **dict.fromkeys(["400", "405", "409", "413", "415", "422", "early answer"], REJECTED),
    **dict.fromkeys(["404", "410"], ABSENT),
    **dict.fromkeys(["401", "403"], FORBIDDEN),
    **dict.fromkeys(["502", "503 until 1970", "504"], TRANSIENT),
    **dict.fromkeys(["429 in 7 s", "429 in a while", "429 in -5 s", "429 in NaN s"], AWAY),
    **dict.fromkeys(["stored but answered 500", "stored but the answer lost", "stored and silent"], TRANSIENT),
    **dict.fromkeys(["500", "408", "425", "418", "304", "redirect to another host", "permanent redirect"], TRANSIENT),
    **dict.fromkeys(["never answers", "headers byte by byte", "hangs up", "http/0.9", "endless header"], TRANSIENT),
    **dict.fromkeys(["interim answers for ever", "random bytes", "101", "reset in headers"], TRANSIENT),
}
TAKEN_UPLOADS = [
    *("201", "202", "204", "299", "accepted with an endless answer", "accepted with a dripping answer"),
    *("honest", "length too small", "html", "empty", "gzip bomb", "206", "length too large"),
]


class _Connects:
    """Every address that this process connects a socket to, as the interpreter reports it."""

    def __init__(self) -> None:
        self.listening = False
        self.seen: list[object] = []
        sys.addaudithook(self._note)  # it can't be removed again

    def _note(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.listening and event == "socket.connect":
            self.seen.append(arguments[1])


AUDIT = _Connects()


@pytest.fixture
def connects() -> Iterator[list[object]]:
    AUDIT.seen = []
    AUDIT.listening = True
    yield AUDIT.seen
    AUDIT.listening = False


@pytest.fixture
def canary() -> Iterator[Canary]:
    bird = Canary()
    yield bird
    bird.close()


@pytest.fixture
def stand(canary: Canary) -> Iterator[Stand]:
    opened: list[HostileStore | HttpStore] = []

    def make(
        behaviour: Behaviour, *, thorough: bool = False, patient: bool = False, hangs: bool = False
    ) -> tuple[HostileStore, HttpStore]:
        server = HostileStore(behaviour, canary=canary.address, thorough=thorough, patient=patient)
        opened.append(server)
        silence, total = (0.5, TOTAL) if hangs else (20.0, 20.0)
        store = HttpStore(
            StoreOptions(server.url, TOKEN, MAX_BYTES, connect_timeout=20.0, read_timeout=silence, total_timeout=total)
        )
        opened.append(store)
        return server, store

    yield make
    for one in reversed(opened):
        one.close()


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


def _failure(run: Callable[[], object]) -> JobError:
    # An item's own time, and what the question after the store itself takes.
    with _within(2 * TOTAL + SLACK_SECONDS), pytest.raises(JobError) as caught:
        run()
    return caught.value


def _upload(tmp_path: Path, faces: int = 2, size: int = 1000) -> ResultUpload:
    crops = []
    for index in range(faces):
        path = tmp_path / f"{index}.jpg"
        path.write_bytes(bytes([index]) * size)
        crops.append((f"face_{index}", path))
    return ResultUpload("job-1", "face_detection", "mtcnn", {"faces": faces, "note": "ä"}, crops)


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_a_fetch_ends_in_the_right_class_of_error_in_time(
    stand: Stand,
    connects: list[object],
    canary: Canary,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    server, store = stand(BEHAVIOURS[name], hangs=name in HANGING)
    message = ""
    if name in FETCHED:
        assert store.fetch("7") == FETCHED[name]
    else:
        failure = _failure(lambda: store.fetch("7"))
        assert (type(failure), failure.code) == NOT_TRANSIENT.get(name, TRANSIENT)
        message = failure.message
    assert set(connects) == {server.origin}
    assert canary.visits() == 0
    assert set(server.paths) <= {"/prefix/media/7", "/prefix/"}
    assert TOKEN not in message + str(capsys.readouterr())
    assert "127.0.0.1" not in message


@pytest.mark.parametrize("name", [*REFUSED_UPLOADS, *TAKEN_UPLOADS])
def test_an_upload_ends_in_the_right_class_of_error_in_time(
    stand: Stand, connects: list[object], canary: Canary, tmp_path: Path, name: str
) -> None:
    server, store = stand((BEHAVIOURS | UPLOAD_BEHAVIOURS)[name], hangs=name in HANGING)
    upload = _upload(tmp_path)
    if name in REFUSED_UPLOADS:
        failure = _failure(lambda: store.upload("7", upload))
        assert (type(failure), failure.code) == REFUSED_UPLOADS[name]
    else:
        with _within(TOTAL + SLACK_SECONDS):
            store.upload("7", upload)
    assert set(connects) == {server.origin}
    assert canary.visits() == 0
    assert set(server.paths) <= {"/prefix/media/7/results", "/prefix/"}


@pytest.mark.parametrize("name", ["never answers", "headers byte by byte", "hangs up", "http/0.9", "tls alert", "502"])
def test_a_store_that_answers_to_nothing_is_away(stand: Stand, name: str) -> None:
    _, store = stand(BEHAVIOURS[name], thorough=True, hangs=name in HANGING)
    failure = _failure(lambda: store.fetch("7"))
    assert isinstance(failure, DependencyAway)
    assert failure.dependency == "media_store"
    with _within(TOTAL + SLACK_SECONDS), pytest.raises(DependencyAway):
        store.check()


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1",
        "http://no-such-name.invalid",
        f"http://{'x' * 64}.invalid",
        "https://127.0.0.1:{port}",
    ],
    ids=["refused", "no such name", "no possible name", "no TLS"],
)
def test_a_store_that_nobody_can_connect_to_is_away(stand: Stand, tmp_path: Path, url: str) -> None:
    server, _ = stand(BEHAVIOURS["honest"])
    store = HttpStore(StoreOptions(url.format(port=server.origin[1]), TOKEN, connect_timeout=0.5, total_timeout=TOTAL))
    for run in (lambda: store.fetch("7"), lambda: store.upload("7", _upload(tmp_path)), store.check):
        assert isinstance(_failure(run), DependencyAway)
    store.close()


def test_a_full_backlog_is_a_store_that_is_away() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(address)
        store = HttpStore(StoreOptions(f"http://127.0.0.1:{address[1]}", connect_timeout=0.3, total_timeout=60))
        with _within(0.3 + SLACK_SECONDS), pytest.raises(DependencyAway):
            store.fetch("7")
        store.close()
        for each in waiting:
            each.close()


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("429 in 7 s", 7),
        ("429 in a while", LONGEST_SECONDS),
        ("429 in -5 s", None),
        ("429 in NaN s", None),
        ("503 until 1970", 0),
    ],
)
def test_a_retry_after_is_passed_on_if_it_makes_sense(
    stand: Stand, tmp_path: Path, name: str, seconds: float | None
) -> None:
    _, store = stand(BEHAVIOURS[name])
    for run in (lambda: store.fetch("7"), lambda: store.upload("7", _upload(tmp_path))):
        failure = _failure(run)
        assert isinstance(failure, TransientError)
        assert failure.retry_after == seconds


@pytest.mark.parametrize(("name", "code"), [("html", "unsupported_format"), ("empty", "image_corrupt")])
def test_what_is_no_picture_is_refused_by_the_decoder(stand: Stand, name: str, code: str) -> None:
    _, store = stand(BEHAVIOURS[name])
    decoder = Decoder()
    with pytest.raises(PermanentError) as caught:
        decoder.decode(store.fetch("7"))
    decoder.close()
    assert caught.value.code == code


@pytest.mark.parametrize(
    "name",
    [
        *("endless body", "endless chunks", "endless header", "many headers", "endless trailers"),
        *("gzip bomb", "deflate bomb", "interim answers for ever", "length past the limit"),
    ],
)
def test_memory_stays_bounded(stand: Stand, name: str) -> None:
    _, store = stand(BEHAVIOURS[name], hangs=name in HANGING)
    tracemalloc.start()
    _failure(lambda: store.fetch("7"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4_000_000


def test_what_comes_behind_an_answer_is_no_answer_to_the_next_request(stand: Stand, tmp_path: Path) -> None:
    server, store = stand(BEHAVIOURS["length too small"], patient=True)
    assert [store.fetch("7") for _ in range(3)] == [PHOTO[:100]] * 3
    assert (server.connections, server.paths) == (3, ["/prefix/media/7"] * 3)
    server, store = stand(BEHAVIOURS["answers twice"], patient=True)
    for _ in range(3):
        assert store.fetch("7") == PHOTO
        store.upload("7", _upload(tmp_path))
    assert server.connections == 6


def test_a_kept_connection_that_the_server_closed_costs_no_failure(stand: Stand, tmp_path: Path) -> None:
    server, store = stand(BEHAVIOURS["honest"])  # promises to keep the connection, and closes it
    for _ in range(20):
        assert store.fetch("7") == PHOTO
        store.upload("7", _upload(tmp_path))
    assert server.connections >= 40


def test_connections_are_used_again_and_no_cookie_comes_back(stand: Stand) -> None:
    server, store = stand(BEHAVIOURS["cookies"], patient=True)
    for _ in range(5):
        store.fetch("7")
    assert server.connections == 1
    store.upload("7", ResultUpload("job-1", "face_detection", None, {}))
    assert server.connections == 1
    assert not any(b"cookie" in head.lower() for head in server.heads)


def test_many_threads_share_a_bounded_number_of_connections(stand: Stand) -> None:
    server, _ = stand(BEHAVIOURS["honest"], patient=True)
    store = HttpStore(StoreOptions(server.url, max_connections=3))
    with ThreadPoolExecutor(16) as threads:
        assert set(threads.map(store.fetch, map(str, range(200)))) == {PHOTO}
    store.close()
    assert server.connections <= 3


def test_one_hostile_item_holds_up_no_other(stand: Stand) -> None:
    hang_up = threading.Event()

    def behave(visit: Visit) -> None:
        if visit.path.endswith("/slow"):
            hang_up.wait(20)
        else:
            BEHAVIOURS["honest"](visit)

    server, store = stand(behave)
    with ThreadPoolExecutor(4) as threads:
        slow = [threads.submit(store.fetch, "slow") for _ in range(3)]
        until(lambda: len(server.heads), lambda asked: asked == 3)
        assert store.fetch("7") == PHOTO
        assert not any(each.done() for each in slow)
        hang_up.set()
        assert {type(each.exception()) for each in slow} == {TransientError}


def test_an_upload_is_a_form_with_a_document_and_pictures(stand: Stand, tmp_path: Path) -> None:
    server, store = stand(UPLOAD_BEHAVIOURS["201"])
    store.upload("photo-1.jpg", _upload(tmp_path))
    (head,) = server.heads
    (body,) = server.stored
    assert head.startswith(b"POST /prefix/media/photo-1.jpg/results HTTP/1.1\r\n")
    assert b"\r\nidempotency-key: job-1\r\n" in head.lower() + b"\r\n"
    boundary = head.lower().split(b"boundary=")[1].split(b"\r\n")[0]
    opening, *parts, closing = body.split(b"\r\n--" + boundary)
    assert (opening, closing) == (b"", b"--\r\n")
    document, *pictures = [part.strip(b"\r\n").split(b"\r\n\r\n") for part in parts]
    assert document == [
        b'Content-Disposition: form-data; name="result"\r\nContent-Type: application/json',
        b'{"job_id": "job-1", "task_type": "face_detection", "model": "mtcnn", '
        + '"result": {"faces": 2, "note": "ä"}}'.encode(),
    ]
    assert pictures == [
        [
            b'Content-Disposition: form-data; name="face_%d"; filename="face_%d.jpg"\r\nContent-Type: image/jpeg'
            % (index, index),
            bytes([index]) * 1000,
        ]
        for index in range(2)
    ]


def test_a_large_upload_is_not_held_in_memory(stand: Stand, tmp_path: Path) -> None:
    _, store = stand(UPLOAD_BEHAVIOURS["early answer, body never read"], hangs=True)
    upload = _upload(tmp_path, faces=8, size=4_000_000)
    tracemalloc.start()
    failure = _failure(lambda: store.upload("7", upload))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (type(failure), failure.code) == TRANSIENT
    assert peak < 4_000_000


def test_a_thousand_crops_are_uploaded_with_few_open_files(stand: Stand, tmp_path: Path) -> None:
    import resource

    server, store = stand(UPLOAD_BEHAVIOURS["201"])
    upload = _upload(tmp_path, faces=200, size=10)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
    try:
        store.upload("7", upload)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert server.stored[0].count(b"image/jpeg") == 200


def test_a_crop_that_is_gone_is_the_fault_of_nobody_else(stand: Stand, tmp_path: Path) -> None:
    server, store = stand(UPLOAD_BEHAVIOURS["201"])
    upload = _upload(tmp_path)
    (tmp_path / "1.jpg").unlink()
    failure = _failure(lambda: store.upload("7", upload))
    assert (type(failure), failure.code) == (PermanentError, ErrorCode.INTERNAL)
    assert not server.heads


def test_a_crop_that_changes_while_it_is_sent_is_transient(stand: Stand, tmp_path: Path) -> None:
    _, store = stand(UPLOAD_BEHAVIOURS["201"])
    upload = _upload(tmp_path)
    upload.crops[1][1].unlink()
    upload.crops[1][1].symlink_to("/proc/self/status")  # says that it has no bytes, and has some
    failure = _failure(lambda: store.upload("7", upload))
    assert (type(failure), failure.code) == (TransientError, ErrorCode.INTERNAL)


def test_closing_ends_what_still_runs(stand: Stand) -> None:
    server, store = stand(BEHAVIOURS["never answers"])
    patient = HttpStore(StoreOptions(server.url, read_timeout=60, total_timeout=60))
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(patient.fetch, "7")
        while not server.heads:
            threading.Event().wait(0.01)
        with _within(SLACK_SECONDS):
            patient.close()
            assert isinstance(waiting.exception(), DependencyAway)
    store.close()
