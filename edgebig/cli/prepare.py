"""`edgebig prepare`: fill the runtime's cache for a model."""

from pathlib import Path

import click
from rich.text import Text

from edgebig.cli.options import FILE, data_option, json_option, sizes_options
from edgebig.cli.output import check_json_target, progress, show
from edgebig.records.measurement import BenchOptions


@click.command("prepare")
@click.argument("model", type=FILE)
@data_option(required=False)
@sizes_options
@click.option(
    "--threads",
    type=click.IntRange(min=0),
    default=0,
    help="Threads within an operator, as the session will have; 0 (default): onnxruntime's choice.",
)
@json_option
@click.option("--force", is_flag=True, help="Replace the --json file if it exists.")
def command(
    model: Path,
    data: str | None,
    batch: int | None,
    dims: dict[str, int],
    threads: int,
    json_target: str | None,
    force: bool,
) -> None:
    """Compile and measure a model's kernels ahead of time.

    Sessions of edgebig.runtime find the result in the cache, and are built in a second or less. It holds for this
    machine, these input shapes and this number of threads.
    """
    from edgebig.bench.inputs import make_feed
    from edgebig.graph.interface import input_specs
    from edgebig.graph.load import load_model
    from edgebig.runtime.ahead_of_time import prepare
    from edgebig.runtime.explain import tell

    check_json_target(json_target, force=force, inputs=(model,))
    loaded = load_model(model)
    feed, _ = make_feed(input_specs(loaded), data, BenchOptions(batch=batch, dims=dims))
    with progress(background=False):
        (record,) = prepare(loaded, shapes=[{name: array.shape for name, array in feed.items()}], threads=threads)
    show(record, lambda: [Text(tell(record))], json_target)
