"""The child says what guards it: on this machine, on poorer ones, and for users who are not root."""

import contextlib
import errno
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import ExifTags, Image, ImageCms, PngImagePlugin

from media_inference.errors import PermanentError, TransientError
from media_inference.media.decoder import Decoder
from media_inference.media.sandbox.guards import GUARDS
from media_inference.media.sandbox.limits import PROCESSES
from media_inference.media.sandbox.privileges import FIRST_USER
from media_inference.media.sandbox.protocol import Guards, Nonsense, parse_greeting
from tests.stands.documents import ROOT
from tests.stands.hostile_child import hostile_decoder, hostile_photo, loot
from tests.stands.pictures import png

pytestmark = pytest.mark.slow

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="most guards are Linux's")

PHOTO = png(40, 30)


def _guards(decoder: Decoder) -> Guards:
    greeting = decoder.warm()
    assert decoder.decode(PHOTO).width == 40
    return greeting.guards


def _seen_from_outside(pid: int) -> dict[str, bool]:
    """What of a child's guards the kernel tells others."""
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    limits = Path(f"/proc/{pid}/limits").read_text()
    return {
        "system calls": status["Seccomp"] == "2",
        "no new privileges": status["NoNewPrivs"] == "1",
        "capabilities": {status[name] for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")} == {"0" * 16},
        "user": "0" not in status["Uid"].split(),
        "network": Path(f"/proc/{pid}/net/dev").read_text().count("\n") == 3,  # two lines of head, and lo
        "processes": any(line.split()[2:4] == [str(PROCESSES)] * 2 for line in limits.splitlines()),
    }


@linux_only
def test_what_a_child_says_of_its_guards_is_so() -> None:
    decoder = Decoder()
    try:
        guards = _guards(decoder)
        (pid,) = decoder.pids
        seen = _seen_from_outside(pid)
        assert len(list(Path(f"/proc/{pid}/task").iterdir())) == 1, "all guards are on the only thread"
    finally:
        decoder.close()
    assert sorted([*guards.held, *guards.missing]) == sorted(GUARDS)
    assert seen == {name: name in guards.held for name in seen}


@linux_only
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_each_child_of_root_is_a_user_of_its_own() -> None:
    decoders = [Decoder(), Decoder()]
    try:
        told = [decoder.warm().guards.held["user"] for decoder in decoders]
        pids = [pid for decoder in decoders for pid in decoder.pids]
    finally:
        for decoder in decoders:
            decoder.close()
    assert told == [f"{FIRST_USER + pid}, a user of its own" for pid in pids]
    assert told[0] != told[1]


@linux_only
@pytest.mark.skipif(os.geteuid() != 0, reason="nobody else has capabilities")
def test_a_child_that_has_to_stay_root_has_no_capabilities(tmp_path: Path) -> None:
    with hostile_decoder(tmp_path, without=["user"]) as decoder:
        _guards(decoder)
        (pid,) = decoder.pids
        seen = _seen_from_outside(pid)
    assert not seen["user"]
    assert seen["capabilities"]


POORER: dict[str, tuple[dict[str, int], dict[str, str]]] = {
    "a kernel without any of it": (
        {"seccomp": errno.ENOSYS, "landlock_create_ruleset": errno.ENOSYS, "unshare": errno.EINVAL},
        {
            "system calls": "the kernel has none",
            "landlock": "the kernel has none",
            "network": "refused: Invalid argument",
        },
    ),
    "a container": ({"unshare": errno.EPERM}, {"network": "refused: Operation not permitted"}),
    "Landlock off": (
        {"landlock_create_ruleset": errno.EOPNOTSUPP},
        {"landlock": "the kernel has it, but switched off"},
    ),
    "no change of user": (
        {"setresuid": errno.EINVAL, "setgroups": errno.EPERM},
        {
            "user": "refused: Operation not permitted",
            "processes": "the kernel would count all processes of its user",
        },
    ),
}


@linux_only
@pytest.mark.parametrize("machine", POORER)
def test_a_poorer_machine_decodes_and_says_what_is_missing(
    tmp_path: Path, machine: str, capsys: pytest.CaptureFixture[str]
) -> None:
    kernel, missing = POORER[machine]
    if "setresuid" in kernel and os.geteuid() != 0:
        pytest.skip("only root can become another user")
    with hostile_decoder(tmp_path, kernel=kernel) as decoder:
        here = _guards(decoder)
        assert missing.items() <= here.missing.items()
        assert set(here.held) | set(here.missing) == set(GUARDS)
        decoder.decode(PHOTO)
    assert capsys.readouterr().out.count("decoder_guards_missing") == 1


@linux_only
def test_elsewhere_there_are_limits_and_the_rest_is_missing(tmp_path: Path) -> None:
    with hostile_decoder(tmp_path, platform="darwin") as decoder:
        guards = _guards(decoder)
    assert {"memory", "cpu time", "file size", "descriptors", "processes"} <= set(guards.held)
    linux = {"network", "capabilities", "no new privileges", "parent", "landlock", "system calls"}
    assert linux <= {name for name, reason in guards.missing.items() if reason == "only Linux has it"} | {"user"}


def _photos_of_many_kinds(shared: Path) -> Iterator[bytes]:
    for path in sorted((shared / "formats").glob("*.*")):
        content = path.read_bytes()
        yield from (content, content[: len(content) // 2])
    colours = Image.linear_gradient("L").resize((40, 30))
    for mode, name, options in KINDS:
        file = io.BytesIO()
        colours.convert(mode).save(file, name, **options)
        yield file.getvalue()


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.ImageDescription] = "Gr\u00fc\u00dfe"
    return exif


def _png_texts() -> PngImagePlugin.PngInfo:
    texts = PngImagePlugin.PngInfo()
    texts.add_itxt("Title", "\u5199\u771f", "zh", "Title", zip=True)
    texts.add_text("Comment", "caf\u00e9", zip=True)
    return texts


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
KINDS: list[tuple[str, str, dict[str, Any]]] = [
    *(("RGB", name, {}) for name in ("PNG", "WEBP", "AVIF", "GIF", "BMP", "JPEG2000", "MPO")),
    *(("RGB", name, {"exif": _exif(), "icc_profile": SRGB}) for name in ("JPEG", "PNG", "WEBP", "AVIF", "TIFF")),
    *(("RGB", "TIFF", {"compression": name}) for name in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "zstd", "lzma")),
    *((mode, "TIFF", {}) for mode in ("1", "L", "LA", "P", "RGBA", "CMYK", "LAB", "I;16", "F")),
    *((mode, "PNG", {"pnginfo": _png_texts()}) for mode in ("1", "L", "LA", "P", "RGBA", "I;16")),
    *((mode, "JPEG", {"progressive": True, "comment": "caf\u00e9"}) for mode in ("L", "CMYK")),
    ("1", "TIFF", {"compression": "group4"}),
]


@linux_only
def test_no_photo_makes_a_child_load_code_that_its_guards_would_keep_away(shared: Path, tmp_path: Path) -> None:
    with hostile_decoder(tmp_path, without=["landlock", "system calls", "user"]) as decoder:
        for content in _photos_of_many_kinds(shared):
            with contextlib.suppress(PermanentError):
                decoder.decode(content)
        assert loot(decoder.decode(hostile_photo("tell_what_was_loaded_late"))) == b"nothing"


@linux_only
def test_a_child_whose_filter_does_not_hold_does_not_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with hostile_decoder(tmp_path, kernel={"seccomp": 0}) as decoder, pytest.raises(TransientError):
        decoder.warm()
    assert "does not hold" in capsys.readouterr().out


@contextlib.contextmanager
def _nobody() -> Iterator[dict[str, Any]]:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.stands.as_nobody"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as program:
        assert program.stdout
        yield json.loads(program.stdout.readline())


@linux_only
def test_a_user_who_is_not_root_has_the_same_guards() -> None:
    with _nobody() as told:
        seen = _seen_from_outside(told["pid"]) if os.geteuid() == 0 else {}
    if "network" in told["missing"]:
        pytest.skip("this machine gives no user namespaces away")
    assert told["missing"] == {}
    assert told["held"]["user"] == "not root"
    assert told["held"]["network"] == "an empty one, by a user namespace"
    assert set(seen.values()) <= {True}


@pytest.mark.parametrize(
    "greeting",
    [
        {},
        {"held": {}, "missing": {}},
        {"held": {}, "missing": {}, "libraries": []},
        {"held": {"memory": 7}, "missing": {}, "libraries": {}},
        {"held": {}, "missing": {}, "libraries": {}, "more": {}},
    ],
)
def test_another_greeting_is_nonsense(greeting: dict[str, Any]) -> None:
    with pytest.raises(Nonsense):
        parse_greeting(greeting)
