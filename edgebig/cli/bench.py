"""`edgebig bench`: latency of one or more models, in one or more runtimes, interleaved."""

from pathlib import Path

import click

from edgebig.cli.options import FILE, RegistryChoice, data_option, json_option, sizes_options
from edgebig.cli.output import check_json_target, progress, show
from edgebig.errors import UsageError
from edgebig.records.measurement import BenchOptions

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
    from edgebig.cli.bench_tables import bench_tables

    with progress(background=False):
        record = bench_models(models, data=data, options=options)
    show(record, lambda: bench_tables(record, explain=explain), json_target)
