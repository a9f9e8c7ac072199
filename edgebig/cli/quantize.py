"""`edgebig quantize`: integers where the target runs them faster, and what that lost."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import RenderableType

from edgebig.cli.options import FILE, F, RegistryChoice, data_option, json_option, output_option, target_names
from edgebig.cli.output import check_json_target, plain_table, progress, show
from edgebig.files import check_output
from edgebig.records.quantize import (
    ACTIVATION_BITS,
    BLOCK_SIZES,
    CALIBRATIONS,
    EFFORTS,
    FLOAT,
    FORMATS,
    SCHEMES,
    WEIGHT_BITS,
    WEIGHT_METHODS,
    QuantizeOptions,
)

if TYPE_CHECKING:
    from edgebig.records.quantize import NodeCoverage, QuantizeRecord, SchemeTrial
    from edgebig.records.sensitivity import BudgetRecord

DEFAULTS = QuantizeOptions()


def _switch(name: str, words: str) -> Callable[[F], F]:
    """An algorithm's switch: on, off, or what the effort says."""
    return click.option(f"--{name}/--no-{name}", default=None, help=f"{words} Default: where it helps.")


@click.command("quantize")
@click.argument("model", type=FILE)
@output_option
@data_option(required=False)
@click.option("--scheme", type=click.Choice(SCHEMES), default=DEFAULTS.scheme, show_default=True,
              help="What becomes integers, and when.")  # fmt: skip
@click.option("--target", type=RegistryChoice("target", target_names), default=DEFAULTS.target, show_default=True,
              help="Where the result will run: ort-cpu (this processor), ort-cpu-vnni, ort-cpu-avx2, ort-cpu-arm64, "
              "ort-cuda, tensorrt-10, tensorrt-11, openvino, qnn.")  # fmt: skip
@click.option("--calibration", type=click.Choice(CALIBRATIONS), default=DEFAULTS.calibration,
              show_default=True, help="How ranges of activations are chosen.")  # fmt: skip
@click.option("--format", type=click.Choice(FORMATS), default=DEFAULTS.format, show_default=True,
              help="How integers are written: qdq; qoperator (static); nbits (weight-only: MatMulNBits).")  # fmt: skip
@click.option("--activation-bits", type=click.Choice(ACTIVATION_BITS), default=DEFAULTS.activation_bits,
              show_default=True, help="Static: 16 where the target has them.")  # fmt: skip
@click.option("--block-size", type=click.Choice(BLOCK_SIZES), default=DEFAULTS.block_size, show_default=True,
              help="Weight-only: inputs that share a scale; -1 for all.")  # fmt: skip
@click.option("--weight-method", type=click.Choice(WEIGHT_METHODS), default=DEFAULTS.weight_method,
              show_default=True, help="Weight-only: how integers are found.")  # fmt: skip
@click.option("--weight-bits", type=click.Choice(WEIGHT_BITS), default=DEFAULTS.weight_bits, show_default=True,
              help="auto: 8, and held so that no 16-bit sum saturates where there is no VNNI.")  # fmt: skip
@click.option(
    "--exclude", multiple=True, metavar="NODE", help="Leave this node in float; may hold * and ?; repeatable."
)
@click.option("--samples", type=click.IntRange(min=1), help="Use at most this many samples.")
@click.option("--ram-budget", default=DEFAULTS.ram_budget, show_default=True, metavar="SIZE",
              help="Memory for observing.")  # fmt: skip
@click.option("--effort", type=click.Choice(EFFORTS), default=DEFAULTS.effort, show_default=True,
              help="fast: one range method, no algorithms. default: whatever helps held-out samples. "
              "max: AdaRound too.")  # fmt: skip
@_switch("equalize", "Cross-layer equalisation.")
@_switch("smooth-quant", "SmoothQuant.")
@_switch("weight-mse", "Scales of weights by the smallest error.")
@_switch("bias-correction", "Let biases make up for what rounding weights shifts.")
@_switch("gptq", "Round static int8 weights with feedback.")
@_switch("adaround", "Learn the rounding of static int8 weights; slow.")
@click.option("--max-loss", type=float, help="Keep layers in float until the loss is within this; exit with 3 if "
              "nothing helps.")  # fmt: skip
@click.option("--task", metavar="TASK", help="Measure --max-loss as the drop of this task's metric, with labels.")
@click.option("--threads", type=click.IntRange(min=0), default=DEFAULTS.threads, help="0 (default): automatic.")
@click.option("--cache/--no-cache", default=DEFAULTS.cache, show_default=True,
              help="Keep statistics of tensors for the next time.")  # fmt: skip
@click.option("--nodes", is_flag=True, help="List every node, not groups of them.")
@json_option
def command(model: Path, output: Path, force: bool, data: str | None, nodes: bool, json_target: str | None,
            **chosen: object) -> None:  # fmt: skip
    """Quantize a model for a target.

    Ranges are observed on the samples, in bounded memory; a quarter of the samples is held out and measures the loss.
    What would not run faster in integers stays in float, and the table says why. int8-dynamic, int8-weight and
    int4-weight do without samples.
    """
    options = QuantizeOptions(**chosen)  # type: ignore[arg-type]
    check_output(output, force=force, inputs=[model])
    check_json_target(json_target, force=force, inputs=[model])
    from edgebig.graph.save import save_model
    from edgebig.quantize import quantize_model

    with progress():
        result, record = quantize_model(model, data=data, options=options)
        save_model(result, output, force=force)
    show(record, lambda: _render(record, output, every_node=nodes), json_target)


def _render(record: "QuantizeRecord", output: Path, *, every_node: bool) -> Sequence[RenderableType]:
    rows = _node_rows(record.nodes) if every_node else _group_rows(record.nodes)
    first = "node" if every_node else "nodes"
    facts = [
        f"Target {record.target} on {record.machine['int8 instructions']}; weight bits: {record.weight_bits}.",
        f"{record.multiply_add_share:.1%} of the multiply-adds and {record.weight_share:.1%} of the weights quantized.",
    ]
    if record.feeds:
        facts.append(f"Ranges by {record.calibration} over {record.feeds} feeds in {record.passes} pass(es).")
    kept = [report.algorithm for report in record.algorithms if report.kept]
    if kept:
        facts.append(f"Algorithms that helped: {', '.join(kept)}.")
    losses = [
        [row.output, row.loss_name, "not finite" if row.loss is None else f"{row.loss:.4g}",
         "-" if row.sqnr_db is None else f"{row.sqnr_db:.1f}"]
        for row in record.outputs
    ]  # fmt: skip
    size = f"{record.bytes_before / 1000:,.1f} KB to {record.bytes_after / 1000:,.1f} KB"
    shown: list[RenderableType] = [plain_table(None, ["operator", first, "precision", "remark"], rows, right="nodes")]
    shown += ["", *facts, ""]
    if losses:
        heads = ["output", "held-out loss", "value", "SQNR dB"]
        shown += [plain_table(None, heads, losses, right="value|SQNR dB"), ""]
    if record.trials:
        shown += [
            plain_table(
                None, ["scheme", "speed-up", "SQNR dB", "verdict"], _trial_rows(record.trials), right="speed-up|SQNR dB"
            ),
            "",
        ]
    if record.budget is not None:
        shown += [*_budget(record.budget), ""]
    kinds = ", ".join(f"{kind} {count / 1000:,.1f}" for kind, count in record.bytes_by_kind.items())
    shown += [f"Where the KB are: {kinds}.", ""]
    return [*shown, *(f"Note: {note}." for note in record.notes), f"Written: {output} ({size})"]


def _budget(budget: "BudgetRecord") -> list[RenderableType]:
    kept = [row for row in budget.rows if row.kept_float]
    before = "not finite" if budget.loss_before is None else f"{budget.loss_before:.4g}"
    words = f"Loss budget {budget.max_loss:g} ({budget.loss_name}): {before} with all layers quantized"
    if not kept:
        return [f"{words}."]
    rows = [[row.layer, "-" if row.damage is None else f"{row.damage:.2g}", f"{row.macs_share:.1%}"] for row in kept]
    table = plain_table(None, ["kept in float", "damage alone", "of the work"], rows, right="damage alone|of the work")
    return [f"{words}, {budget.loss:.4g} with {len(kept)} of {len(budget.rows)} in float:", table]


def _trial_rows(trials: Sequence["SchemeTrial"]) -> list[list[str]]:
    return [
        [
            trial.scheme,
            "-" if trial.speedup is None else f"{trial.speedup:.2f}",
            "-" if trial.sqnr_db is None else f"{trial.sqnr_db:.1f}",
            trial.reason,
        ]
        for trial in trials
    ]


def _node_rows(nodes: Sequence["NodeCoverage"]) -> list[list[str]]:
    return [[node.op_type, node.node, node.precision, node.reason] for node in nodes]


def _group_rows(nodes: Sequence["NodeCoverage"]) -> list[list[str]]:
    """One row for all nodes of an operator with the same fate; which node a node is inside of does not matter here."""
    groups: dict[tuple[str, str, str], int] = {}
    for node in nodes:
        remark = node.reason if not node.quantized or node.reason == "float result" else ""
        key = (node.op_type, node.precision, remark)
        groups[key] = groups.get(key, 0) + 1
    ordered = sorted(groups.items(), key=lambda item: (item[0][1] == FLOAT, -item[1]))
    return [[op_type, str(count), where, remark] for (op_type, where, remark), count in ordered]
