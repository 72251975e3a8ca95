"""Where tables are printed."""

from rich.console import Console

_PIPE_WIDTH = 200


def wide_console() -> Console:
    """Stdout; as wide as the terminal, or wide enough for a table to stay whole where there is none."""
    console = Console()
    return console if console.is_terminal else Console(width=_PIPE_WIDTH)
