"""What `edgebig bench` prints."""

from collections.abc import Sequence

from rich.console import RenderableType
from rich.text import Text

from edgebig.cli.output import plain_table
from edgebig.records.measurement import Comparison, MeasurementRecord, ModelMeasurement
from edgebig.runtime.explain import tell, tell_shortly


def bench_tables(record: MeasurementRecord, *, explain: bool) -> Sequence[RenderableType]:
    """Times, comparisons, what edgebig's runtime did, and warnings.

    Args:
        record: What was measured.
        explain: Whether to tell all of what edgebig's runtime did, rather than a line.
    """
    settings, machine = record.settings, record.environment.machine
    inputs = ", ".join(f"{name} {bound.dtype}{list(bound.shape)}" for name, bound in settings.inputs.items())
    threads = {0: "onnxruntime's choice of threads", 1: "1 thread"}.get(settings.threads, f"{settings.threads} threads")
    head = f"{settings.runtime}, {settings.provider}, {threads}, {machine.cpu_model}\n{inputs}: {settings.data}"
    unit, scale = ("ms", 1e6) if max(model.summary.p50 for model in record.models) >= 1e6 else ("µs", 1e3)
    columns = ["model", "KB", "build ms", "1st ms", f"p50 {unit}", "p90", "p99", "runs/s"]
    times = plain_table(None, columns, [_times(m, scale) for m in record.models], right="|".join(columns[1:]))
    parts: list[RenderableType] = [Text(head), "", times]
    parts += _comparisons("against the first", [(m.name, m.comparison) for m in record.models])
    if len(record.models) > len(settings.options.runtimes):  # else that is the first anyway
        title = f"against itself in {settings.options.runtimes[0]}"
        parts += _comparisons(title, [(m.name, m.same_model) for m in record.models])
    parts += _stories(record.models, explain=explain)
    if record.warnings:
        parts += ["", *(Text(f"Warning: {warning}", style="yellow") for warning in record.warnings)]
    return parts


def _times(model: ModelMeasurement, scale: float) -> list[str]:
    summary = model.summary
    once = [f"{ns / 1e6:.1f}" for ns in (model.build_ns, model.first_run_ns)]
    percentiles = [f"{ns / scale:.{3 if scale == 1e6 else 1}f}" for ns in (summary.p50, summary.p90, summary.p99)]
    size = f"{model.bytes / 1000:,.{0 if model.bytes >= 10_000 else 1}f}"
    return [model.name, size, *once, *percentiles, _rate(summary.per_second)]


def _rate(per_second: float) -> str:
    return f"{per_second:,.0f}" if per_second >= 1000 else f"{per_second:.4g}"


def _comparisons(title: str, found: Sequence[tuple[str, Comparison | None]]) -> list[RenderableType]:
    rows = [
        [name, f"{c.speedup:.3f}x", f"{c.low:.3f} to {c.high:.3f}", c.verdict] for name, c in found if c is not None
    ]
    if not rows:
        return []
    return ["", plain_table(None, [title, "speedup", "interval", "verdict"], rows, right="speedup|interval")]


def _stories(models: Sequence[ModelMeasurement], *, explain: bool) -> list[RenderableType]:
    """What edgebig's runtime did: a line per model, or all of it."""
    told = [(model.name, model.story) for model in models if model.story is not None]
    if not told:
        return []
    if explain:
        return [part for name, story in told for part in ("", Text(f"{name}:\n{tell(story)}"))]
    return ["", *(Text(f"{name}: {tell_shortly(story)}") for name, story in told)]
