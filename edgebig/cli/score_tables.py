"""What `edgebig evaluate` shows."""

import math
from collections.abc import Sequence
from pathlib import Path

from rich.console import RenderableType
from rich.text import Text

from edgebig.cli.output import plain_table
from edgebig.records.evaluation import Difference, EvaluationRecord, EvaluationsRecord


def score_tables(record: EvaluationsRecord, paths: Sequence[Path]) -> Sequence[RenderableType]:
    """A row per model, with its difference to the first, and what the figures mean."""
    first = record.models[0]
    better = "higher" if first.higher_is_better else "lower"
    title = f"{first.task}: {first.metric} over {first.n:,} samples ({better} is better)"
    names = [model.model.name for model in record.models]
    if len(set(names)) < len(names):
        names = [str(path) for path in paths]
    rows = [_row(name, model) for name, model in zip(names, record.models, strict=True)]
    columns = ["model", "KB", first.metric]
    if record.differences:
        columns += ["vs first", ""]
        rows[0] += ["", ""]
        for row, difference in zip(rows[1:], record.differences, strict=True):
            row += [_with_error(difference.difference, difference.standard_error, "+"), _remark(difference)]
    table = plain_table(None, columns, rows, right=f"KB|{first.metric}|vs first")
    notes = ["± is one standard error."]
    if any(difference.is_noise for difference in record.differences):
        notes.append("noise: a difference within two standard errors.")
    return [Text(title, style="bold"), table, " ".join(notes)]


def _row(name: str, model: EvaluationRecord) -> list[str]:
    return [name, f"{(model.model.bytes or 0) / 1000:,.0f}", _with_error(model.value, model.standard_error)]


def _remark(difference: Difference) -> str:
    return "noise" if difference.is_noise else ""


def _with_error(value: float | None, error: float | None, sign: str = "") -> str:
    """A value with its error, to the error's second digit."""
    if value is None:
        return "not finite"
    if error is None:
        return f"{value:{sign}.5g}"
    digits = 4 if error == 0 else min(max(1 - math.floor(math.log10(error)), 0), 6)
    return f"{value:{sign}.{digits}f} ± {error:.{digits}f}"
