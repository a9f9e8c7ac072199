"""`edgebig compare`: two models' outputs on the same samples."""

from pathlib import Path

import click

from edgebig.cli.options import FILE, RegistryChoice, data_option, json_option
from edgebig.cli.output import check_json_target, progress, show


def _loss_names() -> tuple[str, ...]:
    from edgebig.metrics.pair import pair_losses

    return ("auto", *pair_losses.names())


@click.command("compare")
@click.argument("reference", type=FILE)
@click.argument("changed", type=FILE)
@data_option()
@click.option("--loss", type=RegistryChoice("loss", _loss_names), default="auto", help="auto: what fits each output.")
@click.option("--max-loss", type=click.FloatRange(min=0), help="Exit with 3 if the worst output's loss is above this.")
@click.option("--limit", type=click.IntRange(min=1), help="At most this many samples.")
@click.option("--threads", type=click.IntRange(min=0), default=0, help="Threads; 0 (default): onnxruntime's choice.")
@click.option(
    "--time",
    type=click.FloatRange(min=0),
    default=2.0,
    help="Seconds for measuring latency (default 2); 0: leave it out.",
)
@json_option
@click.option("--force", is_flag=True, help="Replace the --json file if it exists.")
def command(
    reference: Path,
    changed: Path,
    data: str,
    loss: str,
    max_loss: float | None,
    limit: int | None,
    threads: int,
    time: float,
    json_target: str | None,
    force: bool,
) -> None:
    """Compare two models' outputs on the same samples.

    REFERENCE is the original, CHANGED the model held against it; no labels are needed. The loss is by default the one
    that fits each output: for class scores the share of samples whose class changes.
    """
    from edgebig.cli.comparison_tables import comparison_tables
    from edgebig.evaluate.compare import compare_models
    from edgebig.evaluate.gates import check_comparison

    check_json_target(json_target, force=force)
    with progress():
        record = compare_models(reference, changed, data, loss=loss, threads=threads, limit=limit, time=time)
    show(record, lambda: comparison_tables(record, reference, changed), json_target)
    check_comparison(record, max_loss=max_loss)
