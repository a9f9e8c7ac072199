"""`edgebig bench`: latency of one or more models, in one or more runtimes, interleaved."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import RenderableType
from rich.text import Text

from edgebig.cli.options import FILE, RegistryChoice, data_option, json_option, sizes_options
from edgebig.cli.output import check_json_target, plain_table, progress, show
from edgebig.errors import UsageError
from edgebig.records.measurement import BenchOptions

if TYPE_CHECKING:
    from edgebig.records.measurement import Comparison, MeasurementRecord, ModelMeasurement

DEFAULTS = BenchOptions()
EDGEBIG = "edgebig"


def _provider_names() -> tuple[str, ...]:
    from edgebig.bench.providers import providers

    return providers.names()


def _runtime_names() -> tuple[str, ...]:
    from edgebig.bench.runtimes import runtimes

    return runtimes.names()


@click.command("bench")
@click.argument("models", metavar="MODEL...", nargs=-1, required=True, type=FILE)
@data_option(required=False)
@sizes_options
@click.option(
    "--provider", type=RegistryChoice("provider", _provider_names), default=DEFAULTS.provider, show_default=True
)
@click.option(
    "--runtime",
    "runtimes",
    type=RegistryChoice("runtime", _runtime_names),
    multiple=True,
    default=DEFAULTS.runtimes,
    show_default=True,
    help="What runs the models; given twice, it compares each model in both.",
)
@click.option("--explain", is_flag=True, help="Tell what edgebig's kernels took over, and why not the rest.")
@click.option(
    "--threads",
    type=click.IntRange(min=0),
    default=DEFAULTS.threads,
    show_default=True,
    help="Threads within an operator; 0: onnxruntime's choice.",
)
@click.option(
    "--rounds", type=click.IntRange(min=1), default=DEFAULTS.rounds, show_default=True, help="At most this many rounds."
)
@click.option(
    "--time",
    "seconds",
    type=float,
    default=DEFAULTS.time,
    show_default=True,
    help="Seconds after which no round begins; three always run.",
)
@click.option("--warmup", type=click.IntRange(min=0), help="Runs before measuring. Default: until times are steady.")
@click.option("--seed", type=click.IntRange(min=0), default=DEFAULTS.seed, help="Of random inputs, order, bootstrap.")
@json_option
@click.option("--force", is_flag=True, help="Replace the --json file if it exists.")
def command(
    models: tuple[Path, ...],
    data: str | None,
    batch: int | None,
    dims: dict[str, int],
    provider: str,
    runtimes: tuple[str, ...],
    explain: bool,
    threads: int,
    rounds: int,
    seconds: float,
    warmup: int | None,
    seed: int,
    json_target: str | None,
    force: bool,
) -> None:
    """Measure latency, several models interleaved.

    All models get the same inputs: the first of --data, or random values. Later models are compared with the first; a
    difference is called one only where the whole 99 % interval shows it.

    --runtime edgebig runs int8 and sparse models with edgebig's kernels inside onnxruntime, where these are faster.
    """
    if explain and EDGEBIG not in runtimes:
        raise UsageError(f"--explain tells what edgebig's kernels do; add --runtime {EDGEBIG}.")
    options = BenchOptions(
        provider=provider,
        runtimes=runtimes,
        threads=threads,
        batch=batch,
        dims=dims,
        rounds=rounds,
        time=seconds,
        warmup=warmup,
        seed=seed,
    )
    check_json_target(json_target, force=force, inputs=models)
    from edgebig.bench.run import bench_models

    with progress(background=False):
        record = bench_models(models, data=data, options=options)
    show(record, lambda: _render(record, explain=explain), json_target)


def _render(record: "MeasurementRecord", *, explain: bool) -> Sequence[RenderableType]:
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


def _times(model: "ModelMeasurement", scale: float) -> list[str]:
    summary = model.summary
    once = [f"{ns / 1e6:.1f}" for ns in (model.build_ns, model.first_run_ns)]
    percentiles = [f"{ns / scale:.{3 if scale == 1e6 else 1}f}" for ns in (summary.p50, summary.p90, summary.p99)]
    size = f"{model.bytes / 1000:,.{0 if model.bytes >= 10_000 else 1}f}"
    return [model.name, size, *once, *percentiles, _rate(summary.per_second)]


def _rate(per_second: float) -> str:
    return f"{per_second:,.0f}" if per_second >= 1000 else f"{per_second:.4g}"


def _comparisons(title: str, found: Sequence[tuple[str, "Comparison | None"]]) -> list[RenderableType]:
    rows = [
        [name, f"{c.speedup:.3f}x", f"{c.low:.3f} to {c.high:.3f}", c.verdict] for name, c in found if c is not None
    ]
    if not rows:
        return []
    return ["", plain_table(None, [title, "speedup", "interval", "verdict"], rows, right="speedup|interval")]


def _stories(models: Sequence["ModelMeasurement"], *, explain: bool) -> list[RenderableType]:
    """What edgebig's runtime did: a line per model, or all of it."""
    told = [(model.name, model.story) for model in models if model.story is not None]
    if not told:
        return []
    from edgebig.runtime.explain import tell, tell_shortly

    if explain:
        return [part for name, story in told for part in ("", Text(f"{name}:\n{tell(story)}"))]
    return ["", *(Text(f"{name}: {tell_shortly(story)}") for name, story in told)]
