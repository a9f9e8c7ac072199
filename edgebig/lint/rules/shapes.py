"""Dynamic axes and unknown shapes, for targets that compile a graph for the shapes it has."""

from collections.abc import Iterator

from edgebig.lint.context import Context, finding
from edgebig.lint.rule import Rule
from edgebig.records.lint import Finding, Severity

NAME = "shapes"
COMPILED = ("TensorRT",)


def check(context: Context) -> Iterator[Finding]:
    """Find inputs with dynamic axes, and values whose rank nobody can tell."""
    target = context.target
    compiled = target.runtime in COMPILED
    if not (target.static_shapes or compiled):
        return
    inputs = [value for value in context.model.graph.inputs if not value.is_initializer()]
    dynamic = [
        value for value in inputs if value.shape is None or any(not isinstance(size, int) for size in value.shape)
    ]
    if dynamic:
        names = ", ".join(f"{value.name} {_shape(value)}" for value in dynamic[:4])
        more = f" and {len(dynamic) - 4} more" if len(dynamic) > 4 else ""
        yield finding(
            NAME,
            Severity.SLOWER if target.static_shapes else Severity.NOTE,
            None,
            "inputs have dynamic axes: "
            + (
                f"{target.name} takes fixed shapes, and the nodes behind them run on the CPU"
                if target.static_shapes
                else f"{target.runtime} wants an optimisation profile for each, and is fastest with fixed shapes"
            ),
            detail=names + more,
            advice="fix them: python -m onnxruntime.tools.make_dynamic_shape_fixed --dim_param NAME --dim_value SIZE"
            + ("" if target.static_shapes else ", or give a profile (trt_profile_min_shapes, --minShapes)"),
        )
    unknown = [node for node in context.nodes if any(value.name and value.shape is None for value in node.outputs)]
    if unknown:
        yield finding(
            NAME,
            Severity.NOTE,
            unknown[0],
            f"shape inference cannot tell the rank of what {len(unknown)} nodes give; {target.name} needs the shapes",
            advice="edgebig optimize, which folds computed shapes and writes what it infers",
        )


def _shape(value: object) -> str:
    shape = getattr(value, "shape", None)
    if shape is None:
        return "of unknown rank"
    return "[" + ", ".join(str(size) if isinstance(size, int) else size.value or "?" for size in shape) + "]"


RULE = Rule(NAME, check, source="static_shapes")
