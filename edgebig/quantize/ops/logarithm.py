"""Spectra whose logarithm is taken: 8 bits tell 48 dB apart, and a logarithm makes all below that as loud as the rest.

Transforms written as convolutions or products (STFT, constant-Q, mel filters) lead to a Log through powers, sums and
other linear operators, with no activation in between.
"""

from collections import deque

import onnx_ir as ir

LOGARITHM = "a logarithm is taken of its result: 8 bits cannot tell the quiet parts apart"
THROUGH = frozenset(
    {
        *("Conv", "MatMul", "Gemm", "Add", "Sub", "Mul", "Div", "Neg", "Abs", "Pow", "Sqrt", "Reciprocal", "Cast"),
        *("ReduceSum", "ReduceMean", "ReduceSumSquare", "ReduceL2", "Max", "Min", "Clip", "Where", "Identity"),
        *("Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Slice", "Split", "Gather", "Concat", "Pad"),
    }
)
# A spectrum is near its logarithm; whatever has more nodes in between is another kind of net.
_MOST_NODES = 256


def feeds_logarithm(node: ir.Node) -> bool:
    """Whether a Log is reached from a node without an activation or normalisation in between."""
    queue, seen = deque([node]), {node}
    while queue and len(seen) <= _MOST_NODES:
        for output in queue.popleft().outputs:
            for use in output.uses():
                reader = use.node
                if reader.op_type == "Log" and reader.domain in ("", "ai.onnx"):
                    return True
                if reader.op_type in THROUGH and reader not in seen:
                    seen.add(reader)
                    queue.append(reader)
    return False
