"""What the rules see: a model with shapes, the target, and what the user brought."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import onnx_ir as ir

from edgebig.data.samples import Samples
from edgebig.graph.load import all_nodes
from edgebig.graph.opset import opset_version
from edgebig.graph.shapes import infer_shapes
from edgebig.records.lint import Finding, Severity
from edgebig.targets.base import Target
from edgebig.targets.release import Release


@dataclass(frozen=True)
class Context:
    """A model as the rules see it.

    Attributes:
        model: The model; constants are initializers, shapes are inferred.
        target: What it is held against.
        release: The version of the target's runtime; None where nothing is known of its versions.
        samples: Samples, where the user gave some.
        file: The file it was loaded from, unchanged; None where there is none.
    """

    model: ir.Model
    target: Target
    release: Release | None = None
    samples: Samples | None = None
    file: Path | None = None

    def of(self, model: ir.Model) -> "Context":
        """The same for another model, which stays as it is."""
        copy = model.clone()
        infer_shapes(copy)
        return Context(copy, self.target, self.release, self.samples)

    @cached_property
    def nodes(self) -> tuple[ir.Node, ...]:
        """All nodes, subgraphs and functions included."""
        return tuple(all_nodes(self.model))

    @property
    def opset(self) -> int:
        """Version of the standard operator set; 0 where none is imported."""
        return opset_version(self.model) or 0

    def of_type(self, *op_types: str) -> Iterator[ir.Node]:
        """The nodes of these operators, of any domain."""
        return (node for node in self.nodes if node.op_type in op_types)


def finding(
    rule: str,
    severity: Severity,
    node: ir.Node | None,
    text: str,
    *,
    advice: str,
    detail: str = "",
    fixable: bool = False,
) -> Finding:
    """A finding at a node, or (None) of the whole file."""
    return Finding(
        rule=rule,
        severity=severity,
        node="" if node is None else label(node),
        op_type="" if node is None else node.op_type,
        text=text,
        detail=detail,
        advice=advice,
        fixable=fixable,
    )


def label(node: ir.Node) -> str:
    """A node's name; for one without, its operator and first output."""
    return node.name or f"{node.op_type}({node.outputs[0].name if node.outputs else ''})"


def describe_value(value: ir.Value | None) -> str:
    """A value and where it comes from, in words."""
    if value is None:
        return "nothing"
    producer = value.producer()
    if producer is not None:
        return f"{value.name!r} from {producer.op_type} {label(producer)!r}"
    return f"{value.name!r}, {'an input of the model' if value.is_graph_input() else 'a constant'}"
