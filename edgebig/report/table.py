"""The words and numbers of a report's table."""

import math
from collections.abc import Sequence

from edgebig.report.rows import ModelRow

Cell = tuple[str, str]
"""A table cell: its main text, and a smaller line under it (may be empty)."""


def columns(rows: Sequence[ModelRow]) -> list[str]:
    """Column headers; a column that no row fills is left out."""
    found = ["model", "size"]
    if _scored(rows):
        found += [rows[0].metric, "vs first"] if len(rows) > 1 else [rows[0].metric]
    if _timed(rows):
        found += ["latency", "speed"] if len(rows) > 1 else ["latency"]
    return found


def cells(row: ModelRow, rows: Sequence[ModelRow]) -> list[Cell]:
    """The cells of a row after its name, in the order of `columns`."""
    first = rows[0]
    found = [_size(row, first)]
    if _scored(rows):
        found.append(_value(row))
        if len(rows) > 1:
            found.append(_difference(row, first))
    if _timed(rows):
        found.append(_latency(row))
        if len(rows) > 1:
            found.append(_speed(row, first))
    return found


def legend(rows: Sequence[ModelRow]) -> str:
    """What the small figures mean."""
    parts = []
    if _scored(rows):
        parts.append("± is one standard error; that of a difference is paired over the same samples.")
    if _timed(rows):
        parts.append("Latency is the median; brackets hold 99 % intervals.")
    return " ".join(parts)


def summary(rows: Sequence[ModelRow]) -> str:
    """One sentence on the last row against the first."""
    first, last = rows[0], rows[-1]
    if len(rows) < 2:
        return f"{first.name}: {kilobytes(first.bytes)}."
    parts = [_times(first.bytes / last.bytes, "smaller", "larger")]
    if (speedup := _speedup(last, first)) is not None:
        parts.append(_times(speedup, "faster", "slower"))
    text = f"{last.name} is {' and '.join(parts)} than {first.name}"
    if first.value is not None and last.value is not None:
        difference = last.value - first.value
        error = f" ± {last.difference_error:.4f}" if last.difference_error is not None else ""
        text += f"; {last.metric} {last.value:.4f}, {difference:+.4f}{error}"
    return text + "."


def kilobytes(size: int) -> str:
    """A size for people, in units of 1000 bytes."""
    return f"{size / 1e6:,.1f} MB" if size >= 1e7 else f"{size / 1e3:,.0f} KB"


def _scored(rows: Sequence[ModelRow]) -> bool:
    return any(row.value is not None for row in rows)


def _timed(rows: Sequence[ModelRow]) -> bool:
    return any(row.p50_ms is not None for row in rows)


def _size(row: ModelRow, first: ModelRow) -> Cell:
    return kilobytes(row.bytes), "" if row is first else f"{row.bytes / first.bytes:.2f}x"


def _value(row: ModelRow) -> Cell:
    if row.value is None:
        return "-", ""
    return _rounded(row.value, row.standard_error), _plus_minus(row.standard_error)


def _difference(row: ModelRow, first: ModelRow) -> Cell:
    if row is first or row.value is None or first.value is None:
        return "", ""
    error = row.difference_error
    return _rounded(row.value - first.value, error, "+"), _plus_minus(error)


def _latency(row: ModelRow) -> Cell:
    if row.p50_ms is None:
        return "-", ""
    return f"{row.p50_ms:.3g} ms", _brackets(row.latency_interval_ms, ".3g")


def _speed(row: ModelRow, first: ModelRow) -> Cell:
    speedup = _speedup(row, first)
    if row is first or speedup is None:
        return "", ""
    return f"{speedup:.2f}x", _brackets(row.speedup_interval, ".2f")


def _speedup(row: ModelRow, first: ModelRow) -> float | None:
    if row.speedup is not None:
        return row.speedup
    return first.p50_ms / row.p50_ms if first.p50_ms and row.p50_ms else None


def _brackets(interval: tuple[float, float] | None, form: str) -> str:
    return "" if interval is None else f"[{interval[0]:{form}}, {interval[1]:{form}}]"


def _plus_minus(error: float | None) -> str:
    return "" if error is None else f"± {_rounded(error, error)}"


def _rounded(value: float, error: float | None, sign: str = "") -> str:
    """To the second digit of the error; to five digits where there is none."""
    if error is None or error <= 0:
        return f"{value:{sign}.5g}"
    return f"{value:{sign}.{min(max(1 - math.floor(math.log10(error)), 0), 6)}f}"


def _times(ratio: float, more: str, less: str) -> str:
    return f"{ratio:.2g} times {more}" if ratio >= 1 else f"{1 / ratio:.2g} times {less}"
