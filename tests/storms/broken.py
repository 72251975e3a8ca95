"""Broken builds: each takes one guard out of the service, and one storm must see it.

``make storms BROKEN=no_fence`` tries the storms on it, and must come out red. The hook makes the patch at the start
of each process of the service; the product has no switch for it.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BrokenBuild:
    """``without``: the guard that is missing. ``storm``: the one that must see it. ``apply`` patches this process."""

    without: str
    storm: str
    apply: Callable[[], None]


def _no_fence() -> None:
    queue = importlib.import_module("media_inference.queue.job_queue")
    tables = importlib.import_module("media_inference.queue.tables")
    _replace(queue, "_held", lambda claim: tables.queue.c.job_id == claim.job_id)


def _replace(owner: object, name: str, value: object) -> None:
    """Puts ``value`` where the product has something of that name."""
    assert hasattr(owner, name), name
    setattr(owner, name, value)


BROKEN_BUILDS = {
    "no_fence": BrokenBuild("the lease token in the WHERE of settle, fail, retry and renew", "kill", _no_fence),
}


def break_this_process(name: str) -> None:
    """Makes this process one of a broken build; called by the hook."""
    BROKEN_BUILDS[name].apply()
