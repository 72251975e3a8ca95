"""What the demo is doing, on stderr."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn


class DemoProgress:
    """One line on a terminal that says what is going on, gone when the block ends; elsewhere nothing."""

    def __init__(self, console: Console) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._line: TaskID | None = None

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def say(self, what: str, total: int | None = None) -> None:
        """Begins something new; ``total``: of how many steps, when that is known."""
        if self._line is not None:
            self._bar.remove_task(self._line)
        self._line = self._bar.add_task(what, total=total)

    def step(self, count: int = 1) -> None:
        """So many steps are done."""
        if self._line is not None:
            self._bar.advance(self._line, count)

    def download(self, file: str, bytes_so_far: int, bytes_in_all: int) -> None:
        """A file is being downloaded."""
        described = f"downloading {file} (MB)"
        task = next((task for task in self._bar.tasks if task.description == described), None)
        if task is None:
            self.say(described, bytes_in_all >> 20)
        if self._line is not None:
            self._bar.update(self._line, completed=bytes_so_far >> 20)
