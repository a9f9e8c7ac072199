"""Progress of long loops. The library reports; whoever runs it decides how it is shown (by default, not at all)."""

from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, TypeVar

T = TypeVar("T")


class Reporter(Protocol):
    """Shows the progress of one loop."""

    def track(self, items: Iterable[T], description: str, total: int | None) -> Iterator[T]:
        """Yield the items, showing how many of `total` (None: unknown) have passed."""
        ...


class _Silent:
    def track(self, items: Iterable[T], description: str, total: int | None) -> Iterator[T]:
        yield from items


_SILENT = _Silent()
_reporter: ContextVar[Reporter] = ContextVar("reporter", default=_SILENT)


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Yield the items, reporting progress to the reporter in force.

    Args:
        items: What to loop over.
        description: What the loop does, e.g. "observing ranges".
        total: How many items there are; taken from `len(items)` where that is known.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    return _reporter.get().track(items, description, total)


@contextmanager
def reporting_to(reporter: Reporter) -> Iterator[None]:
    """Send progress to `reporter` inside the with block."""
    token = _reporter.set(reporter)
    try:
        yield
    finally:
        _reporter.reset(token)


@contextmanager
def silent() -> Iterator[None]:
    """Show no progress inside the with block: short loops within a longer one."""
    with reporting_to(_SILENT):
        yield
