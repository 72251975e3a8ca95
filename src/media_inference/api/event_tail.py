"""The newest events in memory, so that most streams need not ask the database."""

from collections import deque
from collections.abc import Sequence

from media_inference.jobs.event import Event


class EventTail:
    """Without a gap, all events behind ``begin``; at most ``most`` of them, so ``begin`` moves on."""

    def __init__(self, begin: int, most: int) -> None:
        self._begin = begin
        self._most = most
        self._events: deque[Event] = deque()

    @property
    def newest(self) -> int:
        """The id up to which it has everything."""
        return self._events[-1].event_id if self._events else self._begin

    def add(self, events: Sequence[Event]) -> None:
        """Takes the events that follow its newest."""
        self._events.extend(events)
        while len(self._events) > self._most:
            self._begin = self._events.popleft().event_id

    def behind(self, event_id: int) -> list[Event] | None:
        """The events behind an id; None when it does not reach back so far."""
        if event_id < self._begin:
            return None
        found = []
        for event in reversed(self._events):
            if event.event_id <= event_id:
                break
            found.append(event)
        return found[::-1]
