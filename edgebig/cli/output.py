"""What commands print: a table for people on standard output, a record for machines, progress on standard error."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import click
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from edgebig.files import check_output
from edgebig.progress import reporting_to
from edgebig.records.base import Record

T = TypeVar("T")


def check_json_target(target: str | None, *, force: bool, inputs: Sequence[Path] = ()) -> None:
    """Refuse a `--json` file that cannot be written, before any work starts.

    Args:
        target: The value of `--json`.
        force: Whether an existing file may be replaced.
        inputs: Files that are read; the record may replace none of them.

    Raises:
        OutputError: It is an input, exists (without `force`), or its folder cannot be written.
    """
    if target is not None and target != "-":
        check_output(Path(target), force=force, inputs=inputs)


def show(record: Record, render: Callable[[], Sequence[RenderableType]], json_target: str | None) -> None:
    """Print what `render` builds; with `--json -` the record alone; with `--json FILE` both.

    Args:
        record: What the command found or did.
        render: Builds tables and lines for people.
        json_target: The value of `--json`.
    """
    if json_target == "-":
        click.echo(record.to_json())
        return
    console = Console(highlight=False, soft_wrap=False)
    for part in render():
        console.print(part)
    if json_target is not None:
        record.write_json(Path(json_target))
        console.print(f"Record: {json_target}", markup=False)


def plain_table(title: str | None, columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: str = "") -> Table:
    """A table as all commands draw it.

    Args:
        title: Its title, or None.
        columns: Column headers.
        rows: Cells as text.
        right: Headers of the columns that are aligned right, as one string of their names separated by "|".
    """
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold", title_style="bold")
    numbers = set(filter(None, right.split("|")))
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(cell.replace("[", r"\[") for cell in row))
    return table


@contextmanager
def progress(*, background: bool = True) -> Iterator[None]:
    """Show progress bars with an estimate on standard error inside the block, when that is a terminal.

    Args:
        background: Whether a thread redraws them; without it they are drawn as items pass, and nothing runs beside
            what is being measured.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bars = Progress(*columns, TimeRemainingColumn(), console=console, transient=True, auto_refresh=background)
    with bars, reporting_to(_Bars(bars)):
        yield


class _Bars:
    def __init__(self, bars: Progress) -> None:
        self.bars = bars

    def track(self, items: Iterable[T], description: str, total: int | None) -> Iterator[T]:
        task = self.bars.add_task(description, total=total)
        try:
            for item in items:
                yield item
                self.bars.advance(task)
                if not self.bars.live.auto_refresh:
                    self.bars.refresh()
        finally:
            self.bars.remove_task(task)
