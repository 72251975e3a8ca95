"""A decoder child with a bug: a photo that says so makes it run foreign code, as a hole in a decoder would.

The child is the product's own, started in the product's way and confined by the product's guards; only Pillow's BMP
plugin is another. `take_over` puts it in the place of Python; guards can be left out, to see what each of them is for.

    photo = hostile_photo("open_a_file", path="/somewhere/jobs.db")
    decoder.decode(photo)  # its pixels are what the foreign code brought home
"""

import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from unittest import mock

from PIL import BmpImagePlugin, Image

from media_inference.media.decoder import Decoder
from media_inference.media.picture import Picture
from media_inference.media.sandbox import child, guards, libc, privileges, seccomp
from media_inference.media.sandbox.protocol import Guards, Limits
from media_inference.media.sandbox.system_calls import TELLTALE
from tests.stands import hostile_actions

ROOT = Path(__file__).resolve().parents[2]
MARK = b"BM HOSTILE "

ALL = tuple(guards.GUARDS)


def hostile_photo(action: str, **facts: Any) -> bytes:
    """A file that passes for a BMP until its decoder runs `hostile_actions.action` with these facts."""
    assert hasattr(hostile_actions, action)
    return MARK + json.dumps({"action": action, **facts}).encode()


def loot(picture: Picture) -> bytes:
    """What the foreign code brought home."""
    return picture.pixels[0, :, 0].tobytes()


@contextmanager
def hostile_decoder(
    folder: Path,
    *,
    keep: Iterable[str] = ALL,
    without: Iterable[str] = (),
    kernel: dict[str, int] | None = None,
    platform: str = sys.platform,
    libraries: dict[str, str] | None = None,
    **options: Any,
) -> Iterator[Decoder]:
    """A decoder whose children have that bug, and of all guards those that are kept.

    ``kernel``: error numbers that its system calls answer with, to be on a poorer machine. ``libraries``: versions
    that it says it decodes with.
    """
    program = folder / "buggy-python"
    kept = [name for name in keep if name not in set(without)]
    setup = {"kept": kept, "kernel": kernel or {}, "platform": platform, "libraries": libraries or {}}
    program.write_text(
        f"#!{sys.executable} -I\n"
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        f"from tests.stands.hostile_child import main\n"
        f"main({setup!r}, *sys.argv[-2:])\n"
    )
    program.chmod(0o700)
    with mock.patch.object(sys, "executable", str(program)):
        decoder = Decoder(**options)
        try:
            yield decoder
        finally:
            decoder.close()


def main(setup: dict[str, Any], descriptor: str, limits_json: str) -> None:
    """The child's program."""
    hostile_actions.CHANNEL = int(descriptor)
    for name in ALL:
        if name not in setup["kept"]:
            del guards.GUARDS[name]
    _, accept = Image.OPEN["BMP"]
    Image.OPEN["BMP"] = (_open, accept)
    libraries = child._libraries() | setup["libraries"]
    mock.patch.object(child, "_libraries", return_value=libraries).start()
    if setup["kernel"]:
        _answer_instead_of_the_kernel(setup["kernel"])
    sys.platform = setup["platform"]
    mock.patch.object(child, "confine", _noting_what_is_loaded(guards.confine)).start()
    child.main(descriptor, limits_json)


def _noting_what_is_loaded(confine: Callable[[Limits], Guards]) -> Callable[[Limits], Guards]:
    def noting(limits: Limits) -> Guards:
        hostile_actions.LOADED_BEFORE.update(sys.modules)
        return confine(limits)

    return noting


def _answer_instead_of_the_kernel(errors: dict[str, int]) -> None:
    machine = seccomp.MACHINES[os.uname().machine]
    program = [seccomp.Instruction(seccomp.LOAD, 0, 0, seccomp.NUMBER)]
    for name, number in errors.items():
        call = TELLTALE[name][machine.column]
        assert call is not None
        program += seccomp._when(call, [seccomp._return(0x50000 | number)])
    libc.prctl(privileges.PR_SET_NO_NEW_PRIVS, 1)
    seccomp._install([*program, seccomp._return(seccomp.ALLOW)], machine)


def _open(file: IO[bytes], filename: str | bytes) -> BmpImagePlugin.BmpImageFile:
    content = file.read()
    file.seek(0)
    if not content.startswith(MARK):
        return BmpImagePlugin.BmpImageFile(file, filename)
    facts = json.loads(content[len(MARK) :])
    action: Callable[..., bytes] = getattr(hostile_actions, facts.pop("action"))
    return _as_bmp(action(**facts))


def _as_bmp(brought: bytes) -> BmpImagePlugin.BmpImageFile:
    file = io.BytesIO()
    Image.frombytes("L", (len(brought), 1), brought).save(file, "BMP")
    file.seek(0)
    return BmpImagePlugin.BmpImageFile(file)
