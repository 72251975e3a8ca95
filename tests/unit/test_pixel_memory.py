"""Memory for pixels is used again, but not while somebody looks at it."""

import gc
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from media_inference.media.decoder import Decoder
from media_inference.media.pixel_memory import COPIED_BYTES, KEPT_BYTES, PixelMemory

SIZE = 4 * KEPT_BYTES


@pytest.fixture
def memory() -> Iterator[PixelMemory]:
    memory = PixelMemory(SIZE)
    yield memory
    memory.close()


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def test_a_file_is_used_again_when_no_array_looks_at_it_any_more(memory: PixelMemory) -> None:
    first = memory.take()
    view = memory.pixels(first, COPIED_BYTES).reshape(16, -1)[2:]
    second = memory.take()
    assert second != first
    del view
    gc.collect()
    assert memory.take() == first
    os.close(first)
    os.close(second)


def test_no_more_than_one_is_kept_and_none_that_has_grown_large(memory: PixelMemory) -> None:
    one, other, large = memory.take(), memory.take(), memory.take()
    os.posix_fallocate(large, 0, KEPT_BYTES + 4096)
    for descriptor in (large, one, other):
        memory.give(descriptor)
    assert [is_open(descriptor) for descriptor in (large, one, other)] == [False, True, False]
    memory.forget()
    assert not is_open(one)


@pytest.mark.parametrize(("written", "wanted"), [(4096, 10), (4 * COPIED_BYTES, COPIED_BYTES)])
def test_a_picture_keeps_no_file_that_is_much_larger_than_itself(
    memory: PixelMemory, written: int, wanted: int
) -> None:
    descriptor = memory.take()
    os.pwrite(descriptor, b"\x07" * written, 0)
    pixels = memory.pixels(descriptor, wanted)
    assert memory.take() == descriptor, "given back at once"
    os.pwrite(descriptor, b"\x08" * written, 0)
    os.close(descriptor)
    assert (pixels == 7).all()


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="Linux bounds the memory of a process")
def test_a_file_that_can_not_be_mapped_is_given_back(memory: PixelMemory) -> None:
    descriptor = memory.take()
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptor + 1, before[1]))  # and a mapping wants one of its own
    taken = _all_descriptors()
    try:
        with pytest.raises(OSError, match="Too many open files"):
            memory.pixels(descriptor, COPIED_BYTES)
    finally:
        for other in taken:
            os.close(other)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert memory.take() == descriptor
    os.close(descriptor)


def _all_descriptors() -> list[int]:
    taken = []
    while True:
        try:
            taken.append(os.open("/", os.O_RDONLY))
        except OSError:
            return taken


def test_after_the_end_nothing_is_kept(memory: PixelMemory) -> None:
    descriptor = memory.take()
    view = memory.pixels(descriptor, COPIED_BYTES)
    memory.close()
    assert view.sum() == 0
    del view
    gc.collect()
    assert not is_open(descriptor)


def test_a_picture_stays_what_it_is_while_its_child_decodes_others(shared: Path) -> None:
    contents = [(shared / "photos" / name).read_bytes() for name in ("cat.png", "coffee.png", "rocket.jpg")]
    decoder = Decoder()
    try:
        alone = [np.array(decoder.decode(content).pixels) for content in contents]
        held = [decoder.decode(content) for content in contents for _ in range(2)]
        for picture, expected in zip(held, (pixels for pixels in alone for _ in range(2)), strict=True):
            np.testing.assert_array_equal(picture.pixels, expected)
        del held, picture
        decoder.forget()
        np.testing.assert_array_equal(decoder.decode(contents[0]).pixels, alone[0])
    finally:
        decoder.close()
