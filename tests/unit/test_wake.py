"""The pipe that wakes whoever waits for work."""

import fcntl
import os
import resource
import threading
import time

import pytest

from media_inference.queue.wake import Wake, wait_for


def test_a_ring_before_the_wait_is_not_lost() -> None:
    wake = Wake.pipe()
    wake.ring()
    begun = time.monotonic()
    assert wait_for(wake, timeout=30)
    assert time.monotonic() - begun < 5
    wake.close()


def test_many_rings_count_as_one_and_never_block() -> None:
    wake = Wake.pipe()
    for _ in range(100_000):
        wake.ring()
    assert wait_for(wake, timeout=30)
    assert wait_for(wake, timeout=0)
    wake.close()


def test_a_ring_from_another_thread_ends_the_wait() -> None:
    wake, other = Wake.pipe(), Wake.pipe()
    threading.Timer(0.01, wake.ring).start()
    begun = time.monotonic()
    assert wait_for(other, wake, timeout=30)
    assert time.monotonic() - begun < 5
    wake.close()
    other.close()


def test_the_wait_says_when_nobody_is_left_who_could_ring() -> None:
    wake = Wake.pipe()
    reader, writer = Wake(wake.reader, None), Wake(None, wake.writer)
    writer.close()
    assert wait_for(reader, timeout=30) is False
    reader.close()


def test_ringing_for_a_reader_that_is_gone_is_no_error() -> None:
    wake = Wake.pipe()
    reader, writer = Wake(wake.reader, None), Wake(None, wake.writer)
    reader.close()
    writer.ring()
    writer.close()
    writer.ring()


def test_a_process_with_thousands_of_open_descriptors_can_wait() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard <= 2000:
        pytest.skip("this machine allows too few descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (2000, hard))
    try:
        reader, writer = os.pipe()
        wake = Wake(fcntl.fcntl(reader, fcntl.F_DUPFD_CLOEXEC, 1500), writer)
        os.close(reader)
        wake.ring()
        assert wait_for(wake, timeout=30)
        assert wait_for(wake, timeout=0)
        wake.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
