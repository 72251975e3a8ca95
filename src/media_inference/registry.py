"""A read-only table of the entries that a `catalog.py` imports, one import line each."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Generic, TypeVar

Entry = TypeVar("Entry")


class Registry(Mapping[str, Entry], Generic[Entry]):
    """Entries by key, in the order in which they were given.

    Raises `ValueError` when two entries claim one key, so that a clash shows at import and not at the first request.
    """

    def __init__(self, what: str, entries: Iterable[Entry], key: Callable[[Entry], str]) -> None:
        self._what = what
        self._entries: dict[str, Entry] = {}
        for entry in entries:
            name = key(entry)
            if name in self._entries:
                raise ValueError(f"two entries claim the {what} {name!r}")
            self._entries[name] = entry

    @classmethod
    def of(
        cls, entry_type: type[Entry], namespace: Mapping[str, object], what: str, key: Callable[[Entry], str]
    ) -> "Registry[Entry]":
        """The registry of all instances of ``entry_type`` that a catalogue module imported: pass its ``globals()``."""
        return cls(what, [value for value in namespace.values() if isinstance(value, entry_type)], key)

    def __getitem__(self, key: str) -> Entry:
        return self._entries[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"Registry({self._what}: {', '.join(self._entries)})"
