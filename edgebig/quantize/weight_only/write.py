"""Rewrite a model: weights in 4 or 8 bits, activations in float."""

from collections.abc import Collection, Iterable, Iterator, Sequence

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from edgebig.data.feeds import Feed
from edgebig.errors import UsageError
from edgebig.progress import track
from edgebig.quantize.change import Change
from edgebig.quantize.exclude import node_name
from edgebig.quantize.weight_only.blocks import quantize_tensor
from edgebig.quantize.weight_only.gptq import Array
from edgebig.quantize.weight_only.groups import Group, find_groups
from edgebig.quantize.weight_only.hessians import observe_hessians
from edgebig.quantize.weight_only.nbits import DOMAIN, write_nbits
from edgebig.quantize.weight_only.qdq import write_qdq
from edgebig.quantize.weight_only.readers import Form
from edgebig.quantize.weight_only.settings import WeightOnlySettings
from edgebig.quantize.weight_only.size import Storage
from edgebig.quantize.weight_only.spool import Spool
from edgebig.quantize.weight_only.stored import Store, drop_initializer

FOUR_BIT_IR_VERSION = 10
# GPTQ takes layers in the graph's order, in so many parts: each part sees what the parts before it really give.
PARTS = 4


def candidates(graph: ir.Graph, settings: WeightOnlySettings) -> dict[ir.Node, str]:
    """Which nodes of a working copy (see `edgebig.graph.edit.working_copy`) can read their weights in few bits.

    Args:
        graph: The graph; its subgraphs are looked at too.
        settings: How weights would be quantized.

    Returns:
        Node -> "" if it can, else the reason in words; nodes without weights are missing.
    """
    return find_groups(graph, settings)[1]


def required_opset(graph: ir.Graph, settings: WeightOnlySettings) -> int:
    """The operator set that `write_weight_only` needs: 21 for blocks or 4 bits in DequantizeLinear, else 13."""
    specs = [group.spec for group in find_groups(graph, settings)[0]]
    modern = any(
        spec.storage is Storage.BLOCKED or (spec.storage is not Storage.NBITS and spec.bits == 4) for spec in specs
    )
    return 21 if modern else 13


def write_weight_only(
    model: ir.Model,
    nodes: Collection[ir.Node],
    settings: WeightOnlySettings,
    *,
    samples: Iterable[Feed] | None = None,
) -> tuple[Change, ...]:
    """Quantize the weights of nodes, in place.

    A weight that several nodes read is quantized once; where one of them is not among `nodes`, it stays in float for
    all. Weights are read and written one at a time; packed weights above 1 MiB wait in a temporary file.

    Args:
        model: A working copy, of `required_opset` at least.
        nodes: Of `candidates`.
        settings: How.
        samples: What GPTQ observes; may be walked several times.

    Returns:
        What became of every node that changed, in the graph's order.

    Raises:
        UsageError: GPTQ without samples.
        InvalidModelError: A weight holds infinities or NaN.
        InvalidDataError: Samples that tell GPTQ nothing.
        OutputError: The disk of temporary files is full.
    """
    chosen = set(nodes)
    groups, reasons = find_groups(
        model.graph, settings, [node for node in candidates(model.graph, settings) if node not in chosen]
    )
    if settings.method == "gptq" and samples is None:
        raise UsageError("GPTQ weighs errors by what the layers read, so it needs samples. Give some, or use hqq.")
    order = {node: place for place, node in enumerate(reasons)}
    store = Store(model, Spool())
    plain, parts = _parts(model, groups, settings)
    found: list[tuple[int, Change]] = []
    for group in track(plain, "quantizing weights", len(plain)):
        found += _write(group, settings, store, order, None)
    for number, part in enumerate(parts, 1):
        names = sorted({name for group in part for name in _observed(group)})
        hessians = observe_hessians(
            model, names, samples or (), threads=settings.threads, description=f"GPTQ, pass {number} of {len(parts)}"
        )
        for group in track(part, f"quantizing weights, part {number} of {len(parts)}", len(part)):
            hessian = np.mean([hessians[name] for name in _observed(group)], axis=0)
            found += _write(group, settings, store, order, hessian)
    _finish(model, groups)
    return tuple(change for _, change in sorted(found, key=lambda entry: entry[0]))


def _write(
    group: Group, settings: WeightOnlySettings, store: Store, order: dict[ir.Node, int], hessian: Array | None
) -> Iterator[tuple[int, Change]]:
    """Quantize a weight, and tell what became of its readers."""
    tensor = group.value.const_value
    if tensor is None:
        raise TypeError(f"initializer {group.value.name!r} holds nothing")
    integers = quantize_tensor(tensor, group.spec, settings, hessian)
    readers = [(order[reader.node], node_name(reader.node), reader.node.op_type) for reader in group.readers]
    before, weights = group.bytes_before, group.weights
    if group.spec.storage is Storage.NBITS:
        stored = write_nbits(group, integers, store, settings.accuracy_level)
    else:
        stored = write_qdq(group, integers, store)
    method = "GPTQ" if hessian is not None else "HQQ" if settings.method == "hqq" else "rounded"
    for number, (place, name, op_type) in enumerate(readers):
        first = number == 0
        yield (
            place,
            Change(
                node=name,
                op_type=op_type,
                how=f"{group.spec.words}, {method}" + ("" if first else f"; shares the weight of {readers[0][1]}"),
                weights=weights if first else 0,
                weight_error=integers.error,
                bytes_before=before if first else 0,
                bytes_after=stored.bytes if first else 0,
            ),
        )


def _parts(
    model: ir.Model, groups: Sequence[Group], settings: WeightOnlySettings
) -> tuple[list[Group], list[list[Group]]]:
    """Weights that need no samples, and the others in parts whose Hessians fit the budget together."""
    if settings.method != "gptq":
        return list(groups), []
    plain = [group for group in groups if not _has_feedback(model, group)]
    others = [group for group in groups if _has_feedback(model, group)]
    most = -(-len(others) // PARTS)
    parts: list[list[Group]] = []
    taken: dict[str, int] = {}
    for group in others:
        sizes = dict.fromkeys(_observed(group), 8 * group.spec.inputs**2)
        if not parts or len(parts[-1]) == most or sum((taken | sizes).values()) > settings.ram_budget:
            parts.append([])
            taken = {}
        parts[-1].append(group)
        taken |= sizes
    return plain, parts


def _has_feedback(model: ir.Model, group: Group) -> bool:
    """Whether what all readers multiply the weight with can be observed, with its inputs on the last axis."""
    return all(
        reader.form is Form.MATMUL
        and reader.node.graph is model.graph
        and not reader.node.attributes.get_int("transA", 0)
        and len(group.spec.shape) == 2
        for reader in group.readers
    )


def _observed(group: Group) -> list[str]:
    return [value.name or "" for reader in group.readers if (value := reader.node.inputs[0]) is not None]


def _finish(model: ir.Model, groups: Sequence[Group]) -> None:
    RemoveUnusedNodesPass()(model)
    for group in groups:
        # The pass leaves unused initializers of subgraphs.
        if not group.value.uses():
            drop_initializer(group.value)
    if any(group.spec.storage is Storage.NBITS for group in groups):
        model.opset_imports.setdefault(DOMAIN, 1)
    if any(group.spec.storage is not Storage.NBITS and group.spec.bits == 4 for group in groups):
        model.ir_version = max(model.ir_version, FOUR_BIT_IR_VERSION)
