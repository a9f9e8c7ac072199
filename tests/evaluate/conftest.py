"""Models from ONNX text, and seeded random numbers."""

from collections.abc import Callable

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from edgebig.graph.edit import working_copy
from edgebig.graph.shapes import infer_shapes


@pytest.fixture
def build() -> Callable[..., ir.Model]:
    """`build(graph_text, opset=18, ir_version=8, **initializers)`: a model; shapes inferred, constants lifted."""

    def make(text: str, *, opset: int = 18, ir_version: int = 8, domains: str = "", **arrays: NDArray) -> ir.Model:
        proto = onnx.parser.parse_model(f'<ir_version: {ir_version}, opset_import: ["": {opset}{domains}]>\n{text}')
        for name, array in arrays.items():
            proto.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array), name))
        model = working_copy(ir.from_proto(proto))
        assert infer_shapes(model) is None
        return model

    return make


@pytest.fixture
def rng() -> np.random.Generator:
    """Seeded random numbers."""
    return np.random.default_rng(0)
