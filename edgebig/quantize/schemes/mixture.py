"""A model of several schemes: some nodes static int8, some dynamic, some with integer weights alone.

Embeddings always get integer weights (reading a row costs the same), recurrent layers run dynamically (no runtime has
a static kernel for them). What differs between mixtures is what becomes of the matrix products.
"""

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass

import onnx_ir as ir

from edgebig.graph.edit import working_copy
from edgebig.graph.opset import raise_opset
from edgebig.quantize import dynamic, weight_only
from edgebig.quantize.change import Change
from edgebig.quantize.coverage import float_rows
from edgebig.quantize.draft import Draft, with_changes
from edgebig.quantize.job import Job
from edgebig.quantize.schemes.static import Calibrated
from edgebig.quantize.schemes.static import draft as static_draft
from edgebig.quantize.schemes.weight_only import settings_of
from edgebig.quantize.weight_bits import weight_rule

STATIC, DYNAMIC, WEIGHTS = "int8", "int8-dynamic", "int8-weight"
RESCALING = ("equalize", "smooth-quant")  # algorithms that change the float model
PRODUCTS = ("MatMul", "Gemm")
RECURRENT = ("LSTM", "GRU", "RNN")


@dataclass(frozen=True)
class Parts:
    """Names of the nodes that each scheme can take, the user's exclusions left out.

    Attributes:
        tables: Embeddings, for integer weights.
        recurrent: Recurrent layers, for the dynamic scheme.
        dynamic_products: MatMul and Gemm that the dynamic scheme can take.
        stored_products: MatMul and Gemm whose weights alone can become integers.
    """

    tables: frozenset[str]
    recurrent: frozenset[str]
    dynamic_products: frozenset[str]
    stored_products: frozenset[str]


def find_parts(job: Job) -> Parts:
    """See what the schemes can take of a model."""
    model = working_copy(job.prepared.model)
    dynamically = _names(job, dynamic.candidates(model.graph, job.prepared.facts))
    stored = _names(job, weight_only.candidates(model.graph, settings_of(job, 8)))
    return Parts(
        tables=stored.get("Gather", frozenset()),
        recurrent=frozenset().union(*(dynamically.get(op_type, frozenset()) for op_type in RECURRENT)),
        dynamic_products=frozenset().union(*(dynamically.get(op_type, frozenset()) for op_type in PRODUCTS)),
        stored_products=frozenset().union(*(stored.get(op_type, frozenset()) for op_type in PRODUCTS)),
    )


def _names(job: Job, found: dict[ir.Node, str]) -> dict[str, frozenset[str]]:
    """Operator -> names of the nodes that can be taken."""
    names: dict[str, set[str]] = {}
    for node, reason in found.items():
        if not reason and (node.name or "") not in job.excluded:
            names.setdefault(node.op_type, set()).add(node.name or "")
    return {op_type: frozenset(found) for op_type, found in names.items()}


def mix(job: Job, calibrated: Calibrated | None, parts: Parts, products: str, left: Collection[str] = ()) -> Draft:
    """Write a mixture.

    Args:
        job: The request.
        calibrated: What static int8 is written from; None for no static int8.
        parts: See `find_parts`.
        products: What becomes of matrix products: `STATIC`, `DYNAMIC` or `WEIGHTS`.
        left: Names of nodes that stay in float.
    """
    on_the_fly = (parts.recurrent | (parts.dynamic_products if products == DYNAMIC else frozenset())) - set(left)
    stored = (parts.tables | (parts.stored_products if products == WEIGHTS else frozenset())) - set(left)
    start = _start(job, calibrated, on_the_fly | stored | set(left))
    changes = _write_dynamic(job, start.model, on_the_fly) + _write_weights(job, start.model, stored)
    schemes = [STATIC] if any(row.quantized for row in start.nodes) else []
    rescaled = [row.algorithm for row in start.algorithms if row.kept and row.algorithm in RESCALING]
    schemes += [DYNAMIC] if on_the_fly else []
    schemes += [WEIGHTS] if stored else []
    nodes = with_changes(start.nodes, changes)
    return dataclasses.replace(
        start,
        nodes=nodes,
        scheme=" + ".join(schemes) + (f" ({', '.join(rescaled)})" if rescaled and STATIC not in schemes else ""),
        rewrite=lambda more: mix(job, calibrated, parts, products, more),
    )


def _start(job: Job, calibrated: Calibrated | None, excluded: frozenset[str]) -> Draft:
    """The static part."""
    if calibrated is not None:
        choice = calibrated.choice
        return static_draft(calibrated, dataclasses.replace(choice, excluded=choice.excluded | excluded))
    model = working_copy(job.prepared.model)
    rows = float_rows(model.graph, job.prepared.facts, {})
    bits = weight_rule(job.options.weight_bits, job.prepared.facts.target)[1]
    return Draft(model, rows, scheme="", weight_bits=bits, rewrite=lambda left: _start(job, None, left))


def _write_dynamic(job: Job, model: ir.Model, names: Collection[str]) -> tuple[Change, ...]:
    if not names:
        return ()
    rule, _ = weight_rule(job.options.weight_bits, job.prepared.facts.target)
    return dynamic.write_dynamic(model, _nodes(model, names), rule=rule)


def _write_weights(job: Job, model: ir.Model, names: Collection[str]) -> tuple[Change, ...]:
    if not names:
        return ()
    settings = settings_of(job, 8)
    needed = weight_only.required_opset(model.graph, settings)
    if job.prepared.facts.opset < needed:
        raise_opset(model, needed)
    return weight_only.write_weight_only(model, _nodes(model, names), settings)


def _nodes(model: ir.Model, names: Collection[str]) -> list[ir.Node]:
    return [node for node in ir.traversal.RecursiveGraphIterator(model.graph) if (node.name or "") in names]
