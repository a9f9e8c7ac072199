"""Models from ONNX text, and the comparison of two of them."""

from collections.abc import Callable, Mapping

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from edgebig.graph.edit import working_copy
from edgebig.graph.session import Session
from edgebig.graph.shapes import infer_shapes
from edgebig.passes.base import Pass, PassResult

Build = Callable[..., ir.Model]


@pytest.fixture
def build() -> Build:
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
def apply() -> Callable[..., PassResult]:
    """`apply(pass, model, feed, tolerance=1e-5)`: run the pass; outputs must stay, and a second run change nothing."""

    def run(step: Pass, model: ir.Model, feed: Mapping[str, NDArray], tolerance: float = 1e-5) -> PassResult:
        before = Session(model, optimize=False).run(feed)
        result = step.call(model)
        assert result.model is model
        after = Session(model, optimize=False).run(feed)
        for name, expected in before.items():
            assert after[name].dtype == expected.dtype
            scale = max(float(np.abs(expected.astype(np.float64)).max()), 1e-30)
            error = float(np.abs(after[name].astype(np.float64) - expected.astype(np.float64)).max()) / scale
            assert error <= tolerance, f"{name}: {error}"
        again = step.call(model)
        assert not again.modified
        assert again.skipped == result.skipped or result.modified
        return result

    return run


@pytest.fixture
def ops() -> Callable[[ir.Model], list[str]]:
    """`ops(model)`: the operators of the top-level graph, in order."""
    return lambda model: [node.op_type for node in model.graph]


@pytest.fixture
def rng() -> np.random.Generator:
    """Seeded random numbers."""
    return np.random.default_rng(0)
