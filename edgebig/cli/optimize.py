"""`edgebig optimize`: a cleaner graph with the same outputs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import RenderableType

from edgebig.cli.options import FILE, data_option, json_option, output_option
from edgebig.cli.output import check_json_target, plain_table, progress, show
from edgebig.files import check_output
from edgebig.records.optimize import OptimizeOptions

if TYPE_CHECKING:
    from edgebig.records.optimize import OptimizeRecord

DEFAULTS = OptimizeOptions()


@click.command("optimize")
@click.argument("model", type=FILE)
@output_option
@data_option(required=False)
@click.option("--opset", type=click.IntRange(min=1), help="Raise to this operator set (default: those below 13 to 13).")
@click.option("--tolerance", type=float, help="Largest output error over the output's scale (default: by dtype, 1e-4).")
@click.option("--freeze-inputs", is_flag=True, help="Take initializers that are also inputs as constants.")
@click.option("--seed", type=click.IntRange(min=0), default=DEFAULTS.seed, show_default=True, help="Of random inputs.")
@click.option("--external-data", is_flag=True, help="Write the weights to a file of their own (automatic above 2 GB).")
@json_option
def command(
    model: Path,
    output: Path,
    force: bool,
    data: str | None,
    opset: int | None,
    tolerance: float | None,
    freeze_inputs: bool,
    seed: int,
    external_data: bool,
    json_target: str | None,
) -> None:
    """Clean up an ONNX graph, outputs proven equal.

    MODEL and the result are run on the samples, or on random inputs without them. A change that moves an output by
    more than rounding is left out, and said so.
    """
    options = OptimizeOptions(opset=opset, tolerance=tolerance, freeze_inputs=freeze_inputs, seed=seed)
    check_output(output, force=force, inputs=[model])
    if external_data:
        check_output(output.with_name(output.name + ".data"), force=force)
    check_json_target(json_target, force=force, inputs=[model])
    from edgebig.graph.save import save_model
    from edgebig.optimize import optimize_model

    with progress():
        result, record = optimize_model(model, data=data, options=options)
        save_model(result, output, force=force, external_data=external_data or None)
    show(record, lambda: _render(record, output), json_target)


def _render(record: "OptimizeRecord", output: Path) -> Sequence[RenderableType]:
    before, after = record.nodes_before, record.nodes_after
    changed = [name for name in {**before, **after} if before.get(name, 0) != after.get(name, 0)]
    rows = [[name, str(before.get(name, 0)), str(after.get(name, 0))] for name in changed]
    rows.append(["all nodes", str(sum(before.values())), str(sum(after.values()))])
    rows.append(["opset", str(record.opset_before or "-"), str(record.opset_after or "-")])
    rows.append(["KB", f"{record.bytes_before / 1000:,.1f}", f"{record.bytes_after / 1000:,.1f}"])
    parts: list[RenderableType] = [plain_table(None, ["", "before", "after"], rows, right="before|after"), ""]
    done = [[report.name, _counts(report.counts)] for report in record.passes if report.counts]
    parts += [plain_table(None, ["pass", "what it did"], done), ""] if done else ["Nothing needed changing.", ""]
    skipped = [[report.name, reason] for report in record.passes for reason in report.skipped]
    if skipped:
        parts += [plain_table("Left as they were", ["pass", "node and reason"], skipped[:10]), ""]
        parts += [f"... and {len(skipped) - 10} more; --json lists them."] if len(skipped) > 10 else []
    parts += [f"Pass {name} was left out: {reason}" for name, reason in record.left_out.items()]
    kind = "random inputs" if record.data == "random" else record.data
    parts.append(
        f"Outputs are equal on {record.feeds} feeds of {kind}: worst error {record.worst_error:.2g} of the scale."
    )
    parts += [f"Note: {note}." for note in record.notes]
    return [*parts, f"Written: {output}"]


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in counts.items())
