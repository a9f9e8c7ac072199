"""One HTML page that stands on its own: a table of models and its plots, nothing fetched from anywhere."""

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from edgebig.dependencies import require
from edgebig.errors import UsageError
from edgebig.files import check_output, write_text
from edgebig.report import charts, table
from edgebig.report.rows import LayerRow, ModelRow

TEMPLATE = "page.html.j2"
LATENCY_NOTE = "A stroke per run, a dot at the median; runs slower than three times the median are left out."


def write_report(
    path: str | Path,
    title: str,
    rows: Sequence[ModelRow],
    *,
    layers: Sequence[LayerRow] = (),
    facts: Mapping[str, str] | None = None,
    summary: str | None = None,
    force: bool = False,
) -> Path:
    """Write the page.

    Args:
        path: The `.html` file to write.
        title: Its heading.
        rows: The models; the first is the one that the others are held against.
        layers: The sparsity of layers, for a plot of its own.
        facts: Where and how it was measured, by name.
        summary: One sentence under the heading; None makes one from the first and the last row.
        force: Whether an existing file may be replaced.

    Returns:
        The path.

    Raises:
        UsageError: No rows, or two with the same name.
        OutputError: The file exists (without `force`) or cannot be written.
        MissingDependencyError: The extra `report` is not installed.
    """
    path = Path(path)
    check_output(path, force=force)
    if not rows or len({row.name for row in rows}) < len(rows):
        names = ", ".join(row.name for row in rows) or "none"
        raise UsageError(f"a report needs at least one model, each with a name of its own; got {names}")
    write_text(path, render(title, rows, layers=layers, facts=facts or {}, summary=summary))
    return path


def render(
    title: str,
    rows: Sequence[ModelRow],
    *,
    layers: Sequence[LayerRow],
    facts: Mapping[str, str],
    summary: str | None,
) -> str:
    """The page as text; arguments as `write_report`."""
    jinja: Any = require("jinja2", extra="report", purpose=charts.PURPOSE)
    environment = jinja.Environment(
        autoescape=True, undefined=jinja.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(resources.files("edgebig.report").joinpath(TEMPLATE).read_text("utf-8"))
    text: str = template.render(
        title=title,
        summary=table.summary(rows) if summary is None else summary,
        columns=table.columns(rows),
        rows=[
            {"name": row.name, "note": row.note, "colour": charts.colour(index), "cells": table.cells(row, rows)}
            for index, row in enumerate(rows)
        ],
        legend=table.legend(rows),
        pair=_figures(_score_figures(rows)),
        figures=_figures(_wide_figures(rows, layers)),
        facts=facts,
    )
    return text


def _score_figures(rows: Sequence[ModelRow]) -> list[tuple[str, str, str | None]]:
    metric = rows[0].metric
    return [
        (f"{metric} against latency", "", charts.score_chart(rows, against="latency")),
        (f"{metric} against size", "", charts.score_chart(rows, against="size")),
    ]


def _wide_figures(rows: Sequence[ModelRow], layers: Sequence[LayerRow]) -> list[tuple[str, str, str | None]]:
    return [
        (
            "Latency of every run",
            LATENCY_NOTE,
            charts.latency_chart(rows),
        ),
        ("Sparsity of every layer", "Share of the weights that are zero.", charts.sparsity_chart(layers, rows)),
    ]


def _figures(found: list[tuple[str, str, str | None]]) -> list[dict[str, Any]]:
    """Those that were drawn; the SVG comes from our own charts and is not escaped again."""
    markup: Any = require("markupsafe", extra="report", purpose=charts.PURPOSE).Markup
    return [{"title": title, "note": note, "svg": markup(svg)} for title, note, svg in found if svg is not None]
