"""Every order in which the steps of several actors can happen, run on the product's own code.

Actors are greenlets that run real code and pause between their steps. A schedule is the list of who moves next, from
the start to the end. All schedules are run, but for those whose remainder was run before from the very same state: that
of the world, and where each actor stands with all that it remembers.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from greenlet import getcurrent, greenlet

Pause = Callable[[str], None]
"""Lets others move. The word says where the actor stands and all that it remembers: what its future depends on."""

Actor = Callable[[Pause], None]
"""Runs from the start to the end, pausing between two steps."""


class World(Protocol):
    """What the actors share."""

    def reset(self) -> None:
        """Back to the beginning."""
        ...

    def digest(self) -> str:
        """The state, the same word for the same state."""
        ...

    def actors(self) -> Mapping[str, Actor]:
        """Those who act, by name; made anew for each schedule."""
        ...

    def finish(self, killed: str | None) -> None:
        """What happens after all of that anyway: the dead are replaced and everybody works until nothing is left."""
        ...

    def faults(self) -> list[str]:
        """What is wrong with the end, in words."""
        ...


@dataclass
class Report:
    """What came of all schedules. ``wrong`` has one schedule for each fault."""

    schedules: int = 0
    """All orders, those with the same remainder counted as often as they occur."""
    wrong_schedules: int = 0
    states: int = 0
    runs: int = 0
    wrong: dict[str, str] = field(default_factory=dict)


class Explorer:
    """Runs all schedules of a world in which at most one of ``mortals`` is killed between two of its steps.

    ``until_wrong``: or stops at the first that ends wrong.
    """

    def __init__(self, world: World, mortals: tuple[str, ...], *, until_wrong: bool = False) -> None:
        self._world = world
        self._until_wrong = until_wrong
        self._mortals = mortals
        self._counts: dict[str, tuple[int, int]] = {}
        self._report = Report()

    def explore(self) -> Report:
        """All of them."""
        self._report.schedules, self._report.wrong_schedules = self._below([], None)
        self._report.states = len(self._counts)
        return self._report

    def _below(self, prefix: list[str], live: "_Run | None") -> tuple[int, int]:
        """(schedules, wrong ones) that begin with ``prefix``; ``live`` stands there already, or is None."""
        run = live or self._replay(prefix)
        moves = run.moves(self._mortals)
        if not moves:
            return 1, int(self._is_wrong(prefix, run))
        state = run.state()
        if state not in self._counts:
            right = wrong = 0
            for index, move in enumerate(moves):
                if wrong and self._until_wrong:
                    break
                # The first one goes on from here; for the others the way to here is gone over again.
                branch = run if index == 0 else self._replay(prefix)
                branch.make(move)
                some, of_these_wrong = self._below([*prefix, move], branch)
                right, wrong = right + some, wrong + of_these_wrong
            self._counts[state] = (right, wrong)
        return self._counts[state]

    def _replay(self, prefix: list[str]) -> "_Run":
        self._report.runs += 1
        run = _Run(self._world)
        for move in prefix:
            run.make(move)
        return run

    def _is_wrong(self, prefix: list[str], run: "_Run") -> bool:
        self._world.finish(run.killed)
        faults = self._world.faults()
        for fault in faults:
            self._report.wrong.setdefault(fault, " ".join(prefix))
        return bool(faults)


class _Run:
    """One schedule on its way."""

    def __init__(self, world: World) -> None:
        world.reset()
        self._world = world
        self._actors = {name: greenlet(actor) for name, actor in world.actors().items()}
        self._stands = dict.fromkeys(self._actors, "at its start")
        self.killed: str | None = None

    def moves(self, mortals: tuple[str, ...]) -> list[str]:
        alive = [name for name, actor in self._actors.items() if name != self.killed and not actor.dead]
        if self.killed is not None:
            return alive
        return alive + [f"kill:{name}" for name in alive if name in mortals and self._actors[name].gr_frame is not None]

    def make(self, move: str) -> None:
        if move.startswith("kill:"):
            # Left where it is, never resumed: a process that is killed runs no `finally` either.
            self.killed = move.removeprefix("kill:")
            return
        actor = self._actors[move]
        stands = actor.switch(*(() if actor.gr_frame is not None else (getcurrent().switch,)))
        self._stands[move] = "at its end" if actor.dead else stands

    def state(self) -> str:
        return f"{self._world.digest()} {self.killed} {sorted(self._stands.items())}"
