"""All that is taken from this process before it sees its first picture, in the order in which it is taken."""

from collections.abc import Callable, Mapping

from media_inference.media.sandbox import landlock, limits, privileges, seccomp
from media_inference.media.sandbox.missing import Missing
from media_inference.media.sandbox.protocol import Guards, Limits

Guard = Callable[[Limits, Mapping[str, str]], str]
"""Holds from its return on; says how, in a few words. Is told what holds already. Raises `Missing` or `OSError`."""

GUARDS: dict[str, Guard] = {
    "network": privileges.leave_network,  # while root may still do that
    "user": privileges.leave_root,
    "capabilities": privileges.drop_capabilities,
    "no new privileges": privileges.gain_nothing,
    "parent": privileges.end_with_the_parent,  # a change of user would undo it
    "processes": limits.limit_processes,
    "file size": limits.limit_file_size,
    "descriptors": limits.limit_descriptors,
    "cpu time": limits.limit_cpu_time,
    "landlock": landlock.lock,
    "memory": limits.limit_memory,
    "system calls": seccomp.lock,  # last: it forbids all of the above
}


def confine(wanted: Limits) -> Guards:
    """Takes away for good what this machine lets it take, and says what is held and what is missing, and why."""
    held: dict[str, str] = {}
    missing: dict[str, str] = {}
    for name, guard in GUARDS.items():
        try:
            held[name] = guard(wanted, held)
        except Missing as reason:
            missing[name] = str(reason)
        except OSError as error:
            missing[name] = f"refused: {error.strerror}"
    return Guards(held, missing)
