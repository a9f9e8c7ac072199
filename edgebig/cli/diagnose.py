"""`edgebig diagnose`: why a quantized model goes wrong, and what repairs it."""

from pathlib import Path

import click

from edgebig.cli.options import FILE, RegistryChoice, data_option, json_option, target_names
from edgebig.cli.output import check_json_target, progress, show


@click.command("diagnose")
@click.argument("original", metavar="FLOAT", type=FILE)
@click.argument("quantized", metavar="QUANTIZED", type=FILE)
@data_option()
@click.option("--task", help="A task; damage is measured on its metric too. A name under models/ or module:function.")
@click.option("--target", type=RegistryChoice("target", target_names), default="ort-cpu", show_default=True,
              help="Where QUANTIZED runs; edgebig quantize --help lists them.")  # fmt: skip
@click.option(
    "--layers", type=click.IntRange(min=1), default=12, help="Put back to float one at a time: the worst (default 12)."
)
@click.option("--samples", type=click.IntRange(min=1), help="At most this many samples.")
@click.option("--ram-budget", default="1GB", help="What the tensors compared at once may take. Default: 1GB.")
@click.option("--threads", type=click.IntRange(min=0), default=0, help="Threads; 0 (default): onnxruntime's choice.")
@json_option
@click.option("--force", is_flag=True, help="Replace the --json file if it exists.")
def command(
    original: Path,
    quantized: Path,
    data: str,
    task: str | None,
    target: str,
    layers: int,
    samples: int | None,
    ram_budget: str,
    threads: int,
    json_target: str | None,
    force: bool,
) -> None:
    """Find why a quantized model goes wrong, and what repairs it.

    FLOAT is the model that QUANTIZED was made from, by whatever tool. Both run side by side on the samples; each
    layer's own error is told apart from what it inherits, the worst layers are put back to float one at a time, and
    the remedy is tried before it is named.
    """
    from edgebig.cli.diagnose_tables import diagnose_tables
    from edgebig.diagnose import DiagnoseOptions, diagnose_models

    options = DiagnoseOptions(
        task=task, target=target, layers=layers, samples=samples, ram_budget=ram_budget, threads=threads
    )
    check_json_target(json_target, force=force, inputs=(original, quantized))
    with progress():
        record = diagnose_models(original, quantized, data=data, options=options)
    show(record, lambda: diagnose_tables(record), json_target)
