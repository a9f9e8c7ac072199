"""The library's passes under our contract: honest about changes, quiet, and free of the rules that are wrong."""

import logging

import numpy as np
import onnx_ir as ir
import pytest

from edgebig.optimize.freeze_inputs import FreezeInputs
from edgebig.optimize.library_passes import (
    ClearNotes,
    SimplifyShapes,
    fix_names,
    fuse_clips,
    inline_functions,
    lift_constants,
    merge_equal_nodes,
    remove_unused,
)
from edgebig.optimize.raise_opset import RaiseOpset
from edgebig.passes.base import run_passes
from edgebig.passes.library import LibraryPass
from edgebig.passes.merge_initializers import MergeInitializers


def feed(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {"x": rng.standard_normal((2, 4)).astype(np.float32)}


HEAD = "g (float[2, 4] x) => (float[2, 4] y)"


def test_equal_nodes_and_initializers_merge(build, apply, ops, rng) -> None:
    model = build(
        f"{HEAD} {{ a = Mul(x, k) b = Mul(x, j) y = Add(a, b) }}",
        k=np.arange(4.0, dtype=np.float32),
        j=np.arange(4.0, dtype=np.float32),
    )
    result = apply(MergeInitializers(), model, feed(rng), tolerance=0)
    assert result.counts == {"initializers": 1}
    result = apply(merge_equal_nodes(), model, feed(rng), tolerance=0)
    assert ops(model) == ["Mul", "Add"]
    assert result.counts == {"removed Mul": 1}


def test_which_initializers_merge(build, ops) -> None:
    """Strings, pieces of other arrays and NaN merge by content; other dtypes, inputs and outputs stay apart."""
    model = build(
        f"{HEAD.replace(') =>', ', float[2] d) =>').replace(' y)', ' y, float[2] o)')} {{ y = Relu(x) }}",
        **{name: np.float32([1, 2]) for name in ("a", "b", "d", "o")},
        i=np.int32([1, 2]),
        n=np.float32([[np.nan]]),
        m=np.float32([[np.nan]]),
    )
    graph = model.graph
    for name in ("s", "t"):
        graph.register_initializer(
            ir.Value(name=name, const_value=ir.StringTensor(np.array([b"one", b"two"]), name=name))
        )
    strided = np.arange(6, dtype=np.float32).reshape(2, 3).T
    for name, array in {"u": strided, "v": np.ascontiguousarray(strided)}.items():
        graph.register_initializer(ir.Value(name=name, const_value=ir.Tensor(array, name=name)))
    assert MergeInitializers().call(model).counts == {"initializers": 4}
    assert set(graph.initializers) == {"a", "d", "o", "i", "n", "s", "u"}
    assert not MergeInitializers().call(model).modified


def test_unused_things_go(build, apply, ops, rng) -> None:
    model = build(f"{HEAD} {{ a = Mul(x, k) y = Relu(x) }}", k=np.ones(4, np.float32), j=np.ones(4, np.float32))
    apply(remove_unused(), model, feed(rng), tolerance=0)
    assert ops(model) == ["Relu"]
    assert not model.graph.initializers


def test_unused_initializers_of_branches_go(build) -> None:
    text = """g (float[2, 4] x, bool q) => (float[2, 4] y) { y = If(q) <
        then_branch = t () => (float[2, 4] p) { k = Constant<value_floats = [1.0]>() p = Neg(x) },
        else_branch = e () => (float[2, 4] n) { j = Constant<value_floats = [2.0]>() n = Add(x, j) } > }"""
    model = build(text)
    assert sum(len(graph.initializers) for graph in model.graphs()) == 2
    assert remove_unused().call(model).modified
    assert [list(graph.initializers) for graph in model.graphs() if graph.initializers] == [["j"]]


def test_relu6_written_as_min_and_max_becomes_clip(build, apply, ops, rng) -> None:
    model = build(f"{HEAD} {{ a = Max(x, lo) b = Min(a, hi) y = Relu(b) }}", lo=np.float32(0), hi=np.float32(6))
    run_passes(model, [fuse_clips()])
    assert ops(model) == ["Clip"]


def test_two_clips_of_one_value_stay_apart(build, apply, rng) -> None:
    """Both fused clips would name their bound alike."""
    text = """g (float[2, 4] x) => (float[2, 4] y, float[2, 4] z) {
        r = Relu(x) y = Clip(r, none, a) s = Relu(x) z = Clip(s, none, b) }"""
    model = build(text.replace("none", ""), a=np.float32(1), b=np.float32(0.5))
    apply(fuse_clips(), model, feed(rng), tolerance=0)


@pytest.mark.parametrize("opset", [13, 18])
def test_shapes_simplify_within_the_operator_set(build, apply, ops, rng, opset: int) -> None:
    """Attributes of later operator sets (Split's num_outputs, Reshape's allowzero) would make the file invalid."""
    text = """g (float[2, 4] x) => (float[2, 4] y) {
        t = Transpose<perm = [1, 0]>(x) u = Transpose<perm = [1, 0]>(t)
        a = Slice(u, zero, two, one) b = Slice(u, two, four, one) c = Concat<axis = 1>(b, a)
        r = Reshape(c, flat) s = Shape(x) y = Reshape(r, s) }"""
    bounds = {
        "zero": np.array([0]),
        "one": np.array([1]),
        "two": np.array([2]),
        "four": np.array([4]),
        "flat": np.array([-1]),
    }
    model = build(text, opset=opset, **bounds)
    apply(SimplifyShapes(), model, feed(rng), tolerance=0)
    assert "Transpose" not in ops(model)
    assert "Split" not in ops(model)


def test_functions_are_inlined(build, apply, ops, rng) -> None:
    text = f"""{HEAD} {{ y = my.twice(x) }}
        <domain: "my", opset_import: ["": 18]> twice (a) => (b) {{ b = Add(a, a) }}"""
    model = build(text, domains=', "my": 1')
    apply(inline_functions(), model, feed(rng), tolerance=0)
    assert ops(model) == ["Add"]
    assert not model.functions


def test_constant_nodes_become_initializers(build, apply, ops, rng) -> None:
    model = build(f"{HEAD} {{ y = Relu(x) }}")
    from onnx_ir import AttrFloat32s, Value, node  # a Constant added after the lift that `build` does

    constant = node("Constant", [], attributes={"value_floats": AttrFloat32s("value_floats", [1.0, 2.0, 3.0, 4.0])})
    add = node("Add", [model.graph.inputs[0], constant.outputs[0]])
    constant.outputs[0].name, add.outputs[0].name = "c", "sum"
    model.graph.insert_before(model.graph.node(0), [constant, add])
    relu = model.graph.node(2)
    assert isinstance(relu.inputs[0], Value)
    relu.replace_input_with(0, add.outputs[0])
    apply(lift_constants(), model, feed(rng), tolerance=0)
    assert ops(model) == ["Add", "Relu"]
    np.testing.assert_array_equal(model.graph.initializers["c"].const_value.numpy(), [1, 2, 3, 4])


def test_notes_go_and_the_models_own_metadata_stays(build, apply, rng) -> None:
    model = build(f"{HEAD} {{ y = Relu(x) }}")
    model.graph.node(0).metadata_props["pkg.torch.onnx.stack_trace"] = "File /home/someone/model.py"
    model.metadata_props["author"] = "someone"
    assert ClearNotes().call(model).counts == {"notes of nodes": 1}
    assert not ClearNotes().call(model).modified
    assert not model.graph.node(0).metadata_props
    assert model.metadata_props == {"author": "someone"}


def test_names_become_unique_and_inputs_keep_theirs(build) -> None:
    model = build(f"{HEAD} {{ a = Relu(x) y = Neg(a) }}")
    model.graph.node(0).outputs[0].name = "y"
    model.graph.node(0).name = model.graph.node(1).name = "same"
    assert fix_names().call(model).modified
    assert not fix_names().call(model).modified
    assert model.graph.node(0).outputs[0].name != "y"
    assert len({node.name for node in model.graph}) == 2
    assert (model.graph.inputs[0].name, model.graph.outputs[0].name) == ("x", "y")


def test_the_libraries_do_not_talk(build, caplog) -> None:
    model = build(f"{HEAD} {{ a = Mul(x, k) b = Div(k, z) c = Add(a, b) y = Neg(c) }}", k=np.ones(4), z=np.array(["0"]))

    def noisy(_: object) -> None:
        logging.getLogger("onnx_ir.passes").warning("look at me")

    with caplog.at_level(logging.WARNING):
        LibraryPass("Noisy", [noisy]).call(model)
        assert not caplog.records
        noisy(None)
        assert len(caplog.records) == 1


def test_opset_is_raised_and_weights_stay_untouched(build, apply, ops, rng) -> None:
    text = """g (float[2, 4] x) => (float[2, 8] y) {
        u = Unsqueeze<axes = [0]>(x) s = Squeeze<axes = [0]>(u) y = MatMul(s, w) }"""
    weights = rng.standard_normal((4, 8)).astype(np.float32)
    model = build(text, opset=11, ir_version=6, w=weights)
    result = apply(RaiseOpset(13), model, feed(rng), tolerance=0)
    assert result.counts == {"opset 11 to 13": 1}
    assert model.opset_imports[""] == 13
    assert model.ir_version >= 7
    assert not RaiseOpset(13).call(model).modified
    np.testing.assert_array_equal(model.graph.initializers["w"].const_value.numpy(), weights)


def test_inputs_with_defaults(build, ops) -> None:
    text = "g (float[2, 4] x, float[4] k) => (float[2, 4] y) { y = Add(x, k) }"
    model = build(text, k=np.ones(4, np.float32))
    result = FreezeInputs().call(model)
    assert not result.modified
    assert "a caller may override" in result.skipped[0].reason
    assert FreezeInputs(always=True).call(model).counts == {"inputs frozen": 1}
    assert [value.name for value in model.graph.inputs] == ["x"]
    old = build(text, ir_version=3, k=np.ones(4, np.float32))
    assert FreezeInputs().call(old).modified
    assert old.ir_version == 4
