"""A child that does not outlive its parent."""

import signal
import sys

from media_inference.media.sandbox import libc

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def end_with_parent() -> None:
    """From now on the system kills this process when the thread that started it ends; on Linux, elsewhere nothing.

    A parent that is gone already is not noticed. Raises `OSError`.
    """
    if sys.platform == "linux":
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
