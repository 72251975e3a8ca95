"""Takes a process's privileges, its user and its network away."""

import ctypes
import os
import sys
from collections.abc import Mapping

from media_inference.media.sandbox import libc
from media_inference.media.sandbox.missing import Missing
from media_inference.media.sandbox.parent import end_with_parent
from media_inference.media.sandbox.protocol import Limits

# linux/prctl.h, linux/sched.h, linux/capability.h
PR_SET_NO_NEW_PRIVS = 38
CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
CAPABILITY_VERSION_3 = 0x20080522
CAP_KILL = 5

BY_USER_NAMESPACE = "an empty one, by a user namespace"
FIRST_USER = 0x7000_0000  # above all that is in use; with the process id added, no two children share one

_CapabilityHeader = ctypes.c_uint32 * 2
_CapabilityData = ctypes.c_uint32 * 6  # effective, permitted, inheritable; low words, then high ones


def leave_network(_limits: Limits, _held: Mapping[str, str]) -> str:
    """An empty network namespace. Root may have one, others by way of a user namespace, some containers neither."""
    _on_linux_only()
    try:
        libc.unshare(CLONE_NEWNET)
    except OSError:
        libc.unshare(CLONE_NEWUSER | CLONE_NEWNET)
        return BY_USER_NAMESPACE
    return "an empty one"


def leave_root(_limits: Limits, _held: Mapping[str, str]) -> str:
    """Root becomes a user that owns nothing; who is none keeps its name, for only root could change it."""
    if os.geteuid() != 0:
        return "not root"
    if sys.platform != "linux" or not _effective_capabilities() >> CAP_KILL & 1:
        raise Missing("its parent could not kill another user's process")
    user = FIRST_USER + os.getpid()
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    return f"{user}, a user of its own"


def drop_capabilities(_limits: Limits, _held: Mapping[str, str]) -> str:
    """All of them, for good: there are none to inherit either."""
    _on_linux_only()
    libc.capset(_CapabilityHeader(CAPABILITY_VERSION_3, 0), _CapabilityData())
    if _effective_capabilities():
        raise Missing("the kernel keeps them")
    return "none"


def gain_nothing(_limits: Limits, _held: Mapping[str, str]) -> str:
    """No program that it starts has more rights than itself; the filter of system calls asks for that."""
    _on_linux_only()
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1)
    return "on"


def end_with_the_parent(_limits: Limits, _held: Mapping[str, str]) -> str:
    """It does not outlive its parent, whatever it is doing."""
    _on_linux_only()
    end_with_parent()
    return "ends with it"


def _effective_capabilities() -> int:
    data = _CapabilityData()
    libc.capget(_CapabilityHeader(CAPABILITY_VERSION_3, 0), data)
    return int(data[0] | data[3] << 32)


def _on_linux_only() -> None:
    if sys.platform != "linux":
        raise Missing("only Linux has it")
