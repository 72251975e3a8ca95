"""A pipe that wakes whoever waits for work, so that polling is only the fallback."""

import os
import select
from typing import Self


class Wake:
    """Rung by any thread, signal handler or child process that has the writing end; waited on by one reader."""

    def __init__(self, reader: int | None, writer: int | None) -> None:
        self.reader = reader
        self.writer = writer
        for end in (reader, writer):
            if end is not None:
                os.set_blocking(end, False)

    @classmethod
    def pipe(cls) -> Self:
        """A new pipe with both ends."""
        return cls(*os.pipe())

    def ring(self) -> None:
        """Wakes the reader, now or when it next waits; rings that come before it wakes count as one."""
        if self.writer is None:
            return
        try:
            os.write(self.writer, b"!")
        except BlockingIOError:
            return  # full: it is about to wake anyway
        except BrokenPipeError:
            return  # the reader is gone; whoever supervises it knows

    def drain(self) -> bool:
        """Takes back all rings so far; False when nobody is left who could ring."""
        if self.reader is None:
            return True
        try:
            while rings := os.read(self.reader, 4096):
                if len(rings) < 4096:
                    return True
        except BlockingIOError:
            return True
        return False

    def close(self) -> None:
        """Closes the ends that this process has."""
        for end in (self.reader, self.writer):
            if end is not None:
                os.close(end)
        self.reader = self.writer = None


def wait_for(*wakes: Wake, timeout: float) -> bool:
    """Waits until one of the wakes rings or ``timeout`` seconds pass; False when one of them can never ring again."""
    readers = {wake.reader: wake for wake in wakes if wake.reader is not None}
    poll = select.poll()  # `select.select` refuses descriptors above 1023, and a process with many clients gets there
    for reader in readers:
        poll.register(reader, select.POLLIN)
    drained = [readers[reader].drain() for reader, _ in poll.poll(timeout * 1000)]
    return all(drained)
