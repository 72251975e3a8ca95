"""Photos that take the decoder's child over: what foreign code can do there, with all guards, one of them, and none.

Without any guard it does what it wants, which shows that the actions are real. Each guard that is named for an action
holds it alone, and all together they hold it too.
"""

import ctypes
import gc
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from media_inference.errors import ErrorCode, PermanentError
from media_inference.media.decoder import Decoder
from media_inference.media.sandbox.limits import DESCRIPTORS, STDERR_BYTES
from media_inference.media.sandbox.protocol import LONGEST_MESSAGE, Limits
from tests.stands.hostile_actions import DONE
from tests.stands.hostile_child import hostile_decoder, hostile_photo, loot
from tests.stands.pictures import png
from tests.stands.world_to_rob import SECRET, World, world_to_rob

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="most guards are Linux's"),
]

PHOTO = png(40, 30)
CORRUPT, CRASHED, TOO_LARGE = ErrorCode.IMAGE_CORRUPT, ErrorCode.DECODER_CRASHED, ErrorCode.IMAGE_TOO_LARGE
AS_ROOT = os.geteuid() == 0


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_to_rob(tmp_path) as made:
        yield made


@dataclass(frozen=True)
class Attack:
    """One action: how it ends with all guards, and which of them hold it alone ("a+b": two that do together)."""

    action: str
    ends_in: ErrorCode
    held_by: tuple[str, ...]
    facts: Callable[[World], dict[str, Any]] = lambda _: {}
    brings: Callable[[World], bytes] = lambda _: DONE
    """What it brings home when nothing holds it."""
    limits: Limits | None = None
    name: str = ""

    def photo(self, world: World) -> bytes:
        """Its photo."""
        return hostile_photo(self.action, **self.facts(world))


def _secret(_: World) -> bytes:
    return SECRET


def _memory(world: World) -> dict[str, Any]:
    return {"address": ctypes.addressof(world.secret), "size": len(SECRET)}


def _number(_: World) -> dict[str, Any]:
    return {"number": signal.SIGUSR1}


FILES = ("landlock", "system calls")
PARENT = ("user", *FILES)
SOCKETS = ("network", *FILES)

ATTACKS = [
    Attack(
        "open_a_file", CORRUPT, FILES,
        lambda world: {"path": str(world.database)}, lambda world: world.database.read_bytes()[:1000],
        name="open_the_database",
    ),
    Attack(
        "look_at_a_file", CORRUPT, ("system calls",),
        lambda world: {"path": str(world.database)}, lambda world: str(world.database.stat().st_size).encode(),
    ),
    Attack("write_a_file", CORRUPT, FILES, lambda world: {"path": str(world.written), "size": 1}),
    Attack("connect_over_tcp", CRASHED, SOCKETS, lambda world: {"port": world.port}, _secret),
    Attack(
        "connect_to_a_path", CRASHED, ("system calls",),
        lambda world: {"path": world.socket}, _secret,
        name="connect_to_a_unix_socket",
    ),
    Attack(
        "connect_to_a_path", CRASHED, SOCKETS, lambda world: {"path": world.abstract}, _secret,
        name="connect_to_an_abstract_socket",
    ),
    Attack("fork_a_bomb", CRASHED, ("user+processes", "system calls"), lambda _: {"processes": 40}, lambda _: b"40"),
    Attack("start_threads", CORRUPT, ("user+processes",), lambda _: {"threads": 40}, lambda _: b"40"),
    Attack("run_a_program", CRASHED, FILES, lambda world: {"path": str(world.written)}, lambda _: b""),
    Attack("read_the_parents_memory", CORRUPT, PARENT, _memory, _secret),
    Attack("copy_the_parents_memory", CRASHED, PARENT, _memory, _secret),
    Attack("trace_the_parent", CRASHED, PARENT),
    Attack(
        "read_the_parents_environment", CORRUPT, PARENT,
        brings=lambda _: Path("/proc/self/environ").read_bytes()[:1000],
    ),
    Attack("signal_the_parent", CRASHED, PARENT, _number),
    Attack("signal_the_parent_by_its_socket", CORRUPT, PARENT, _number),
    Attack("take_memory", TOO_LARGE, ("memory",), lambda _: {"size": 4 << 30}),
    Attack("take_memory_in_a_file", CRASHED, ("system calls",), lambda _: {"size": 4 << 20}),
    Attack("spin", CRASHED, ("cpu time",), lambda _: {"seconds": 3}, limits=Limits(cpu_seconds=1)),
    Attack("flood_with_descriptors", CORRUPT, ("descriptors",), lambda _: {"count": 300}, lambda _: b"300"),
    Attack("make_new_code", CORRUPT, ("system calls",)),
]  # fmt: skip

EACH = pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name or attack.action)
EACH_GUARD = pytest.mark.parametrize(
    ("attack", "guard"),
    [
        pytest.param(attack, guard, id=f"{attack.name or attack.action}-{guard}")
        for attack in ATTACKS
        for guard in attack.held_by
    ],
)
ALWAYS = ("no new privileges", "parent")
"""Without the first, a filter or Landlock could not be had by everybody; the second forbids nothing."""


SILENTLY_HELD = {"signal_the_parent_by_its_socket"}
"""The kernel takes the order, and sends nothing."""


def _give_chances(decoder: Decoder, world: World, chances: int = 20) -> None:
    """Speaks to the child until a signal comes of it; it may be listening just then, and gives none."""
    for _ in range(chances):
        assert _works(decoder)
        if world.signals:
            return


def _code(decoder: Decoder, photo: bytes) -> ErrorCode:
    with pytest.raises(PermanentError) as caught:
        decoder.decode(photo)
    return caught.value.code


def _pid(decoder: Decoder) -> int:
    decoder.warm()
    (pid,) = decoder.pids
    return pid


def _works(decoder: Decoder) -> bool:
    return decoder.decode(PHOTO).pixels.shape == (30, 40, 3)


def _zombies() -> object:
    """A dead child of this process that nobody has waited for, or None."""
    return os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)


def _settled(expected: list[str]) -> list[str]:
    """What is open when it is as expected, or after five seconds: what is left stays, what passes is no matter."""
    end = time.monotonic() + 5
    while (found := _descriptors()) != expected and time.monotonic() < end:
        gc.collect()
    return found


def _descriptors() -> list[str]:
    """What this process has open, by kind."""
    links = []
    for path in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the one that reads the folder
            links.append(str(path.readlink()).partition(":[")[0])
    return sorted(links)


@contextmanager
def _unharmed(world: World, decoder: Decoder) -> Iterator[None]:
    """Whatever happens within, the next photo decodes, and nothing is left: no file, no signal, no process."""
    assert _works(decoder)  # so that its child is there, and memory for its pixels
    gc.collect()  # what earlier tests have left would go while this one looks
    files, open_before = sorted(world.folder.iterdir()), _descriptors()
    yield
    assert _works(decoder)
    assert sorted(world.folder.iterdir()) == files
    assert world.signals == []
    assert _zombies() is None
    assert _settled(open_before) == open_before


@EACH
def test_all_guards_hold(world: World, tmp_path: Path, attack: Attack) -> None:
    with hostile_decoder(tmp_path, limits=attack.limits) as decoder, _unharmed(world, decoder):
        assert _code(decoder, attack.photo(world)) == attack.ends_in


@EACH_GUARD
def test_this_guard_holds_alone(world: World, tmp_path: Path, attack: Attack, guard: str) -> None:
    kept = (*ALWAYS, *guard.split("+"))
    with hostile_decoder(tmp_path, keep=kept, limits=attack.limits) as decoder:
        _skip_where_weak(decoder, guard)
        with _unharmed(world, decoder):
            if attack.action in SILENTLY_HELD and guard != "system calls":
                assert loot(decoder.decode(attack.photo(world))) == DONE
                _give_chances(decoder, world)
            else:
                _code(decoder, attack.photo(world))


@EACH
def test_without_guards_it_does_what_it_wants(world: World, tmp_path: Path, attack: Attack) -> None:
    with hostile_decoder(tmp_path, keep=ALWAYS, limits=attack.limits) as decoder:
        if attack.action == "run_a_program":
            assert _code(decoder, attack.photo(world)) == CRASHED
        else:
            assert loot(decoder.decode(attack.photo(world))) == attack.brings(world)
        signals = attack.action.startswith("signal_the_parent")
        _give_chances(decoder, world, 5000 if signals else 20)
    assert world.written.exists() == (attack.action in {"write_a_file", "run_a_program"})
    assert bool(world.signals) == signals


def _skip_where_weak(decoder: Decoder, guard: str) -> None:
    greeting = decoder.warm()
    if greeting.guards.missing:
        pytest.skip(f"not here: {greeting.guards.missing}")
    if "user" in guard and not AS_ROOT:
        pytest.skip("only root can become another user")
    if guard == "landlock" and int(greeting.guards.held[guard].split()[1]) < 6:
        pytest.skip("an older Landlock, that does not hold signals and sockets")


def test_what_it_could_write_would_stay_small(world: World, tmp_path: Path) -> None:
    photo = hostile_photo("write_a_file", path=str(world.written), size=2 * STDERR_BYTES)
    with hostile_decoder(tmp_path, keep=(*ALWAYS, "file size")) as decoder:
        assert _code(decoder, photo) == CORRUPT
    assert world.written.stat().st_size == STDERR_BYTES


@pytest.mark.parametrize("photo", [hostile_photo("spin", seconds=60, deaf=True), hostile_photo("hang")])
def test_who_is_deaf_to_the_kernels_warning_is_killed_at_the_deadline(
    world: World, tmp_path: Path, photo: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    with (
        hostile_decoder(tmp_path, limits=Limits(cpu_seconds=1), deadline=2) as decoder,
        _unharmed(world, decoder),
    ):
        start = time.monotonic()
        assert _code(decoder, photo) == CRASHED
        assert time.monotonic() - start < 10
    assert "no answer in time" in capsys.readouterr().out


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_child_that_is_not_asked_does_not_run(world: World, tmp_path: Path) -> None:
    with hostile_decoder(tmp_path) as decoder, _unharmed(world, decoder):
        assert loot(decoder.decode(hostile_photo("spin_after_the_answer"))) == DONE
        (pid,) = decoder.pids
        end = time.monotonic() + 30
        while _state(pid) != "T":
            assert time.monotonic() < end, "it still burns time"


def test_the_log_says_that_a_child_was_taken_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with hostile_decoder(tmp_path) as decoder:
        assert _code(decoder, hostile_photo("fork_a_bomb", processes=1)) == CRASHED
    assert "it made a system call that no decoder makes" in capsys.readouterr().out


ONE_PIXEL = '{"width": 1, "height": 1, "full_width": 1, "full_height": 1}\n'


@pytest.mark.parametrize(
    ("line", "times"),
    [
        ("x" * 1000, 100_000),  # no end
        ("[" * 900 + "\n", 1),
        ("{}\n", 1),
        (ONE_PIXEL.replace("1", "60000"), 1),  # more pixels than there is memory for them
        (ONE_PIXEL.replace('"height": 1', '"height": 2'), 1),  # more than the full picture has
        (ONE_PIXEL.replace("1", "-1"), 1),
        (ONE_PIXEL.replace("1", "1e3"), 1),
        ('{"refused": "internal"}\n', 1),
    ],
    ids=["endless", "deep", "empty", "huge", "uneven", "negative", "float", "a code of others"],
)
def test_who_answers_nonsense_is_not_asked_again(world: World, tmp_path: Path, line: str, times: int) -> None:
    with hostile_decoder(tmp_path, deadline=5) as decoder, _unharmed(world, decoder):
        pid = _pid(decoder)
        assert _code(decoder, hostile_photo("answer", line=line, times=times)) == CRASHED
        assert _works(decoder)
        assert _pid(decoder) != pid


def test_an_answer_in_advance_is_not_taken_for_the_next_photo(world: World, tmp_path: Path) -> None:
    with hostile_decoder(tmp_path) as decoder, _unharmed(world, decoder):
        (pid,) = decoder.pids
        fills_what_is_read_at_once = ONE_PIXEL.rjust(LONGEST_MESSAGE)
        assert decoder.decode(hostile_photo("answer", line=fills_what_is_read_at_once + ONE_PIXEL)).width == 1
        assert _works(decoder)
        assert _pid(decoder) != pid


def test_a_child_can_keep_the_memory_of_few_photos(tmp_path: Path) -> None:
    kept = []
    with hostile_decoder(tmp_path) as decoder:
        for _ in range(2 * DESCRIPTORS):
            try:
                kept.append(int(loot(decoder.decode(hostile_photo("keep_the_pixels")))))
            except PermanentError:
                break
    assert kept
    assert max(kept) <= DESCRIPTORS - 3
    with hostile_decoder(tmp_path, without=["descriptors"]) as decoder:
        kept = [int(loot(decoder.decode(hostile_photo("keep_the_pixels")))) for _ in range(2 * DESCRIPTORS)]
    assert max(kept) == 2 * DESCRIPTORS
