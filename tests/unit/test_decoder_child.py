"""The guarded child: what it may not do, and what happens when it dies, hangs or lies."""

import io
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from media_inference.errors import ErrorCode, PermanentError, TransientError
from media_inference.media import memory_file
from media_inference.media.decoder import Decoder
from media_inference.media.sandbox.boxes import is_cut_off
from media_inference.media.sandbox.formats import format_of
from media_inference.media.sandbox.limits import DESCRIPTORS
from media_inference.media.sandbox.protocol import LONGEST_MESSAGE, Limits, Nonsense, Sizes, parse_answer, receive
from tests.corpus.bombs import slow_jpeg
from tests.stands.documents import ROOT
from tests.stands.hostile_child import hostile_decoder, hostile_photo
from tests.stands.pictures import png

pytestmark = pytest.mark.slow

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


PHOTO = png(40, 30)


@pytest.fixture
def decoder() -> Iterator[Decoder]:
    opened = Decoder(deadline=20)
    opened.warm()
    yield opened
    opened.close()


def _pid(decoder: Decoder) -> int:
    (pid,) = decoder.pids
    return pid


def _code(decoder: Decoder, photo: bytes = PHOTO) -> ErrorCode:
    with pytest.raises(PermanentError) as caught:
        decoder.decode(photo)
    return caught.value.code


def _works(decoder: Decoder) -> bool:
    return decoder.decode(PHOTO).pixels.shape == (30, 40, 3)


@linux_only
def test_a_child_killed_over_a_photo_fails_that_photo_and_no_other(tmp_path: Path) -> None:
    with hostile_decoder(tmp_path) as decoder:
        decoder.warm()
        pid = _pid(decoder)
        _wait_until_it_rests(pid)
        with ThreadPoolExecutor(1) as threads:
            crash = threads.submit(_code, decoder, hostile_photo("hang"))
            _wait_until_it_runs(pid)
            os.kill(pid, signal.SIGKILL)
            assert crash.result() == ErrorCode.DECODER_CRASHED
        assert _works(decoder)
        assert _pid(decoder) != pid


def test_a_child_killed_between_photos_costs_no_photo(decoder: Decoder) -> None:
    pid = _pid(decoder)
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert _works(decoder)
    assert _pid(decoder) != pid


def test_a_child_that_hangs_is_killed_at_the_deadline(tmp_path: Path) -> None:
    with hostile_decoder(tmp_path, deadline=0.3) as decoder:
        decoder.warm()
        pid = _pid(decoder)
        assert _code(decoder, hostile_photo("hang")) == ErrorCode.DECODER_CRASHED
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        decoder._deadline = 20.0  # an honest picture may wait for its turn on a busy machine
        assert _works(decoder)


@linux_only
def test_a_file_that_takes_more_memory_than_there_is_is_too_large_and_costs_no_child() -> None:
    decoder = Decoder(max_bytes=1 << 30, limits=Limits(memory_bytes=96 << 20))
    try:
        decoder.warm()
        pid = _pid(decoder)
        assert _code(decoder, PHOTO + bytes(64 << 20)) == ErrorCode.IMAGE_TOO_LARGE
        assert _works(decoder)
        assert _pid(decoder) == pid
    finally:
        decoder.close()


def test_a_picture_that_burns_time_is_ended_by_the_kernel() -> None:
    decoder = Decoder(deadline=60, limits=Limits(cpu_seconds=1))
    try:
        with pytest.raises(PermanentError) as caught:
            decoder.decode(slow_jpeg())
        assert caught.value.code == ErrorCode.DECODER_CRASHED
        assert _works(decoder)
    finally:
        decoder.close()


def test_neighbours_of_a_picture_that_crashes_its_decoder_go_on() -> None:
    pool = Decoder(processes=2, deadline=60, limits=Limits(cpu_seconds=1))
    try:
        pool.warm()
        with ThreadPoolExecutor(1) as threads:
            crash = threads.submit(pool.decode, slow_jpeg())
            neighbours = 0
            while not crash.done():
                assert _works(pool)
                neighbours += 1
        assert neighbours > 10, "they waited"
        with pytest.raises(PermanentError) as caught:
            crash.result()
        assert caught.value.code == ErrorCode.DECODER_CRASHED
        assert _works(pool)
    finally:
        pool.close()


def test_a_child_is_replaced_after_its_share_of_pictures() -> None:
    decoder = Decoder(limits=Limits(pictures=3))
    try:
        pids = [(_works(decoder), _pid(decoder))[1] for _ in range(7)]
    finally:
        decoder.close()
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [3, 3, 1]


def test_refused_pictures_cost_no_child(decoder: Decoder) -> None:
    pid = _pid(decoder)
    for content in (b"no picture", PHOTO[:60], b"BM" + bytes(100)):
        with pytest.raises(PermanentError):
            decoder.decode(content)
    assert _works(decoder)
    assert _pid(decoder) == pid


def test_closing_ends_the_children(decoder: Decoder) -> None:
    pid = _pid(decoder)
    decoder.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(RuntimeError):
        decoder.decode(PHOTO)


def _wait_until_it_rests(pid: int) -> None:
    """It is told to stop when it has said who it is, and takes a moment."""
    end = time.monotonic() + 20
    while not _status(pid)["State"].startswith("T"):
        assert time.monotonic() < end
        os.sched_yield()


def _wait_until_it_runs(pid: int) -> None:
    """Children rest, stopped, until they are asked."""
    end = time.monotonic() + 20
    while _status(pid)["State"].startswith("T"):
        assert time.monotonic() < end
        os.sched_yield()


def _limits(pid: int) -> dict[str, tuple[str, str]]:
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()[1:]
    return {line[:25].strip(): (line[26:46].strip(), line[47:67].strip()) for line in lines}


def _status(pid: int) -> dict[str, str]:
    return dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())


@linux_only
def test_the_child_has_an_empty_environment(decoder: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Path(f"/proc/{_pid(decoder)}/environ").read_bytes() == b""


@linux_only
def test_the_child_is_limited(decoder: Decoder) -> None:
    assert _works(decoder)
    expected = Limits()
    limits = _limits(_pid(decoder))
    assert limits["Max address space"] == (str(expected.memory_bytes),) * 2
    assert limits["Max file size"][1] == str(64 * 1024)
    assert limits["Max open files"] == (str(DESCRIPTORS),) * 2
    assert limits["Max core file size"] == ("0", "0")
    soft, hard = map(int, limits["Max cpu time"])
    assert expected.cpu_seconds <= soft <= expected.cpu_seconds + 5 < hard


@linux_only
def test_the_child_holds_no_descriptor_but_its_own(decoder: Decoder) -> None:
    with Path(__file__).open("rb") as file:
        os.set_inheritable(file.fileno(), True)
        fresh = Decoder()
        try:
            assert _works(fresh)
            links = [str(link.readlink()) for link in Path(f"/proc/{_pid(fresh)}/fd").iterdir()]
        finally:
            fresh.close()
    kinds = sorted(link.split(":")[0].split(" ")[0] for link in links)
    assert kinds == ["/dev/null", "/dev/null", "/memfd", "socket"]


@linux_only
def test_the_child_can_gain_no_privileges_and_has_its_own_session(decoder: Decoder) -> None:
    pid = _pid(decoder)
    assert _status(pid)["NoNewPrivs"] == "1"
    assert os.getsid(pid) == pid


@linux_only
def test_the_child_has_no_network(decoder: Decoder) -> None:
    probe = "import ctypes, sys; libc = ctypes.CDLL(None); sys.exit(libc.unshare(1 << 30) and libc.unshare(5 << 28))"
    if subprocess.run([sys.executable, "-c", probe], check=False).returncode:
        pytest.skip("this machine gives no network namespaces away")
    interfaces = Path(f"/proc/{_pid(decoder)}/net/dev").read_text().splitlines()[2:]
    assert [line.split(":")[0].strip() for line in interfaces] == ["lo"]


LONE_PARENT = """
import sys
from pathlib import Path
from tests.stands.hostile_child import hostile_decoder
with hostile_decoder(Path(sys.argv[1]), without=sys.argv[2:]) as decoder:
    decoder.warm()
    print(*decoder.pids, flush=True)
    sys.stdin.read()
"""


@linux_only
@pytest.mark.parametrize("without", [[], ["parent"]], ids=["at rest", "where it does not rest"])
def test_the_child_dies_with_its_parent(tmp_path: Path, without: list[str]) -> None:
    command = [sys.executable, "-c", LONE_PARENT, str(tmp_path), *without]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        child = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
        ended, _, _ = select.select([child], [], [], 20)
        if not ended:
            signal.pidfd_send_signal(child, signal.SIGKILL)
        os.close(child)
    assert ended, "a child without a parent lives on"


def test_a_child_outlives_the_thread_that_needed_it_first() -> None:
    decoder = Decoder()
    try:
        with ThreadPoolExecutor(1) as threads:
            assert threads.submit(_works, decoder).result()
        pid = _pid(decoder)
        assert _works(decoder)
        assert _pid(decoder) == pid
    finally:
        decoder.close()


@pytest.mark.parametrize("descriptor", [memory_file.filled(b"abc"), memory_file.sized(3)])
@linux_only
def test_nobody_can_shrink_what_the_parent_maps(descriptor: int) -> None:
    with pytest.raises(PermissionError):
        os.ftruncate(descriptor, 0)
    os.close(descriptor)


LIES: list[Any] = [
    {},
    [],
    7,
    {"refused": "internal"},
    {"refused": ["image_corrupt"]},
    {"refused": "image_corrupt", "width": 1},
    {"width": 1, "height": 1, "full_width": 1},
    {"width": 1, "height": 1, "full_width": 1, "full_height": 1, "more": 1},
    {"width": 0, "height": 1, "full_width": 1, "full_height": 1},
    {"width": -1, "height": -1, "full_width": 1, "full_height": 1},
    {"width": True, "height": 1, "full_width": 1, "full_height": 1},
    {"width": 1.0, "height": 1, "full_width": 1, "full_height": 1},
    {"width": "1", "height": 1, "full_width": 1, "full_height": 1},
    {"width": 2, "height": 1, "full_width": 1, "full_height": 1},
    {"width": 65_536, "height": 1, "full_width": 65_536, "full_height": 1},
    {"width": 10_001, "height": 10_000, "full_width": 10_001, "full_height": 10_000},
    {"width": 1, "height": 1, "full_width": 65_535, "full_height": 65_535},
    {"width": 1, "height": 1, "full_width": 65_000, "full_height": 1},
    {"width": 10, "height": 7, "full_width": 10, "full_height": 8},
    {"width": 5, "height": 5, "full_width": 10, "full_height": 8},
    {"width": 1, "height": 1, "full_width": 16, "full_height": 16},
]


@pytest.mark.parametrize("lie", [lie for lie in LIES if isinstance(lie, dict)])
def test_an_answer_of_another_shape_is_nonsense(lie: dict[str, Any]) -> None:
    with pytest.raises(Nonsense):
        parse_answer(lie, Limits())


def test_a_good_answer_is_believed() -> None:
    sizes = {"width": 5, "height": 4, "full_width": 10, "full_height": 8}
    assert parse_answer(sizes, Limits()) == Sizes(5, 4, 10, 8)
    assert parse_answer({"refused": "image_corrupt"}, Limits()) is ErrorCode.IMAGE_CORRUPT


def _impostor(folder: Path, *lines: str) -> str:
    """A program in the place of Python that starts as a child would and then runs the lines."""
    program = folder / "impostor"
    head = f"#!{sys.executable}", "import os, socket, sys", "channel = socket.socket(fileno=int(sys.argv[4]))"
    program.write_text("\n".join([*head, *lines, ""]))
    program.chmod(0o700)
    return str(program)


def test_a_heif_file_with_a_trailer_or_an_open_end_is_not_cut_off() -> None:
    head = b"\x00\x00\x00\x0cftypheic"
    for tail in (b"", b"\x00\x00\x00\x00mdat", b"\xff\xff\xff\xffjunk", b"\x00", b"\x00\x00\x00\x08mdat"):
        assert not is_cut_off(io.BytesIO(head + tail)), tail
    for tail in (b"\x00\x00\x00\x09mdat", b"\x00\x00\x00\x01mdat\x00\x00\x00\x01\x00\x00\x00\x00"):
        assert is_cut_off(io.BytesIO(head + tail)), tail


GREETING = 'channel.sendall(b\'{"held": {}, "missing": {}, "libraries": {}}\\n\')'
QUESTION = "_, (source, target), _, _ = socket.recv_fds(channel, 1000, 2)"


@pytest.mark.parametrize(
    "lines",
    [
        ["channel.sendall(b'x' * 100_000)"],
        ["channel.sendall(b'[' * 900 + b'\\n')"],
        ["channel.sendall(b'\\xff\\xfe\\n')"],
        ["channel.sendall(b'[]\\n')"],
        ["channel.sendall(b'{}\\n')"],
        ["channel.sendall(b'{\"width\": ' + b'9' * 900 + b'}\\n')"],
        ["channel.sendall(b'half')"],
        ["os.ftruncate(target, 0)"],
        ["os.write(2, b'a' * 1_000_000)"],
        ["while True: channel.sendall(b'x')"],
        ["os.abort()"],
    ],
)
def test_a_child_that_lies_is_a_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: list[str]) -> None:
    decoder = Decoder(deadline=5)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", _impostor(tmp_path, GREETING, QUESTION, *lines))
        assert _code(decoder) == ErrorCode.DECODER_CRASHED
    assert _works(decoder)
    decoder.close()


def test_a_message_without_an_end_is_not_collected() -> None:
    here, there = socket.socketpair()
    with here, there:
        there.sendall(b"x" * (LONGEST_MESSAGE + 1))
        there.shutdown(socket.SHUT_WR)
        with pytest.raises(Nonsense):
            receive(here)


@pytest.mark.parametrize("lines", [["sys.exit('no such library')"], ["channel.sendall(b'{}\\n')"], ["os.abort()"]])
def test_a_child_that_does_not_start_is_no_photos_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: list[str]
) -> None:
    decoder = Decoder()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", _impostor(tmp_path, *lines))
        with pytest.raises(TransientError):
            decoder.decode(PHOTO)
        patch.setattr(sys, "executable", str(tmp_path / "missing"))
        with pytest.raises(TransientError):
            decoder.warm()
    assert _works(decoder)
    decoder.close()


def test_the_last_words_of_a_child_are_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    decoder = Decoder()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", _impostor(tmp_path, GREETING, QUESTION, "sys.exit('no such luck')"))
        assert _code(decoder) == ErrorCode.DECODER_CRASHED
    decoder.close()
    logged = capsys.readouterr().out
    assert "no such luck" in logged
    assert "decoder_child_lost" in logged


@pytest.mark.parametrize(
    ("prefix", "name"),
    [
        (b"\x00\x00\x00\x1cftypmif1\x00\x00\x00\x00mif1avifmiaf", "AVIF"),
        (b"\x00\x00\x00\x1cftypmif1\x00\x00\x00\x00mif1heicmiaf", "HEIF"),
        (b"\x00\x00\x00\x14ftypmif1\x00\x00\x00\x00mif1avif", "HEIF"),
        (b"\x00\x00\x00\x14ftypavis\x00\x00\x00\x00msf1", "AVIF"),
        (b"\x00\x00\x00\x14ftypisom\x00\x00\x00\x00avif", None),
        (b"\x00\x00\x00\x00ftyp", None),
        (b"", None),
    ],
)
def test_the_brands_of_a_file_tell_heif_from_avif(prefix: bytes, name: str | None) -> None:
    assert format_of(prefix) == name


@linux_only
def test_a_refused_picture_leaves_no_memory_behind(decoder: Decoder) -> None:
    """Ten thousand tiles of one pixel, which OpenJPEG makes tables of: 60 MB of holes in the heap."""
    file = io.BytesIO()
    Image.new("RGB", (120, 88), "red").save(file, "JPEG2000", no_jp2=True)
    stream = file.getvalue()
    at = stream.index(b"\xff\x51") + 22
    tiny_tiles = stream[:at] + b"\0\0\0\1" * 2 + stream[at + 8 :]

    assert _works(decoder)
    before = int(_status(_pid(decoder))["RssAnon"].split()[0])
    with pytest.raises(PermanentError):
        decoder.decode(tiny_tiles)
    assert _works(decoder)
    assert int(_status(_pid(decoder))["RssAnon"].split()[0]) < before + 20_000


@linux_only
def test_a_child_is_not_asked_again_whatever_ended_the_wait_for_it(tmp_path: Path) -> None:
    """It is in the middle of a picture, and would write that into the memory of the next."""

    def out_of_memory(_signal: int, _frame: object) -> None:
        raise MemoryError

    before = signal.signal(signal.SIGUSR1, out_of_memory)
    try:
        with hostile_decoder(tmp_path) as decoder, ThreadPoolExecutor(1) as threads:
            decoder.warm()
            pid, here = _pid(decoder), threading.get_ident()

            _wait_until_it_rests(pid)

            def interrupt() -> None:
                _wait_until_it_runs(pid)
                signal.pthread_kill(here, signal.SIGUSR1)

            interrupted = threads.submit(interrupt)
            with pytest.raises(MemoryError):
                decoder.decode(hostile_photo("hang"))
            interrupted.result()
            assert _works(decoder)
            assert _pid(decoder) != pid
    finally:
        signal.signal(signal.SIGUSR1, before)
