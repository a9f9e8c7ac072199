"""The plots of a report: Vega-Altair charts, rendered to SVG without a browser and without network."""

import io
import re
from collections.abc import Sequence
from statistics import median
from typing import Any

from edgebig.dependencies import require
from edgebig.report.rows import LayerRow, ModelRow

PURPOSE = "a report"
# Okabe and Ito's colours (2008), told apart by colour-blind readers too; darkest first.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
MAX_TICKS = 200
WIDTH = 330
WIDE = 640


def colour(index: int) -> str:
    """The colour of the model in row `index`."""
    return COLOURS[index % len(COLOURS)]


def score_chart(rows: Sequence[ModelRow], *, against: str) -> str | None:
    """The metric against size or latency, with one standard error up and down and the interval of the median.

    Args:
        rows: The models.
        against: "size" or "latency".

    Returns:
        SVG; None where fewer than two models have both.
    """
    alt: Any = require("altair", extra="report", purpose=PURPOSE)
    points = [point for row in rows if (point := _point(row, against)) is not None]
    if len(points) < 2:
        return None
    title = "size, KB" if against == "size" else "latency, ms (median)"
    base = alt.Chart(alt.Data(values=points))
    colours = _colour_scale(alt, rows)
    x = alt.X("x:Q", title=title, scale=alt.Scale(zero=True, nice=True), axis=alt.Axis(tickCount=6))
    y = alt.Y("y:Q", title=rows[0].metric, scale=alt.Scale(zero=False, padding=18))
    dots = base.mark_circle(size=130, opacity=1).encode(x=x, y=y, color=colours)
    bars = base.mark_rule(strokeWidth=2).encode(x=x, y=alt.Y("low:Q", title=rows[0].metric), y2="high:Q", color=colours)
    spans = base.mark_rule(strokeWidth=2).encode(x=alt.X("left:Q", title=title), x2="right:Q", y=y, color=colours)
    return _svg(alt, (bars + spans + dots).properties(width=WIDTH, height=250), f"score-{against}")


def latency_chart(rows: Sequence[ModelRow]) -> str | None:
    """A stroke per run and a dot at the median; None without raw times.

    Runs slower than three times their model's median are left out: interrupted ones would squeeze the others together.
    """
    alt: Any = require("altair", extra="report", purpose=PURPOSE)
    timed = [row for row in rows if row.latency_ms]
    if not timed:
        return None
    runs = [{"name": row.name, "ms": value} for row in timed for value in _thinned(row.latency_ms)]
    medians = [{"name": row.name, "ms": row.p50_ms} for row in timed]
    names = [row.name for row in timed]
    y = alt.Y("name:N", title=None, sort=names, axis=alt.Axis(labelLimit=200, ticks=False, domain=False))
    x = alt.X("ms:Q", title="latency of single runs, ms", scale=alt.Scale(zero=True, nice=True))
    colours = _colour_scale(alt, rows)
    strokes = alt.Chart(alt.Data(values=runs)).mark_tick(thickness=1.5, size=26, opacity=0.25)
    dots = alt.Chart(alt.Data(values=medians)).mark_circle(size=90, opacity=1, stroke="white", strokeWidth=1.5)
    layers = strokes.encode(x=x, y=y, color=colours) + dots.encode(x=x, y=y, color=colours)
    return _svg(alt, layers.properties(width=WIDE, height=46 * len(timed)), "latency")


def sparsity_chart(layers: Sequence[LayerRow], rows: Sequence[ModelRow]) -> str | None:
    """A bar per layer, in the model's order; None without layers."""
    alt: Any = require("altair", extra="report", purpose=PURPOSE)
    if not layers:
        return None
    values = [
        {"name": row.model, "layer": row.layer, "sparsity": row.sparsity, "weights": row.weights} for row in layers
    ]
    order = list(dict.fromkeys(row.layer for row in layers))
    many = len({row.model for row in layers}) > 1
    chart = alt.Chart(alt.Data(values=values)).mark_bar(cornerRadiusEnd=2)
    chart = chart.encode(
        x=alt.X("sparsity:Q", title="zero weights", axis=alt.Axis(format=".0%"), scale=alt.Scale(domain=[0, 1])),
        y=alt.Y("layer:N", title=None, sort=order, axis=alt.Axis(labelLimit=260, ticks=False)),
        color=_colour_scale(alt, rows),
        **({"yOffset": alt.YOffset("name:N")} if many else {}),
    )
    return _svg(alt, chart.properties(width=WIDE - 120, height=alt.Step(16)), "sparsity")


def _point(row: ModelRow, against: str) -> dict[str, float | str] | None:
    if row.value is None:
        return None
    if against == "size":
        x, (left, right) = row.bytes / 1000, (row.bytes / 1000, row.bytes / 1000)
    elif row.p50_ms is None:
        return None
    else:
        x, (left, right) = row.p50_ms, row.latency_interval_ms or (row.p50_ms, row.p50_ms)
    error = row.standard_error or 0.0
    low, high = row.value - error, row.value + error
    return {"name": row.name, "x": x, "left": left, "right": right, "y": row.value, "low": low, "high": high}


def _colour_scale(alt: Any, rows: Sequence[ModelRow]) -> Any:
    """One colour per model in all plots; the table's dots are the legend."""
    scale = alt.Scale(domain=[row.name for row in rows], range=[colour(index) for index in range(len(rows))])
    return alt.Color("name:N", scale=scale, legend=None)


def _thinned(values: Sequence[float]) -> list[float]:
    """Those up to three medians, and at most MAX_TICKS of them: evenly spaced quantiles, the extremes among them."""
    limit = 3 * median(values)
    ordered = sorted(value for value in values if value <= limit)
    if len(ordered) <= MAX_TICKS:
        return ordered
    return [ordered[round(i * (len(ordered) - 1) / (MAX_TICKS - 1))] for i in range(MAX_TICKS)]


def _svg(alt: Any, chart: Any, key: str) -> str:
    """Render; `key` makes the ids of clip paths unique among the plots of a page."""
    require("vl_convert", extra="report", purpose=PURPOSE)
    axis = {"gridColor": "#e6e8eb", "domainColor": "#9aa0a6", "tickColor": "#9aa0a6", "labelFontSize": 12}
    text = {"labelColor": "#3c4043", "titleColor": "#3c4043", "titleFontWeight": "normal", "titleFontSize": 13}
    config = alt.Config(font=FONT, background="transparent", axis={**axis, **text}, view={"stroke": None})
    chart.config = config
    target = io.StringIO()
    chart.save(target, format="svg")
    return re.sub(r'(\bid="|url\(#)', rf"\g<1>{key}-", target.getvalue())
