"""The http store against a service that misbehaves in every way that it can."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from media_inference.errors import CannotStart, DependencyAway, ErrorCode, JobError, PermanentError, TransientError
from media_inference.jobs.retry_after import LONGEST_SECONDS, seconds_to_wait
from media_inference.media.catalog import open_media_store, open_result_sink
from media_inference.media.http_store import HttpStore
from media_inference.media.store_kind import StoreOptions

Answer = Callable[["Request"], None]


class Request(BaseHTTPRequestHandler):
    """One request; the service's `answer` deals with it."""

    server: "Service"

    def do_GET(self) -> None:
        self.server.requests.append(self)
        self.server.answer(self)

    def say(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Service(ThreadingHTTPServer):
    """A media_store service whose behaviour a test sets."""

    answer: Answer

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.requests: list[Request] = []
        self.over = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/prefix"


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.over.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def store(service: Service) -> Iterator[HttpStore]:
    opened = HttpStore(StoreOptions(service.url, token="secret", max_bytes=1000, read_timeout=5))
    yield opened
    opened.close()


def _failure(store: HttpStore, media_store_id: str = "7") -> JobError:
    with pytest.raises(JobError) as caught:
        store.fetch(media_store_id)
    return caught.value


def test_a_fetch_asks_for_the_item_with_the_token_and_without_compression(service: Service, store: HttpStore) -> None:
    service.answer = lambda request: request.say(200, b"photo")
    assert store.fetch("photo-1.jpg") == b"photo"
    (request,) = service.requests
    assert request.path == "/prefix/media/photo-1.jpg"
    assert request.headers["Authorization"] == "Bearer secret"
    assert request.headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    ("status", "family", "code"),
    [
        (404, PermanentError, ErrorCode.MEDIA_NOT_FOUND),
        (410, PermanentError, ErrorCode.MEDIA_NOT_FOUND),
        (401, PermanentError, ErrorCode.MEDIA_FORBIDDEN),
        (403, PermanentError, ErrorCode.MEDIA_FORBIDDEN),
        *((status, TransientError, ErrorCode.MEDIA_UNAVAILABLE) for status in (204, 206, 301, 302, 304, 308)),
        *((status, TransientError, ErrorCode.MEDIA_UNAVAILABLE) for status in (400, 405, 408, 418, 422, 500)),
        *((status, TransientError, ErrorCode.MEDIA_UNAVAILABLE) for status in (502, 503, 504)),
        (429, DependencyAway, ErrorCode.MEDIA_UNAVAILABLE),
    ],
)
def test_a_status_decides_about_a_retry(
    service: Service, store: HttpStore, status: int, family: type[JobError], code: ErrorCode
) -> None:
    service.answer = lambda request: request.say(200 if request.path == "/prefix/" else status)
    failure = _failure(store)
    assert type(failure) is family
    assert failure.code == code


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_store_that_answers_everything_so_is_away(service: Service, store: HttpStore, status: int) -> None:
    service.answer = lambda request: request.say(status)
    assert type(_failure(store)) is DependencyAway


def test_a_refused_token_is_loud(service: Service, store: HttpStore, capsys: pytest.CaptureFixture[str]) -> None:
    service.answer = lambda request: request.say(401)
    _failure(store)
    logged = capsys.readouterr().out
    assert "error" in logged
    assert "MEDIA_STORE_TOKEN" in logged
    assert "secret" not in logged


def test_a_refused_token_is_said_once_until_something_was_accepted_again(
    service: Service, store: HttpStore, capsys: pytest.CaptureFixture[str]
) -> None:
    def refusals(*statuses: int) -> int:
        left = list(statuses)
        service.answer = lambda request: request.say(left.pop(0), b"photo")
        for _ in statuses:
            with contextlib.suppress(JobError):
                store.fetch("7")
        return capsys.readouterr().out.count("MEDIA_STORE_TOKEN")

    assert refusals(401, 401, 403, 401) == 1
    assert refusals(401) == 0
    assert refusals(200, 401, 401) == 1


def test_a_closed_store_is_away(service: Service) -> None:
    closed = HttpStore(StoreOptions(service.url))
    closed.close()
    assert type(_failure(closed)) is DependencyAway


def test_a_redirect_is_not_followed(service: Service, store: HttpStore) -> None:
    service.answer = lambda request: request.say(302, Location=f"{service.url}/media/8")
    assert "redirect" in _failure(store).message
    assert [request.path for request in service.requests] == ["/prefix/media/7", "/prefix/"]


def test_a_retry_after_is_passed_on(service: Service, store: HttpStore) -> None:
    service.answer = lambda request: request.say(503, Retry_After="17")
    failure = _failure(store)
    assert isinstance(failure, TransientError)
    assert failure.retry_after == 17


def test_retry_after_may_be_a_date() -> None:
    soon = datetime.now(UTC) + timedelta(seconds=90)
    assert seconds_to_wait(format_datetime(soon, usegmt=True)) == pytest.approx(90, abs=10)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1e9", None),
        ("²", None),
        ("0", 0),
        (" 5 ", 5),
        ("9" * 500, LONGEST_SECONDS),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Wed, 21 Oct 9015 07:28:00 GMT", LONGEST_SECONDS),
        ("Wed, 99 Oct 2015 07:28:00 GMT", None),
    ],
)
def test_a_strange_retry_after_does_no_harm(value: str | None, seconds: float | None) -> None:
    assert seconds_to_wait(value) == seconds


def test_an_announced_size_past_the_limit_is_refused_before_the_body(service: Service, store: HttpStore) -> None:
    def announce(request: Request) -> None:
        request.say(200, Content_Length="1001")
        service.over.wait()

    service.answer = announce
    assert _failure(store).code == ErrorCode.IMAGE_TOO_LARGE


def test_a_body_without_end_is_cut_off_at_the_limit(service: Service, store: HttpStore) -> None:
    def pour(request: Request) -> None:
        request.say(200)
        try:
            while not service.over.is_set():
                request.wfile.write(bytes(100))
        except OSError:
            return

    service.answer = pour
    assert _failure(store).code == ErrorCode.IMAGE_TOO_LARGE


def test_a_compressed_answer_that_nobody_asked_for_is_not_unpacked(service: Service, store: HttpStore) -> None:
    service.answer = lambda request: request.say(200, b"\x1f\x8b", Content_Encoding="gzip")
    assert _failure(store).code == ErrorCode.MEDIA_UNAVAILABLE


def _half(request: Request) -> None:
    request.say(200, b"half", Content_Length="8")


def _rubbish(request: Request) -> None:
    request.wfile.write(b"\0\1\2 rubbish\r\n\r\n")


def _nothing(request: Request) -> None:
    request.close_connection = True


def _endless_header(request: Request) -> None:
    request.wfile.write(b"HTTP/1.1 200 OK\r\nX: " + bytes(1_000_000))


@pytest.mark.parametrize("answer", [_half, _rubbish, _nothing, _endless_header])
def test_a_broken_answer_is_media_unavailable(service: Service, store: HttpStore, answer: Answer) -> None:
    service.answer = answer
    failure = _failure(store)
    assert isinstance(failure, TransientError)
    assert failure.code == ErrorCode.MEDIA_UNAVAILABLE


def _silent(request: Request) -> None:
    request.server.over.wait()


def _dripping(request: Request) -> None:
    request.say(200)
    while not request.server.over.wait(0.02):
        try:
            request.wfile.write(b".")
        except OSError:
            return


@pytest.mark.parametrize("answer", [_silent, _dripping])
def test_a_service_that_takes_too_long_is_media_unavailable(service: Service, answer: Answer) -> None:
    service.answer = answer
    store = HttpStore(StoreOptions(service.url, read_timeout=0.3, total_timeout=0.3))
    failure = _failure(store)
    store.close()
    assert isinstance(failure, TransientError)
    assert failure.code == ErrorCode.MEDIA_UNAVAILABLE


def test_a_proxy_of_the_environment_is_not_used(
    service: Service, store: HttpStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    service.answer = lambda request: request.say(200, b"photo")
    with_proxy = HttpStore(replace(StoreOptions(service.url), read_timeout=5))
    assert with_proxy.fetch("7") == b"photo"
    with_proxy.close()


@pytest.mark.parametrize(
    ("status", "reachable"), [(200, True), (404, True), (401, True), (500, True), (429, False), (503, False)]
)
def test_any_answer_below_500_but_429_shows_that_somebody_is_there(
    service: Service, store: HttpStore, status: int, *, reachable: bool
) -> None:
    service.answer = lambda request: request.say(status)
    if reachable:
        store.check()
    else:
        with pytest.raises(TransientError):
            store.check()


@pytest.mark.parametrize(
    "url",
    [
        *("http://", "http:///photos", "http://host:99999", "http://host:port", "http://[::1", "http://host/?a=b"),
        *("http://host/#here", "http://user:password@host", "http://host\n.example"),
    ],
)
def test_an_address_that_can_not_be_meant_stops_the_start(url: str) -> None:
    for open_it in (open_media_store, open_result_sink):
        with pytest.raises(CannotStart) as caught:
            open_it(StoreOptions(url))
        assert "password@" not in str(caught.value)


@pytest.mark.parametrize("token", ["a b", "a\r\nX: y", "ä", "\0"])
def test_a_token_that_no_header_can_carry_stops_the_start(token: str) -> None:
    with pytest.raises(CannotStart) as caught:
        open_media_store(StoreOptions("http://host", token))
    assert token not in str(caught.value)


def test_the_stores_that_take_results_say_so(tmp_path: Path) -> None:
    sink = open_result_sink(StoreOptions("http://host"))
    assert isinstance(sink, HttpStore)
    sink.close()
    assert open_result_sink(StoreOptions(tmp_path.as_uri())) is None
    assert open_result_sink(StoreOptions("stub:")) is None
    assert "secret" not in repr(StoreOptions("http://host", "secret"))
