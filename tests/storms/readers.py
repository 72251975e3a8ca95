"""Clients that follow all events, and come back whenever they are cut."""

import json
import random
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx2

from tests.stands.running_service import until
from tests.storms.service import StormService


@dataclass(frozen=True, slots=True)
class Heard:
    """An event as a reader was told of it."""

    event_id: int
    type: str
    job_id: str


class Reader:
    """Follows the events from the first one, in a thread of its own; every time behind the last one that it heard.

    ``cuts``: how often it leaves by itself, after one of the next ``stay`` events. ``resets``: how often it was told
    that it can't go on where it was.
    """

    def __init__(self, service: StormService, chance: random.Random, cuts: int, stay: int) -> None:
        self.heard: list[Heard] = []
        self.cuts_left = cuts
        self.connections = self.resets = 0
        self._service = service
        self._chance = chance
        self._stay = stay
        self._over = threading.Event()
        self._failures: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, name="reader", daemon=True)
        self._thread.start()

    @property
    def position(self) -> int:
        """The last id that it heard."""
        return self.heard[-1].event_id if self.heard else 0

    def leave(self) -> None:
        """Comes back no more: the end of its stream is the last."""
        self._over.set()

    def end(self) -> None:
        """Returns when it is gone. Raises what went wrong."""
        self.leave()
        self._thread.join(60)
        assert not self._thread.is_alive()
        assert not self._failures, self._failures

    def _run(self) -> None:
        try:
            with httpx2.Client(base_url=self._service.url, timeout=60, trust_env=False) as client:
                while not self._over.is_set():
                    with suppress(httpx2.TransportError):
                        self._follow(client)
                    if not self._over.is_set():
                        until(lambda: self._over.is_set() or self._service.answers(), bool)
        except BaseException as error:  # noqa: BLE001  # told at the end
            self._failures.append(error)

    def _follow(self, client: httpx2.Client) -> None:
        leave_after = self._chance.randint(1, self._stay) if self.cuts_left else None
        with client.sse("/events?after=0", headers={"Last-Event-ID": str(self.position)}) as source:
            if source.response.status_code != 200:
                return
            self.connections += 1
            for message in source:
                if message.data:
                    self._hear(message.event, json.loads(message.data))
                    leave_after = None if leave_after is None else leave_after - 1
                if leave_after == 0:
                    self.cuts_left -= 1
                if leave_after == 0 or self._over.is_set():
                    return

    def _hear(self, name: str, data: dict[str, Any]) -> None:
        if name == "reset":
            self.resets += 1
        else:
            self.heard.append(Heard(data["id"], data["type"], data["job_id"]))
