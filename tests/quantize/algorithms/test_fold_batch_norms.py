"""Batch norms before quantization: folded both ways, and left with a reason where that would not be exact."""

import numpy as np
import onnx_ir as ir
import pytest

from edgebig.graph.edit import working_copy
from edgebig.graph.shapes import infer_shapes
from edgebig.quantize.algorithms.fold_batch_norms import fold_batch_norms
from tests.quantize.build import build, count, normal, run

NORM = "BatchNormalization<epsilon = 0.001>"


def net(text: str) -> ir.Model:
    arrays = {"v": normal(6, 4, 3, 3), "u": normal(5, 6, 3, 3, seed=1, scale=0.2)}
    for index, channels in enumerate((6, 5)):
        arrays |= {
            f"s{index}": 1 + normal(channels, seed=2 + index, scale=0.5),
            f"t{index}": normal(channels, seed=4 + index),
            f"m{index}": normal(channels, seed=6 + index),
            f"d{index}": np.abs(normal(channels, seed=8 + index)) + np.float32(0.1),
        }
    used = {name: array for name, array in arrays.items() if name in text.replace(",", " ").replace(")", " ").split()}
    used |= {name: arrays[name] for name in ("v", "u")}
    model = working_copy(build(text, **used))
    infer_shapes(model)
    return model


@pytest.mark.parametrize(
    ("pads", "left", "where"),
    [
        ("", 0, {"1 BatchNormalization into Conv"}),
        ("<pads = [1, 1, 1, 1]>", 1, set()),
    ],
)
def test_behind_an_activation_it_goes_forward_unless_the_next_layer_pads(pads: str, left: int, where: set[str]) -> None:
    model = net(
        f"""g (float[N, 4, 8, 8] x) => (float[N, A, B, C] y) {{
        a = Conv(x, v) r = Relu(a) n = {NORM}(r, s0, t0, m0, d0) y = Conv{pads}(n, u) }}"""
    )
    feed = {"x": normal(3, 4, 8, 8)}
    before = run(model, feed)
    report = fold_batch_norms(model)
    assert set(report.where) == where
    assert count(model, "BatchNormalization") == left
    assert report.kept == (left == 0)
    assert run(model, feed) == pytest.approx(before, abs=1e-4 * float(np.abs(before).max()))
    if left:
        (reason,) = report.skipped
        assert "pads with zeros" in reason
        assert report.reason


def test_a_chain_is_folded_until_nothing_is_left() -> None:
    model = net(
        f"""g (float[N, 4, 8, 8] x) => (float[N, A, B, C] y) {{
        a = Conv(x, v) n = {NORM}(a, s0, t0, m0, d0) r = Relu(n) c = Conv(r, u) y = {NORM}(c, s1, t1, m1, d1) }}"""
    )
    feed = {"x": normal(3, 4, 8, 8)}
    before = run(model, feed)
    report = fold_batch_norms(model)
    assert report.kept
    assert [node.op_type for node in model.graph] == ["Conv", "Relu", "Conv"]
    assert run(model, feed) == pytest.approx(before, abs=1e-4 * float(np.abs(before).max()))
    assert not fold_batch_norms(model).kept
