"""Float16 models: the same answers, casts at borders only, and no infinities from masks and epsilons."""

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgebig.errors import InvalidModelError
from edgebig.graph.edit import working_copy
from edgebig.graph.save import save_model
from edgebig.graph.shapes import infer_shapes
from edgebig.graph.skeleton import model_bytes
from edgebig.quantize.half import candidates, convert_to_half
from tests.quantize.build import build, count, normal, run, sqnr_db


def types(model: ir.Model) -> dict[str, ir.DataType]:
    return {value.name: value.dtype for node in model.graph for value in node.outputs}


def back_to_back(model: ir.Model) -> int:
    return sum(
        node.op_type == "Cast" and node.inputs[0].producer() is not None and node.inputs[0].producer().op_type == "Cast"
        for node in ir.traversal.RecursiveGraphIterator(model.graph)
    )


def check(model: ir.Model, result: ir.Model, feed: dict[str, np.ndarray], decibels: float) -> None:
    """The result is a valid model of the same interface with nearly the same answers."""
    onnx.checker.check_model(ir.to_proto(result), full_check=True)
    for before, after in zip(
        (*model.graph.inputs, *model.graph.outputs), (*result.graph.inputs, *result.graph.outputs), strict=True
    ):
        assert (before.name, before.dtype) == (after.name, after.dtype)
    assert back_to_back(result) == 0
    got = run(result, feed)
    assert np.isfinite(got).all()
    assert sqnr_db(run(model, feed), got) > decibels


def test_a_chain_is_cast_once_at_either_end() -> None:
    text = "m (float[n, 64] x) => (float[n, 24] y) { h = MatMul(x, a) r = Relu(h) s = MatMul(r, b) y = Add(s, c) }"
    model = build(text, a=normal(64, 96), b=normal(96, 24, seed=1), c=normal(24, seed=2))
    result, changes = convert_to_half(model)
    assert [node.op_type for node in result.graph] == ["Cast", "MatMul", "Relu", "MatMul", "Add", "Cast"]
    assert all(value.const_value.dtype == ir.DataType.FLOAT16 for value in result.graph.initializers.values())
    assert sum(change.weights for change in changes) == 64 * 96 + 96 * 24 + 24
    first = next(change for change in changes if change.weights == 64 * 96)
    halved = normal(64, 96).astype(np.float16).astype(np.float64)
    exact = np.square(halved - normal(64, 96)).sum() / np.square(normal(64, 96).astype(np.float64)).sum()
    assert first.weight_error == pytest.approx(exact, rel=1e-6)
    assert (first.bytes_before, first.bytes_after) == (4 * 64 * 96, 2 * 64 * 96)
    check(model, result, {"x": normal(5, 64, seed=3)}, 55)


def test_one_cast_serves_all_readers() -> None:
    text = """m (float[n, 64] x) => (float[n, 64] y, float[n, 64] z) {
        a = MatMul(x, w) b = MatMul(x, w) e = Exp(a) s = Sqrt(b) t = Log(e) y = Add(t, s) z = Relu(a) }"""
    model = build(text, w=np.abs(normal(64, 64, scale=0.02)))
    result, _ = convert_to_half(model)
    into = [node for node in result.graph if node.op_type == "Cast" and node.inputs[0].name == "x"]
    assert len(into) == 1
    check(model, result, {"x": np.abs(normal(5, 64, seed=3))}, 50)


MASKED = """m (float[n, 8, 16] q, float[n, 8] mask) => (float[n, 8, 16] y) {
    one = Constant <value = float {1.0}> ()
    low = Constant <value = float {LOW}> ()
    m1 = Sub(one, mask) m2 = Mul(m1, low) axes = Constant <value = int64[1] {1}> () m3 = Unsqueeze(m2, axes)
    k = MatMul(q, w) kt = Transpose <perm = [0, 2, 1]> (k) s = MatMul(q, kt)
    a = Add(s, m3) b = Add(a, m3) p = Softmax <axis = -1> (b) v = MatMul(p, q) y = MatMul(v, w) }"""


@pytest.mark.parametrize("low", ["-1000000000.0", "-1.7e38", "-10000.0"])
def test_attention_masks_come_out_right(low: str) -> None:
    model = build(MASKED.replace("LOW", low), w=normal(16, 16, scale=0.3))
    result, _ = convert_to_half(model)
    mask = np.ones((2, 8), np.float32)
    mask[0, 5:], mask[1] = 0, 0  # half of a row, and all of one
    check(model, result, {"q": normal(2, 8, 16, seed=1), "mask": mask}, 45)
    assert count(result, "MatMul") == 4
    assert all(node.outputs[0].dtype == ir.DataType.FLOAT16 for node in result.graph if node.op_type == "MatMul")


def test_masks_made_in_a_branch() -> None:
    proto = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["": 18]> m (float[n, 8] x, bool c) => (float[n, 8] y) {
        h = MatMul(x, w)
        m = If (c) <then_branch = yes () => (float[1, 8] p) { p = Constant <value = float[1, 8]
                        {-1e9, -1e9, -1e9, -1e9, -1e9, -1e9, -1e9, -1e9}> () },
                    else_branch = no () => (float[1, 8] q) { q = Constant <value = float[1, 8]
                        {0, 0, 0, 0, 0, 0, 0, -1e9}> () }>
        s = Add(h, m) p2 = Softmax(s) y = MatMul(p2, w) }"""
    )
    proto.graph.initializer.append(onnx.numpy_helper.from_array(normal(8, 8), "w"))
    model = ir.from_proto(proto)
    result, _ = convert_to_half(model)
    for flag in (True, False):
        check(model, result, {"x": normal(4, 8, seed=1), "c": np.array(flag)}, 45)


def test_masks_chosen_by_where_and_filled_shapes() -> None:
    text = """m (float[n, 8] x, bool[n, 8] c) => (float[n, 8] y) {
        h = MatMul(x, w) s = Shape(h) f = ConstantOfShape <value = float[1] {-1e9}> (s) t = Where(c, h, f)
        p = Softmax(t) y = MatMul(p, w) }"""
    model = build(text, w=normal(8, 8))
    result, _ = convert_to_half(model)
    chosen = normal(4, 8, seed=2) > 0
    chosen[1] = False
    check(model, result, {"x": normal(4, 8, seed=1), "c": chosen}, 45)


@pytest.mark.parametrize("epsilon", ["1e-12", "1e-6"])
def test_decomposed_normalisation_of_large_and_of_tiny_values(epsilon: str) -> None:
    text = f"""m (float[n, 64] x) => (float[n, 24] y) {{
        two = Constant <value = float {{2.0}}> () eps = Constant <value = float {{{epsilon}}}> ()
        axes = Constant <value = int64[1] {{-1}}> ()
        h = MatMul(x, a) q = Pow(h, two) v = ReduceMean(q, axes) w = Add(v, eps) r = Sqrt(w) d = Div(h, r) e = Mul(d, g)
        y = MatMul(e, b) }}"""
    model = build(text, a=normal(64, 64), b=normal(64, 24, seed=1), g=normal(64, seed=2))
    result, _ = convert_to_half(model)
    for scale in (100.0, 1.0, 1e-3):  # squares of the first leave float16's range, those of the last are nearly 0
        check(model, result, {"x": normal(5, 64, scale=scale, seed=3)}, 40)
    assert types(result)["v"] == ir.DataType.FLOAT
    zeros = {"x": np.zeros((1, 64), np.float32)}
    assert np.array_equal(run(result, zeros), run(model, zeros))


def test_bounds_beyond_the_range_are_cut_to_it() -> None:
    text = """m (float[n, 64] x) => (float[n, 64] y) {
        low = Constant <value = float {0.0}> () high = Constant <value = float {3.0e38}> ()
        h = MatMul(x, w) y = Clip(h, low, high) }"""
    model = build(text, w=normal(64, 64))
    result, _ = convert_to_half(model)
    assert [node.op_type for node in result.graph] == ["Cast", "MatMul", "Clip", "Cast"]
    check(model, result, {"x": normal(5, 64, seed=3)}, 50)


def test_weights_beyond_the_range_keep_their_node_in_float() -> None:
    weight = normal(64, 64)
    weight[0, 0] = 1e6
    model = build("m (float[n, 64] x) => (float[n, 64] y) { h = MatMul(x, b) r = Softmax(h) y = MatMul(r, w) }",
                  w=weight, b=normal(64, 64, seed=1))  # fmt: skip
    copy = working_copy(model)
    infer_shapes(copy)
    assert "65504" in candidates(copy.graph)[copy.graph[2]]
    result, _ = convert_to_half(model)
    check(model, result, {"x": normal(5, 64, seed=3)}, 40)


def test_infinite_constants_stay_infinite() -> None:
    text = """m (float[n, 8] x, bool[n, 8] c) => (float[n, 8] y) {
        h = MatMul(x, w) t = Where(c, h, low) p = Softmax(t) y = MatMul(p, w) }"""
    model = build(text, w=normal(8, 8), low=np.array(-np.inf, np.float32))
    result, _ = convert_to_half(model)
    chosen = np.ones((4, 8), bool)
    chosen[:, 3] = False
    check(model, result, {"x": normal(4, 8, seed=1), "c": chosen}, 45)


def test_angles_keep_their_digits() -> None:
    text = """m (int64[n] i, float[n, 8] x) => (float[n, 8] y) {
        p = Cast <to = 1> (i) axes = Constant <value = int64[1] {1}> () u = Unsqueeze(p, axes) a = Mul(u, f)
        c = Cos(a) h = MatMul(x, w) y = Mul(h, c) }"""
    model = build(text, w=normal(8, 8), f=np.geomspace(1, 0.01, 8, dtype=np.float32))
    result, _ = convert_to_half(model)
    check(model, result, {"i": np.arange(2000, 2016), "x": normal(16, 8)}, 50)


def test_resize_keeps_its_scales_in_float() -> None:
    text = """m (float[1, 8, 6, 6] x) => (float[1, 8, 12, 12] y) {
        h = Conv <pads = [1, 1, 1, 1]> (x, w) y = Resize <mode = "linear"> (h, , s) }"""
    model = build(text, w=normal(8, 8, 3, 3), s=np.array([1, 1, 2, 2], np.float32))
    result, _ = convert_to_half(model)
    assert result.graph.initializers["s"].const_value.dtype == ir.DataType.FLOAT
    check(model, result, {"x": normal(1, 8, 6, 6, seed=1)}, 50)


def test_existing_casts_are_passed_by() -> None:
    text = """m (float[n, 64] x) => (float[n, 24] y) {
        c = Cast <to = 1> (w) h = MatMul(x, c) d = Cast <to = 10> (h) e = Cast <to = 1> (d) y = MatMul(e, b) }"""
    model = build(text, w=normal(64, 64).astype(np.float16), b=normal(64, 24, seed=1))
    result, _ = convert_to_half(model)
    assert [node.op_type for node in result.graph] == ["Cast", "MatMul", "MatMul", "Cast"]
    check(model, result, {"x": normal(5, 64, seed=3)}, 50)


def branches() -> ir.Model:
    """An If whose branches read an outer weight, an outer value and weights of their own."""
    proto = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["": 18]> m (float[n, 64] x, bool c) => (float[n, 24] y) {
        h = MatMul(x, a)
        y = If (c) <then_branch = yes () => (float[n, 24] p) { r = Relu(h) p = MatMul(r, b) },
                    else_branch = no () => (float[n, 24] q) { q = MatMul(h, own) }> }"""
    )
    proto.graph.initializer.extend(
        [onnx.numpy_helper.from_array(normal(64, 64), "a"), onnx.numpy_helper.from_array(normal(64, 24, seed=1), "b")]
    )
    other = next(attribute for attribute in proto.graph.node[1].attribute if attribute.name == "else_branch").g
    other.initializer.append(onnx.numpy_helper.from_array(normal(64, 24, seed=2), "own"))
    return ir.from_proto(proto)


@pytest.mark.parametrize("flag", [True, False])
def test_branches_of_an_if(flag: bool) -> None:
    model = branches()
    result, changes = convert_to_half(model)
    assert sum(change.weights for change in changes) == 64 * 64 + 2 * 64 * 24
    assert model_bytes(result) < 0.6 * model_bytes(model)
    check(model, result, {"x": normal(5, 64, seed=3), "c": np.array(flag)}, 50)


def test_loops_keep_their_carried_values() -> None:
    proto = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["": 18]> m (float[n, 8] x, int64 k) => (float[n, 8] y) {
        go = Constant <value = bool {1}> ()
        y = Loop (k, go, x) <body = b (int64 i, bool on, float[n, 8] s) => (bool off, float[n, 8] t) {
            off = Identity(on) u = MatMul(s, w) t = Tanh(u) }> }"""
    )
    proto.graph.initializer.append(onnx.numpy_helper.from_array(normal(8, 8), "w"))
    model = ir.from_proto(proto)
    result, _ = convert_to_half(model)
    check(model, result, {"x": normal(5, 8, seed=3), "k": np.array(3)}, 45)


def test_a_saved_file_runs_and_is_half_as_large(tmp_path: Path) -> None:
    text = "m (int64[n] i) => (float[n, 64] y) { e = Gather(t, i) y = MatMul(e, w) }"
    model = build(text, t=normal(5000, 64), w=normal(64, 64, seed=1))
    result, _ = convert_to_half(model)
    (path, *_) = save_model(result, tmp_path / "half.onnx")
    assert path.stat().st_size < 0.51 * model_bytes(model)
    check(model, result, {"i": np.array([0, 4999, 17])}, 55)


def test_nothing_to_convert_is_said() -> None:
    with pytest.raises(InvalidModelError, match="Exp"):
        convert_to_half(build("m (float[n] x) => (float[n] y) { y = Exp(x) }"))
    model = build("m (float[n, 64] x) => (float[n, 64] y) { y = MatMul(x, w) }", w=normal(64, 64))
    model.graph[0].name = "product"
    with pytest.raises(InvalidModelError, match="float16"):
        convert_to_half(model, exclude=("product",))
