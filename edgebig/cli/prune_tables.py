"""What `edgebig prune` prints for people."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import RenderableType

from edgebig.cli.output import plain_table
from edgebig.records.prune import PrunedLayer, PruneRecord, PruneTrial

SHOWN = 40
NAME_WIDTH = 24


def prune_tables(record: PruneRecord, output: Path, *, said: str | None) -> Sequence[RenderableType]:
    """Layers, trials and the result.

    Args:
        record: What was done.
        output: The file written.
        said: A warning that was shown before the work.
    """
    pruned = [layer for layer in record.layers if layer.zeros]
    dense = [layer for layer in record.layers if not layer.zeros]
    rows = [_layer_row(layer) for layer in pruned[:SHOWN]]
    parts: list[RenderableType] = [
        plain_table(
            "Pruned layers", ["layer", "matrix", "zeros", "output error"], rows, right="matrix|zeros|output error"
        ),
        "",
    ]
    if len(pruned) > SHOWN:
        parts.append(f"... and {len(pruned) - SHOWN} more; --json lists them.\n")
    if dense:
        reasons: dict[str, list[str]] = {}
        for layer in dense:
            reasons.setdefault(layer.reason, []).append(layer.name)
        left = [[str(len(names)), _short(names[0]), reason] for reason, names in reasons.items()]
        parts += [plain_table("Left dense", ["layers", "e.g.", "why"], left, right="layers"), ""]
    if record.max_loss is not None:
        trials = [_trial_row(trial) for trial in record.trials]
        parts += [plain_table("Tried", ["sparsity", "loss", ""], trials, right="sparsity|loss"), ""]
    parts += _result_lines(record)
    parts += [f"Note: {warning}." for warning in record.warnings if warning != said]
    return [*parts, f"Written: {output}"]


def _result_lines(record: PruneRecord) -> list[RenderableType]:
    saved = "" if record.macs_saved is None else f", {record.macs_saved:.1%} of their multiplications"
    budget = "" if record.max_loss is None else f" (allowed {record.max_loss:g})"
    measured = "" if record.loss_name.startswith("drop of") else f" on {record.held_out} held-out samples"
    lines: list[RenderableType] = [
        f"Zeros: {record.sparsity:.1%} of the weights of the layers that may be pruned{saved}.",
        f"Loss: {record.loss:.4g} {record.loss_name}{measured}{budget}.",
        f"Weights: {_kb(record.weight_bytes)}; compressed {_kb(record.compressed_before)} before, "
        f"{_kb(record.compressed_after)} after.",
    ]
    if record.batch_norms:
        lines.append(f"Batch norms re-estimated: {record.batch_norms}.")
    return lines


def _layer_row(layer: PrunedLayer) -> list[str]:
    error = "" if layer.error is None else f"{layer.error:.1%}"
    return [_short(layer.name), f"{layer.outputs} x {layer.inputs}", f"{layer.sparsity:.1%}", error]


def _trial_row(trial: PruneTrial) -> list[str]:
    loss = "not finite" if trial.loss is None else f"{trial.loss:.4g}"
    return [f"{trial.reached:.1%}", loss, "passed" if trial.passed else "too much"]


def _short(name: str) -> str:
    return name if len(name) <= NAME_WIDTH else "..." + name[3 - NAME_WIDTH :]


def _kb(size: int) -> str:
    return f"{size / 1000:,.0f} KB"
