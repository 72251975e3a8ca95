"""Good files, cut off and mutated."""

import random
import re
from collections.abc import Iterator, Mapping

from tests.corpus.case import CORRUPT, REFUSED, UNSUPPORTED, BadFile
from tests.corpus.stated_sizes import stated_sizes

TENTHS = range(1, 10)
SMALL = 90_000
"""Larger files are cut off, but not mutated: a thousand of them would take minutes."""
LENGTHS = re.compile(
    rb"IHDR|IDAT|iCCP|acTL|fcTL|VP8[ LX]|ANM[FI]|ICCP|EXIF|meta|iloc|iinf|ipco|ispe|mdat|av1C|hvcC|\xff[\xc0-\xfe]",
    re.DOTALL,
)


def truncated(good: Mapping[str, bytes]) -> Iterator[BadFile]:
    """Every file cut at every tenth of its length."""
    for name, content in good.items():
        for tenth in TENTHS:
            part = content[: len(content) * tenth // 10]
            yield BadFile(
                "truncation",
                f"{name} cut at {tenth * 10} %",
                part,
                CORRUPT | UNSUPPORTED if len(part) < 64 else CORRUPT,
                stated_sizes(content),
                whole=content,
                heavy=len(content) > SMALL,
            )


def mutated(good: Mapping[str, bytes], seed: int, count: int) -> Iterator[BadFile]:
    """``count`` files, each with some damage of one kind; the same for the same seed."""
    chance = random.Random(seed)  # noqa: S311  # not a secret
    small = sorted(name for name, content in good.items() if len(content) <= SMALL)
    for number in range(count):
        name, damage = small[number % len(small)], chance.choice(DAMAGES)
        content = damage(chance, good[name])
        what = damage.__name__.removeprefix("_").replace("_", " ")
        yield BadFile(
            "mutation", f"{name}, mutation {number} of seed {seed}: {what}", content, REFUSED, stated_sizes(content)
        )


def _bits_flipped(chance: random.Random, content: bytes) -> bytes:
    """A few anywhere, or a few in the head, where they say more."""
    damaged, end = bytearray(content), chance.choice((len(content), min(len(content), 400)))
    for _ in range(chance.choice((1, 2, 8, 40))):
        damaged[chance.randrange(3, end)] ^= 1 << chance.randrange(8)
    return bytes(damaged)


def _bytes_overwritten(chance: random.Random, content: bytes) -> bytes:
    """A run of them, as by a page of a disk that was lost."""
    start = chance.randrange(12, len(content))
    run = min(chance.choice((1, 4, 64, 512, 4096)), len(content) - start)
    rubbish = chance.choice((bytes(run), b"\xff" * run, chance.randbytes(run)))
    return content[:start] + rubbish + content[start + run :]


def _parts_swapped(chance: random.Random, content: bytes) -> bytes:
    one, two, three = sorted(chance.sample(range(8, len(content)), 3))
    return content[:one] + content[two:three] + content[one:two] + content[three:]


def _a_part_removed(chance: random.Random, content: bytes) -> bytes:
    start, end = sorted(chance.sample(range(8, len(content)), 2))
    end = min(end, start + chance.choice((1, 16, 256, 65_536)))
    return content[:start] + content[end:]


def _a_part_doubled(chance: random.Random, content: bytes) -> bytes:
    start, end = sorted(chance.sample(range(8, len(content)), 2))
    return content[:end] + content[start:end] * chance.choice((1, 2, 10)) + content[end:]


def _lengths_changed(chance: random.Random, content: bytes) -> bytes:
    """The numbers beside the name of a chunk, a box or a marker, or any four bytes where there are none."""
    marks = [match.start() for match in LENGTHS.finditer(content)] or [chance.randrange(4, len(content))]
    damaged = bytearray(content)
    for _ in range(chance.choice((1, 1, 3))):
        at = max(4, chance.choice(marks) + chance.choice((-4, 2, 4, 8)))
        lie = chance.choice((b"\0\0\0\0", b"\0\0\0\1", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\xff\xff"))
        damaged[at : at + 4] = chance.choice((lie, lie[::-1], chance.randbytes(4)))
    return bytes(damaged)


def _joined_with_itself(chance: random.Random, content: bytes) -> bytes:
    cut = chance.randrange(8, len(content))
    return content[:cut] + content


DAMAGES = (
    _bits_flipped, _bits_flipped, _bytes_overwritten, _parts_swapped, _a_part_removed, _a_part_doubled,
    _lengths_changed, _lengths_changed, _joined_with_itself,
)  # fmt: skip
