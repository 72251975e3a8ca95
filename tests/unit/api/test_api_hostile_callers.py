"""What somebody may try who has a good token, but not an administrator's."""

import io
import logging
import re
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
from fastapi.testclient import TestClient

from media_inference.api.services import Services
from media_inference.jobs.job import NewJob
from media_inference.processes.logs import set_up_logs
from media_inference.settings import load_settings
from tests.stands.served_api import ServedApi, served

Complete = Callable[..., None]

SECRET = b"nobody may read this"
ODD_PARTS = [
    *("..", ".", "%2e%2e", "..%2f..", "%2e%2e%2f%2e%2e", "..%5c..", "%252e%252e%252f", "..%00", "%00", "%0d%0aX:%20y"),
    *("0.jpg%00", "0%00", "0%0a", "0%20", "%200", "+0", "-0", "-1", "00", "0x0", "1e0", "0.0", "0_0", "٠", "%D9%A0"),
    *("9" * 30, "9" * 5000, "NaN", "", "0.jpg/../0", "0;x", "0?", "0#", "%ff%fe", "%ed%a0%80", "~", "*", "[0]", "{0}"),
]


@pytest.fixture
def job_id(services: Services, complete: Complete, tmp_path: Path) -> str:
    """A completed job with one crop, and secrets all around it."""
    job_id = services.queue.submit(NewJob("face_detection", "1")).job_id
    complete({"faces": []}, {"faces/0.jpg": b"a crop", "faces/0.bin": SECRET, "embedding.bin": SECRET})
    for folder in (tmp_path, tmp_path / "jobs", tmp_path / "jobs" / job_id):
        (folder / "0.jpg").write_bytes(SECRET)
        (folder / "secret").write_bytes(SECRET)
    return job_id


def _raw(api: ServedApi, method: str, target: str, *headers: str, body: bytes = b"") -> bytes:
    """The whole answer to a request that no client would send so."""
    head = [f"{method} {target} HTTP/1.1", "Host: x", "Connection: close", f"Content-Length: {len(body)}", *headers]
    with socket.create_connection(api.address, timeout=30) as connection:
        connection.sendall("\r\n".join(head).encode("latin-1", "replace") + b"\r\n\r\n" + body)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def _status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def test_no_trick_with_a_path_reads_anything_but_a_crop(services: Services, job_id: str) -> None:
    with served(services) as api:
        assert _raw(api, "GET", f"/job/{job_id}/faces/0.jpg").endswith(b"a crop")
        targets = [f"/job/{part}/faces/0.jpg" for part in ODD_PARTS] + [
            f"/job/{job_id}{tail}"
            for part in ODD_PARTS
            for tail in (f"/faces/{part}.jpg", f"/faces/{part}", f"/{part}/0.jpg", f"/faces/{part}/secret", f"/{part}")
        ]
        targets += [f"/job/{job_id}/faces/0.bin", f"/job/{job_id}/embedding.bin", f"//job/{job_id}/faces/../secret"]
        targets += [f"http://elsewhere/job/{job_id}/secret", "/../../secret", "*", "/jobs/secret", f"/job//{job_id}"]
        for target in targets:
            answer = _raw(api, "GET", target)
            assert SECRET not in answer, target
            crop = answer.endswith(b"a crop") and _status(answer) == 200
            # 0, +0 and 00 are one number: the crop that everybody may have.
            assert crop or _status(answer) in {200, 400, 404, 422}, (target[:80], answer[:200])


def test_no_trick_with_a_job_id_removes_anything(
    services: Services, tokens: dict[str, str], job_id: str, tmp_path: Path
) -> None:
    before = {path for path in (tmp_path / "jobs").rglob("*") if path.is_file()}
    good = f"Authorization: Bearer {tokens['permission']}"
    with served(services) as api:
        for part in ODD_PARTS:
            for tail in (part, f"{part}/{job_id}", f"{job_id}/{part}", f"{job_id}%2f{part}", f"{part}%2f{job_id}"):
                assert _status(_raw(api, "DELETE", f"/job/{tail}", good)) in {400, 404, 405}, tail[:80]
    assert services.records.get(job_id) is not None
    assert {path for path in (tmp_path / "jobs").rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "name",
    [
        *("../../evil.jpg", "/etc/evil.jpg", "..\\evil.jpg", "evil\x00.jpg", "CON", ".", "..", "", "x" * 5000),
        *("evil\n.jpg", "é\u202egpj.exe", "1", ".upload-1", "<script>.jpg", "'; DROP TABLE jobs; --"),
    ],
    ids=ascii,
)
def test_the_name_of_an_upload_does_not_matter(supporter: TestClient, tmp_path: Path, name: str) -> None:
    before = set(_files_below(tmp_path))
    disposition = b'Content-Disposition: form-data; name="file"; filename="' + name.encode() + b'"'
    form = b"--x\r\n" + disposition + b"\r\nContent-Type: text/html\r\n\r\na photo\r\n--x--\r\n"
    answer = supporter.post("/media", content=form, headers={"Content-Type": "multipart/form-data; boundary=x"})
    if answer.status_code == 201:
        assert answer.json() == {"media_store_id": "1"}
        before.add(Path("media/1"))
    else:
        assert answer.status_code in {400, 422}
    assert set(_files_below(tmp_path)) == before


def _files_below(folder: Path) -> Iterator[Path]:
    """All but the database's own."""
    files = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return (path for path in files if not path.name.startswith("inference.db"))


@pytest.fixture
def log_in_text(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], str]]:
    """What the service writes to stderr, as people on a terminal see it."""
    root, written = logging.getLogger(), io.StringIO()
    level = root.level
    monkeypatch.setattr(sys, "stderr", written)
    set_up_logs(load_settings(_env_file=None, log_format="text"))
    (ours,) = root.handlers
    yield written.getvalue
    root.removeHandler(ours)
    root.setLevel(level)
    structlog.reset_defaults()


FORGED_LINE = "2026-01-01T00:00:00.000000Z [info     ] forged"


def test_nothing_that_a_caller_sends_makes_a_line_of_its_own_in_the_log(
    services: Services, tokens: dict[str, str], log_in_text: Callable[[], str]
) -> None:
    breaks = ("%0a", "%0d%0a", "%0d", "%e2%80%a8", "%c2%85", "%1b%5b2K%0d", "%0b", "%0c", "%00%0a")
    forged = FORGED_LINE.replace(" ", "%20")
    good = f"Authorization: Bearer {tokens['permission']}"
    with served(services) as api:
        for each in breaks:
            for path in (
                f"/job/{each}{forged}",
                f"/{each}{forged}",
                f"/docs?{each}{forged}",
                f"/job/x/faces/{each}.jpg",
            ):
                for method in ("GET", "DELETE", "POST", "PUT"):
                    _raw(api, method, path, good)
        for value in ("\x0b", "\x0c", "\x85", "\t", "\x1b[2K", "\xe2\x80\xa8"):
            for name in (
                "X-Request-ID",
                "Idempotency-Key",
                "User-Agent",
                "Authorization",
                "Content-Type",
                "Last-Event-ID",
            ):
                line = f"{name}: x{value}{FORGED_LINE}"
                _raw(api, "POST", "/job/face_detection", good, line, body=b'{"media_store_id": "1\\n"}')
                _raw(api, "GET", "/admin/stats", line)
        _raw(api, f"FORGED\x0b{FORGED_LINE}", "/")
    text = log_in_text()
    assert len(text.splitlines()) > 100
    started = re.compile(r"20\d\d-\d\d-\d\dT[\d:.]+Z \[")
    assert [line for line in text.splitlines() if not started.match(line)] == []
    assert "forged" not in text.lower()
    assert "\x1b" not in text


def test_a_value_in_a_log_for_people_stays_in_its_line(log_in_text: Callable[[], str]) -> None:
    for value in ("a\nb", "a\r\nb", "\x1b[2J", "a\u2028b", "a\x85b", "\x00"):
        structlog.get_logger().warning("event", value=value)
        logging.getLogger("somebody's library").warning("said %s", value)
    text = log_in_text()
    assert len(text.splitlines()) == 12
    assert text.replace("\n", "").isprintable()
