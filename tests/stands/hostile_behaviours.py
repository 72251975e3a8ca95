"""Every way in which a media store misbehaves here, by name."""

import gzip
import itertools
import os
import zlib
from email.utils import formatdate

from tests.stands.hostile_store import Behaviour, Visit

PHOTO = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 8
BEAT_SECONDS = 0.2
"""Between two dripped bytes: shorter than the longest silence that a test allows."""
TRICKLE_SECONDS = 1.0


def _says(status: str, body: bytes = b"", *headers: str) -> Behaviour:
    def behave(visit: Visit) -> None:
        if visit.is_upload:
            visit.read_body()
        visit.say(status, body, *headers)

    return behave


def _sends(content: bytes) -> Behaviour:
    def behave(visit: Visit) -> None:
        if visit.is_upload:
            visit.read_body()
        visit.send(content)

    return behave


def _ok(headers: str, body: bytes) -> Behaviour:
    return _sends(f"HTTP/1.1 200 OK\r\n{headers}\r\n\r\n".encode() + body)


def _honest(visit: Visit) -> None:
    if visit.is_upload:
        visit.read_body()
    visit.say("200 OK", PHOTO)


def _body_byte_by_byte(visit: Visit) -> None:
    visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
    visit.drip(itertools.repeat(b"x", 100), BEAT_SECONDS)


def _body_one_byte_a_second(visit: Visit) -> None:
    visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
    visit.drip(itertools.repeat(b"x", 100), TRICKLE_SECONDS)


def _headers_byte_by_byte(visit: Visit) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX-Padding: " + b"x" * 200
    visit.drip((head[place : place + 1] for place in range(len(head))), BEAT_SECONDS)


def _interim_answers_for_ever(visit: Visit) -> None:
    visit.drip(itertools.repeat(b"HTTP/1.1 102 Processing\r\n\r\n"), 0.001)


def _silence(visit: Visit) -> None:
    visit.over.wait()


def _silence_after_headers(visit: Visit) -> None:
    visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    visit.over.wait()


def _endless_body(visit: Visit) -> None:
    visit.send(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        visit.send(PHOTO * 16)


def _endless_chunks(visit: Visit) -> None:
    visit.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        visit.send(b"64\r\n" + bytes(100) + b"\r\n")


def _endless_header(visit: Visit) -> None:
    visit.send(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        visit.send(b"x" * 65536)


def _many_headers(visit: Visit) -> None:
    visit.send(b"HTTP/1.1 200 OK\r\n")
    while True:
        visit.send(b"Set-Cookie: a=b\r\n" * 1000)


def _endless_trailers(visit: Visit) -> None:
    visit.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n")
    while True:
        visit.send(b"X: y\r\n" * 1000)


def _redirect_to_canary(visit: Visit) -> None:
    visit.say("302 Found", b"", f"Location: http://{visit.canary}/media/7")


def _permanent_redirect_to_canary(visit: Visit) -> None:
    visit.say("308 Permanent Redirect", b"", f"Location: http://{visit.canary}/media/7", f"Refresh: 0;{visit.canary}")


def _photo_elsewhere(visit: Visit) -> None:
    visit.say("200 OK", PHOTO, f"Content-Location: http://{visit.canary}/", f"Link: <http://{visit.canary}/>")


def _reset_before_headers(visit: Visit) -> None:
    visit.reset()


def _reset_in_headers(visit: Visit) -> None:
    visit.send(b"HTTP/1.1 200 OK\r\nContent-Le")
    visit.reset()


def _reset_in_body(visit: Visit) -> None:
    visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")
    visit.reset()


def _hang_up(_: Visit) -> None:
    """Closes the connection without an answer."""


def _answers_twice(visit: Visit) -> None:
    if visit.is_upload:
        visit.read_body()
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
    visit.send(answer % len(PHOTO) + PHOTO + answer % 4 + b"evil")


def _stored_but_500(visit: Visit) -> None:
    visit.read_body()
    visit.say("500 Internal Server Error")


def _stored_but_answer_lost(visit: Visit) -> None:
    visit.read_body()


def _stored_and_silent(visit: Visit) -> None:
    visit.read_body()
    visit.over.wait()


def _answer_before_the_body(visit: Visit) -> None:
    visit.say("413 Content Too Large", b"", "Connection: close")
    visit.read_body()


def _answer_and_never_read(visit: Visit) -> None:
    visit.say("413 Content Too Large")
    visit.over.wait()


def _accepted_with_endless_answer(visit: Visit) -> None:
    visit.read_body()
    visit.send(b"HTTP/1.1 201 Created\r\n\r\n")
    while True:
        visit.send(b"thanks " * 1000)


def _accepted_with_dripping_answer(visit: Visit) -> None:
    visit.read_body()
    visit.send(b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n")
    visit.drip(itertools.repeat(b"x", 100), BEAT_SECONDS)


_BOMB = gzip.compress(bytes(20_000_000), 9)
_DEFLATED = zlib.compress(bytes(20_000_000), 9)
_CHUNKED = "Transfer-Encoding: chunked"
_TLS_ALERT = b"\x15\x03\x03\x00\x02\x02\x0a"
_TLS_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500)

BEHAVIOURS: dict[str, Behaviour] = {
    "honest": _honest,
    "body one byte a second": _body_one_byte_a_second,
    "body byte by byte": _body_byte_by_byte,
    "headers byte by byte": _headers_byte_by_byte,
    "interim answers for ever": _interim_answers_for_ever,
    "never answers": _silence,
    "silent in mid-body": _silence_after_headers,
    "endless body": _endless_body,
    "endless chunks": _endless_chunks,
    "endless header": _endless_header,
    "many headers": _many_headers,
    "endless trailers": _endless_trailers,
    "length too large": _ok("Content-Length: 9000", PHOTO),
    "length too small": _ok("Content-Length: 100", PHOTO),
    "length past the limit": _ok("Content-Length: 99999999999", PHOTO),
    "length with 40 digits": _ok("Content-Length: " + "9" * 40, PHOTO),
    "length negative": _ok("Content-Length: -1", PHOTO),
    "length garbage": _ok("Content-Length: lots", PHOTO),
    "answers twice": _answers_twice,
    "two lengths": _ok("Content-Length: 5\r\nContent-Length: 6", PHOTO),
    "two lengths in one": _ok("Content-Length: 5, 6", PHOTO),
    "gzip bomb": _says("200 OK", _BOMB, "Content-Encoding: gzip"),
    "deflate bomb": _says("200 OK", _DEFLATED, "Content-Encoding: deflate"),
    "encoded twice": _says("200 OK", PHOTO, "Content-Encoding: identity", "Content-Encoding: br"),
    "gzip as transfer encoding": _ok("Transfer-Encoding: gzip, chunked", b"5\r\n\x1f\x8b\x08\0\0\r\n0\r\n\r\n"),
    "chunk size garbage": _ok(_CHUNKED, b"zz\r\nphoto\r\n0\r\n\r\n"),
    "chunk size negative": _ok(_CHUNKED, b"-5\r\nphoto\r\n0\r\n\r\n"),
    "chunk size huge": _ok(_CHUNKED, b"f" * 40 + b"\r\nphoto\r\n0\r\n\r\n"),
    "chunk longer than said": _ok(_CHUNKED, b"3\r\nphoto\r\n0\r\n\r\n"),
    "last chunk missing": _ok(_CHUNKED, b"5\r\nphoto\r\n"),
    "redirect to another host": _redirect_to_canary,
    "permanent redirect": _permanent_redirect_to_canary,
    "redirect to link-local": _says("307 Temporary Redirect", b"", "Location: http://169.254.169.254/latest/meta-data"),
    "redirect to a file": _says("301 Moved Permanently", b"", "Location: file:///etc/passwd"),
    "redirect to nowhere": _says("302 Found", b"", "Location: //"),
    "photo with links": _photo_elsewhere,
    "400": _says("400 Bad Request"),
    "401": _says("401 Unauthorized", b"", 'WWW-Authenticate: Basic realm="password please"'),
    "403": _says("403 Forbidden", b"no"),
    "404": _says("404 Not Found", b"<html>" + b"no " * 5000),
    "404 briefly": _says("404 Not Found", b"no"),
    "405": _says("405 Method Not Allowed"),
    "407": _says("407 Proxy Authentication Required", b"", "Proxy-Authenticate: Basic"),
    "408": _says("408 Request Timeout"),
    "409": _says("409 Conflict"),
    "410": _says("410 Gone"),
    "413": _says("413 Content Too Large"),
    "418": _says("418 I'm a teapot"),
    "422": _says("422 Unprocessable Content"),
    "425": _says("425 Too Early"),
    "429 in 7 s": _says("429 Too Many Requests", b"", "Retry-After: 7"),
    "429 in a while": _says("429 Too Many Requests", b"", "Retry-After: 99999999999999999999999999"),
    "429 in -5 s": _says("429 Too Many Requests", b"", "Retry-After: -5"),
    "429 in NaN s": _says("429 Too Many Requests", b"", "Retry-After: NaN"),
    "500": _says("500 Internal Server Error", b"Traceback (most recent call last):"),
    "502": _says("502 Bad Gateway"),
    "503 until 1970": _says("503 Service Unavailable", b"", f"Retry-After: {formatdate(0, usegmt=True)}"),
    "504": _says("504 Gateway Timeout"),
    "status 999": _says("999 ?"),
    "status 99": _sends(b"HTTP/1.1 99 ?\r\n\r\n"),
    "101": _sends(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\nphoto"),
    "reset before headers": _reset_before_headers,
    "reset in headers": _reset_in_headers,
    "reset in mid-body": _reset_in_body,
    "hangs up": _hang_up,
    "html": _says("200 OK", b"<!doctype html><title>Please log in</title>", "Content-Type: text/html"),
    "empty": _says("200 OK"),
    "204": _sends(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "206": _says("206 Partial Content", PHOTO[:10], "Content-Range: bytes 0-9/2052"),
    "304": _sends(b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\n\r\n'),
    "cookies": _says("200 OK", PHOTO, "Set-Cookie: session=1", "Set-Cookie: other=2"),
    "http/0.9": _sends(PHOTO),
    "random bytes": _sends(os.urandom(5000)),
    "tls alert": _sends(_TLS_ALERT),
    "tls hello": _sends(_TLS_HELLO),
    "http/2": _sends(b"\0\0\x12\x04\0\0\0\0\0" + bytes(18)),
    "header with NUL": _ok("X-\0: y\r\nContent-Length: 5", b"photo"),
    "header without colon": _ok("nonsense\r\nContent-Length: 5", b"photo"),
}

UPLOAD_BEHAVIOURS: dict[str, Behaviour] = {
    "stored but answered 500": _stored_but_500,
    "stored but the answer lost": _stored_but_answer_lost,
    "stored and silent": _stored_and_silent,
    "early answer": _answer_before_the_body,
    "early answer, body never read": _answer_and_never_read,
    "accepted with an endless answer": _accepted_with_endless_answer,
    "accepted with a dripping answer": _accepted_with_dripping_answer,
    "201": _says("201 Created", b'{"ok": true}'),
    "202": _says("202 Accepted"),
    "204": _sends(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "299": _says("299 Whatever"),
    "415": _says("415 Unsupported Media Type"),
}
