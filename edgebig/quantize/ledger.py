"""Where the bytes of a model are."""

import onnx_ir as ir

from edgebig.graph.skeleton import model_bytes

# Inputs of quantized operators that are scales or zero points, not weights.
PARAMETERS = {
    "QuantizeLinear": (1, 2),
    "DequantizeLinear": (1, 2),
    "MatMulNBits": (2, 3),
    "GatherBlockQuantized": (2, 3),
    "DynamicQuantizeLSTM": (8, 9, 10, 11),
    "QLinearConv": (1, 2, 4, 5, 6, 7),
    "QLinearMatMul": (1, 2, 4, 5, 6, 7),
    "QGemm": (1, 2, 4, 5, 7, 8),
    "MatMulInteger": (2, 3),
    "ConvInteger": (2, 3),
}
SCALES, GRAPH = "scales and zero points", "graph"


def byte_ledger(model: ir.Model) -> dict[str, int]:
    """Bytes by what they hold, largest first: weights by dtype, scales and zero points, and the graph itself.

    Args:
        model: Any model. A tensor that several nodes share counts once.
    """
    ledger: dict[str, int] = {}
    seen: set[int] = set()
    for graph in model.graphs():
        for value in graph.initializers.values():
            tensor = value.const_value
            if tensor is None or id(tensor) in seen:
                continue
            seen.add(id(tensor))
            kind = SCALES if _is_parameter(value) else tensor.dtype.name.lower()
            ledger[kind] = ledger.get(kind, 0) + tensor.nbytes
    ledger[GRAPH] = max(model_bytes(model) - sum(ledger.values()), 0)
    return dict(sorted(ledger.items(), key=lambda entry: -entry[1]))


def _is_parameter(value: ir.Value) -> bool:
    uses = value.uses()
    return bool(uses) and all(use.idx in PARAMETERS.get(use.node.op_type, ()) for use in uses)
