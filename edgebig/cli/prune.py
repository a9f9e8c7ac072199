"""`edgebig prune`: zeros in a pattern, and kept weights that make good what the zeros lose."""

from pathlib import Path

import click

from edgebig.cli.options import FILE, RegistryChoice, data_option, json_option, output_option
from edgebig.cli.output import check_json_target, progress, show
from edgebig.files import check_output
from edgebig.records.prune import BUDGETS, SCOPES, PruneOptions

DEFAULTS = PruneOptions(max_loss=0.0)


def _patterns() -> tuple[str, ...]:
    from edgebig.prune.patterns import patterns

    return patterns.names()


def _methods() -> tuple[str, ...]:
    from edgebig.prune.methods import methods

    return methods.names()


def _targets() -> tuple[str, ...]:
    from edgebig.targets import targets

    return targets.names()


@click.command("prune")
@click.argument("model", type=FILE)
@output_option
@data_option()
@click.option("--pattern", type=RegistryChoice("pruning pattern", _patterns), default=DEFAULTS.pattern,
              show_default=True, help="Weights that become zero together.")  # fmt: skip
@click.option("--sparsity", type=float, help="Share of zeros, e.g. 0.7; with --max-loss the most that is tried.")
@click.option("--max-loss", type=float, help="Find the highest sparsity whose held-out loss is at most this.")
@click.option("--task", help="Take the drop of this task's metric for the loss (see edgebig evaluate).")
@click.option("--method", type=RegistryChoice("pruning method", _methods), default=DEFAULTS.method,
              show_default=True, help="How blocks are ranked within a layer.")  # fmt: skip
@click.option("--scope", type=click.Choice(SCOPES), default=DEFAULTS.scope, show_default=True,
              help="Spend the sparsity where it costs least, or the same share per layer.")  # fmt: skip
@click.option("--budget", type=click.Choice(BUDGETS), default=DEFAULTS.budget, show_default=True,
              help="What the sparsity counts: weights (size) or multiplications (work).")  # fmt: skip
@click.option("--include-ends", is_flag=True, help="Also prune the first and last layers.")
@click.option("--exclude", multiple=True, metavar="NAME", help="Leave this layer alone; may hold * and ?; repeatable.")
@click.option("--no-compensate", is_flag=True, help="Do not fit the kept weights (much worse; for comparison).")
@click.option("--target", type=RegistryChoice("target", _targets), default=DEFAULTS.target, show_default=True,
              help="Where it will run; warns where the pattern gains nothing.")  # fmt: skip
@click.option("--loss", default=DEFAULTS.loss, show_default=True, help="Loss between outputs.")
@click.option("--seed", type=click.IntRange(min=0), default=DEFAULTS.seed, show_default=True, help="Of sampling.")
@click.option("--threads", type=click.IntRange(min=0), default=DEFAULTS.threads, help="0 (default): automatic.")
@json_option
def command(model: Path, output: Path, force: bool, data: str, json_target: str | None, **chosen: object) -> None:
    """Set weights to zero in a pattern, and repair the rest.

    The kept weights are fitted layer by layer to the samples, unlabelled, so that the outputs stay; a quarter of the
    samples is held out to measure the loss. Prune before you quantize.
    """
    chosen["compensate"] = not chosen.pop("no_compensate")
    options = PruneOptions(**chosen)  # type: ignore[arg-type]
    check_output(output, force=force, inputs=[model])
    check_json_target(json_target, force=force, inputs=[model])
    from edgebig.cli.prune_tables import prune_tables
    from edgebig.graph.save import save_model
    from edgebig.prune import prune_model
    from edgebig.prune.notices import gain_warning

    if slow := gain_warning(options.pattern, options.target):
        click.echo(f"Warning: {slow}", err=True)
    with progress():
        result, record = prune_model(model, data=data, options=options)
        save_model(result, output, force=force)
    show(record, lambda: prune_tables(record, output, said=slow), json_target)
