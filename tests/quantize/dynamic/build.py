"""What the tests of dynamic quantization share."""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.graph.edit import working_copy
from edgebig.graph.opset import opset_version
from edgebig.graph.shapes import infer_shapes
from edgebig.quantize.change import Change
from edgebig.quantize.dynamic import candidates, write_dynamic
from edgebig.quantize.formats.qdq import WeightRule
from edgebig.quantize.unit import Facts
from edgebig.targets import targets

# Safe on every processor, so that the tests' results do not depend on the machine.
SAFE = WeightRule(8, pair_sums=True)


def reasons(model: ir.Model, target: str = "ort-cpu") -> tuple[ir.Model, dict[ir.Node, str]]:
    """A copy to change, and what of it can be quantized dynamically."""
    copy = working_copy(model)
    infer_shapes(copy)
    facts = Facts(targets.get(target)(), {}, opset_version(copy) or 13)
    return copy, candidates(copy.graph, facts)


def dynamic(model: ir.Model, rule: WeightRule = SAFE) -> tuple[ir.Model, tuple[Change, ...]]:
    """Quantize all that can be."""
    copy, found = reasons(model)
    changes = write_dynamic(copy, [node for node, reason in found.items() if not reason], rule=rule)
    return copy, changes


def quantized_naively(x: NDArray) -> NDArray:
    """DynamicQuantizeLinear and back, as its specification says it, in loops."""
    low, high = min(0.0, float(x.min())), max(0.0, float(x.max()))
    scale = np.float32((high - low) / 255) if high > low else np.float32(1)
    zero = np.clip(np.rint(-low / scale), 0, 255)
    flat = [(np.clip(np.rint(v / scale) + zero, 0, 255) - zero) * scale for v in x.reshape(-1)]
    return np.array(flat, np.float32).reshape(x.shape)
