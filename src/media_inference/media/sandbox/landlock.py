"""No file, no TCP, no abstract socket and no signal to others, by Landlock: a second lock behind the first.

Numbers from linux/landlock.h. A kernel knows the rights of its ABI version and refuses others.
"""

import ctypes
import errno
import os
import sys
from collections.abc import Mapping

from media_inference.media.sandbox import libc
from media_inference.media.sandbox.missing import Missing
from media_inference.media.sandbox.protocol import Limits

CREATE_RULESET, RESTRICT_SELF = 444, 446  # the same on all architectures
CREATE_RULESET_VERSION = 1

FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 5: 16}
"""How many rights on files an ABI knows, from its first version on."""
NET_SINCE, BOTH_NET_RIGHTS = 4, 0b11
SCOPES_SINCE, BOTH_SCOPES = 6, 0b11


class _Ruleset(ctypes.Structure):
    """What needs a rule from now on; there will be none."""

    _fields_ = (("files", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scopes", ctypes.c_uint64))


def lock(_limits: Limits, _held: Mapping[str, str]) -> str:
    """Everything that this kernel's Landlock can forbid."""
    version = _version()
    ruleset = _Ruleset(
        (1 << max(count for since, count in FILE_RIGHTS.items() if since <= version)) - 1,
        BOTH_NET_RIGHTS if version >= NET_SINCE else 0,
        BOTH_SCOPES if version >= SCOPES_SINCE else 0,
    )
    size = 24 if version >= SCOPES_SINCE else 16 if version >= NET_SINCE else 8
    descriptor = libc.system_call(CREATE_RULESET, ctypes.byref(ruleset), size, 0)
    try:
        libc.system_call(RESTRICT_SELF, descriptor, 0)
    finally:
        os.close(descriptor)
    return f"version {version}"


def _version() -> int:
    if sys.platform != "linux":
        raise Missing("only Linux has it")
    try:
        return libc.system_call(CREATE_RULESET, None, 0, CREATE_RULESET_VERSION)
    except OSError as error:
        if error.errno == errno.ENOSYS:
            raise Missing("the kernel has none") from error
        if error.errno == errno.EOPNOTSUPP:
            raise Missing("the kernel has it, but switched off") from error
        raise
