"""A named collection: register, get, names."""

import difflib
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from edgebig.errors import UnknownNameError

T = TypeVar("T")


class Registry(Generic[T]):
    """Entries of one kind by name, in the order of their registration.

    Args:
        kind: What an entry is, in words, for error messages ("target", "pruning pattern").
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def register(self, name: str, entry: T) -> T:
        """Add an entry and return it.

        Raises:
            ValueError: The name is taken (a mistake in edgebig, not of its user).
        """
        if name in self._entries:
            raise ValueError(f"{self.kind} {name!r} is registered twice")
        self._entries[name] = entry
        return entry

    def decorator(self, name: str) -> Callable[[T], T]:
        """Return a decorator that registers what it decorates under `name`."""
        return lambda entry: self.register(name, entry)

    def get(self, name: str) -> T:
        """Return the entry called `name`.

        Raises:
            UnknownNameError: There is none; the message lists the known names.
        """
        try:
            return self._entries[name]
        except KeyError:
            close = difflib.get_close_matches(name, self._entries, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            known = ", ".join(self._entries)
            raise UnknownNameError(f"unknown {self.kind} {name!r}.{hint} Known: {known}.") from None

    def names(self) -> tuple[str, ...]:
        """All names, in the order of registration."""
        return tuple(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)
