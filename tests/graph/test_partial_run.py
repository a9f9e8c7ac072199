"""Partial runs give what full runs give, and run no more than they must."""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebig.data.samples import Samples, open_samples
from edgebig.errors import InvalidDataError, InvalidModelError
from edgebig.graph.edit import set_array
from edgebig.graph.interface import input_specs
from edgebig.graph.partial_run import PartialRun
from edgebig.graph.session import Session
from tests.quantize.build import build, normal
from tests.small_models import conv_net, conv_net_samples

BRANCHES = """g (float[N, 16] x) => (float[N, 8] y, float[N, 16] early) {
    a = MatMul(x, w0)
    early = Relu(a)
    b = MatMul(early, w1)
    c = Tanh(b)
    d = MatMul(early, w2)
    e = Sigmoid(d)
    f = Mul(c, e)
    r = Add(f, early)
    h = MatMul(r, w3)
    s = Add(h, r)
    y = MatMul(s, w4)
}"""
ATTENTION = """g (float[N, T, 16] x, float[N, T] mask) => (float[N, T, 16] y) {
    zero = Constant<value_float = 1.0>()
    kept = Sub(zero, mask)
    big = Constant<value_float = -10000.0>()
    bias0 = Mul(kept, big)
    axes = Constant<value_ints = [1]>()
    bias = Unsqueeze(bias0, axes)
    q = MatMul(x, wq)
    k = MatMul(x, wk)
    v = MatMul(x, wv)
    kt = Transpose<perm = [0, 2, 1]>(k)
    qk = MatMul(q, kt)
    masked = Add(qk, bias)
    p = Softmax<axis = -1>(masked)
    o = MatMul(p, v)
    z = MatMul(o, wo)
    r = Add(z, x)
    u = MatMul(r, w1)
    g = Relu(u)
    t = MatMul(g, w2)
    y = Add(t, r)
}"""
CONTROL = """g (float[N, 16] x, bool flag) => (float[N, 16] y) {
    a = MatMul(x, w0)
    b = Relu(a)
    c = If(flag) <
        then_branch = then_graph () => (float[N, 16] u) { u0 = MatMul(b, w1) u = Tanh(u0) },
        else_branch = else_graph () => (float[N, 16] v) { v = Add(b, a) }
    >
    d = MatMul(c, w2)
    y = Add(d, b)
}"""


def _matrices(*names: str, rows: int = 16, columns: int = 16) -> dict[str, np.ndarray]:
    return {name: normal(rows, columns, scale=0.3, seed=index) for index, name in enumerate(names)}


def branches() -> tuple[ir.Model, list[dict]]:
    model = build(BRANCHES, **_matrices("w0", "w1", "w2", "w3"), w4=normal(16, 8, seed=9))
    return model, [{"x": normal(rows, 16, seed=rows)} for rows in (3, 5, 1)]


def attention() -> tuple[ir.Model, list[dict]]:
    model = build(ATTENTION, **_matrices("wq", "wk", "wv", "wo"), w1=normal(16, 32, seed=5), w2=normal(32, 16, seed=6))
    feeds = [
        {"x": normal(2, length, 16, seed=length), "mask": (np.arange(length) < 3).astype(np.float32)[None].repeat(2, 0)}
        for length in (4, 7)
    ]
    return model, feeds


def control() -> tuple[ir.Model, list[dict]]:
    model = build(CONTROL, **_matrices("w0", "w1", "w2"))
    return model, [{"x": normal(2, 16, seed=i), "flag": np.array(i % 2 == 0)} for i in range(4)]


def convolutions() -> tuple[ir.Model, list[dict]]:
    return conv_net(), [{"image": conv_net_samples(3, seed)["image"]} for seed in (1, 2)]


MODELS = {
    "branches": (branches, ["w0", "w1", "w2", "w3", "w4"]),
    "attention": (attention, ["wq", "wk", "wv", "wo", "w1", "w2"]),
    "control": (control, ["w0", "w1", "w2"]),
    "convolutions": (convolutions, ["w0", "b1", "w2", "w3"]),
}


def samples_of(model: ir.Model, feeds: list[dict]) -> Samples:
    return open_samples(feeds, input_specs(model))


def with_other_weight(model: ir.Model, name: str, factor: float = 1.25) -> ir.Model:
    changed = model.clone()
    value = changed.graph.initializers[name]
    assert value.const_value is not None
    set_array(value, value.const_value.numpy() * np.float32(factor))
    return changed


def full(model: ir.Model, feeds: list[dict], *, optimize: bool = False) -> list[dict]:
    with Session(model, threads=1, optimize=optimize) as session:
        return [session.run(feed) for feed in feeds]


def assert_same(found: list[dict], expected: list[dict], tolerance: float = 0.0) -> None:
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        assert set(ours) == set(theirs)
        for name, array in theirs.items():
            np.testing.assert_allclose(ours[name], array, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("budget", [0, 1000, 1 << 20])
@pytest.mark.parametrize("name", MODELS)
def test_a_changed_weight_gives_what_a_full_run_gives_bit_by_bit(name: str, budget: int) -> None:
    make, weights = MODELS[name]
    model, feeds = make()
    run = PartialRun(model, samples_of(model, feeds), budget=budget, segments=5, threads=1, optimize=False)
    assert run.kept_bytes <= budget
    assert_same(run.reference, full(model, feeds))
    for weight in weights:
        changed = with_other_weight(model, weight)
        expected = full(changed, feeds)
        assert any((a[key] != b[key]).any() for a, b in zip(expected, run.reference, strict=True) for key in a)
        assert_same([outputs for _, outputs in run.open(changed).outputs()], expected)


@pytest.mark.parametrize("name", MODELS)
def test_with_onnxruntimes_rewriting_within_rounding(name: str) -> None:
    make, weights = MODELS[name]
    model, feeds = make()
    run = PartialRun(model, samples_of(model, feeds), segments=4, threads=1)
    for weight in weights:
        changed = with_other_weight(model, weight)
        found = [outputs for _, outputs in run.open(changed).outputs()]
        assert_same(found, full(changed, feeds, optimize=True), 1e-4)


@settings(max_examples=15, deadline=None)
@given(weights=st.sets(st.sampled_from(["w0", "w1", "w2", "w3", "w4"]), min_size=1), segments=st.integers(1, 12))
def test_any_set_of_changes_and_any_number_of_segments(weights: set[str], segments: int) -> None:
    model, feeds = branches()
    run = PartialRun(model, samples_of(model, feeds), segments=segments, threads=1, optimize=False)
    changed = model
    for weight in sorted(weights):
        changed = with_other_weight(changed, weight, 0.5)
    assert_same([outputs for _, outputs in run.open(changed).outputs()], full(changed, feeds))


def test_a_late_change_runs_the_end_alone() -> None:
    model, feeds = branches()
    run = PartialRun(model, samples_of(model, feeds), segments=5, threads=1)
    assert run.pass_macs == 3 * 16 * (4 * 16 + 8)
    shares = [run.open(with_other_weight(model, weight)).share for weight in ("w0", "w3", "w4")]
    assert shares[0] == 1 and shares[0] >= shares[1] >= shares[2] > 0 and shares[2] <= 0.5


def test_a_change_in_the_middle_becomes_a_session_of_the_middle_alone() -> None:
    model, feeds = branches()
    run = PartialRun(model, samples_of(model, feeds), segments=5, threads=1)
    opened = run.open(with_other_weight(model, "w1"))
    assert opened.span is not None
    start, stop = opened.span
    assert 0 < start < stop < run.segments == 5
    assert opened.bytes <= 2 * 16 * 16 * 4  # of five weights


def test_nothing_changed_runs_nothing() -> None:
    model, feeds = attention()
    run = PartialRun(model, samples_of(model, feeds), threads=1)
    before = run.macs
    same = model.clone()
    for index, node in enumerate(same.graph):  # names decide nothing
        node.name = f"node{index}"
        if not node.outputs[0].is_graph_output():
            node.outputs[0].name = f"value{index}"
    value = same.graph.initializers["w1"]
    set_array(value, np.array(value.const_value.numpy()))  # type: ignore[union-attr]
    opened = run.open(same)
    assert opened.span is None and opened.share == 0
    assert_same([outputs for _, outputs in opened.outputs()], run.reference)
    assert run.macs == before


def test_an_output_before_the_change_is_the_originals() -> None:
    model, feeds = branches()
    run = PartialRun(model, samples_of(model, feeds), segments=5, threads=1)
    for index, outputs in run.open(with_other_weight(model, "w3")).outputs():
        assert outputs["early"] is run.reference[index]["early"]
        assert (outputs["y"] != run.reference[index]["y"]).any()


def _replace(model: ir.Model, op_type: str, make: Callable[[ir.Node], ir.Node]) -> ir.Model:
    changed = model.clone()
    node = next(node for node in changed.graph if node.op_type == op_type)
    new = make(node)
    new.outputs[0].name = f"{node.outputs[0].name}_new"
    changed.graph.insert_before(node, new)
    node.outputs[0].replace_all_uses_with(new.outputs[0])
    changed.graph.remove(node, safe=True)
    return changed


def test_another_operator_in_the_place_of_one() -> None:
    model, feeds = branches()
    run = PartialRun(model, samples_of(model, feeds), segments=5, threads=1, optimize=False)
    changed = _replace(model, "Tanh", lambda node: ir.node("Sigmoid", list(node.inputs)))
    assert_same([outputs for _, outputs in run.open(changed).outputs()], full(changed, feeds))


def test_a_branch_inside_if_is_compared_by_content() -> None:
    model, feeds = control()
    run = PartialRun(model, samples_of(model, feeds), segments=4, threads=1, optimize=False)
    changed = model.clone()
    tanh = next(node for node in changed.graphs() if node.name == "then_graph").node(1)
    assert tanh.op_type == "Tanh"
    tanh.op_type = "Sigmoid"
    found = [outputs for _, outputs in run.open(changed).outputs()]
    assert_same(found, full(changed, feeds))
    assert (found[0]["y"] != run.reference[0]["y"]).any() and (found[1]["y"] == run.reference[1]["y"]).all()


def test_chosen_feeds_only() -> None:
    model, feeds = control()
    run = PartialRun(model, samples_of(model, feeds), threads=1, optimize=False)
    changed = with_other_weight(model, "w2")
    found = dict(run.open(changed).outputs([3, 1]))
    assert sorted(found) == [1, 3]
    expected = full(changed, feeds)
    assert_same([found[1], found[3]], [expected[1], expected[3]])


def test_an_earlier_opset_of_an_operator_is_a_change() -> None:
    model, feeds = branches()
    run = PartialRun(model, samples_of(model, feeds), threads=1)
    older = model.clone()
    older.graph.opset_imports[""] = 13
    assert run.open(older).span is not None


def test_a_model_without_the_originals_output() -> None:
    model, feeds = branches()
    run = PartialRun(model, samples_of(model, feeds), threads=1)
    changed = model.clone()
    changed.graph.outputs[0].name = "other"
    with pytest.raises(
        InvalidModelError, match=r"has no output 'y', which the original has. Its outputs: other, early"
    ):
        run.open(changed)


def test_no_feeds() -> None:
    model, _ = branches()
    with pytest.raises(InvalidDataError, match="no feeds"):
        PartialRun(model, Samples("nothing", 0, (), lambda: iter(())))
