"""The contract of passes: rounds, observers, failures with the pass' name."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgebig.errors import EdgebigError, InvalidModelError
from edgebig.passes.base import Pass, PassError, PassResult, Skipped, run_passes
from edgebig.passes.fingerprint import count_operators, fingerprint
from edgebig.passes.library import LibraryPass


@pytest.fixture
def model() -> ir.Model:
    text = """<ir_version: 8, opset_import: ["": 18]>
        g (float[2] x) => (float[2] y) { a = Relu(x) b = Relu(a) y = Add(b, w) }"""
    proto = onnx.parser.parse_model(text)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.float32([1, 2]), "w"))
    return ir.from_proto(proto)


class Bypass(Pass):
    """Takes out one Relu per run."""

    def call(self, model: ir.Model) -> PassResult:
        found = [node for node in model.graph if node.op_type == "Relu"]
        if not found:
            return PassResult(model, False)
        if len(found) == 1:
            return PassResult(model, False, skipped=(Skipped("a", "the last one stays"),))
        found[0].outputs[0].replace_all_uses_with(found[0].inputs[0])
        model.graph.remove(found[0], safe=True)
        return PassResult(model, True, {"Relu": 1}, (Skipped("a", "looked right"),))


class Failing(Pass):
    """Fails."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def call(self, model: ir.Model) -> PassResult:
        raise self.error


def test_rounds_go_on_until_nothing_changes(model) -> None:
    seen: list[tuple[str, bool]] = []
    result = run_passes(model, [Bypass()], observe=lambda step, result: seen.append((step.name, result.modified)))
    assert result.modified
    assert result.counts == {"Relu": 1}
    assert seen == [("Bypass", True), ("Bypass", False)]
    assert result.skipped == (Skipped("a", "the last one stays"),)  # those of the last round
    assert not run_passes(model, [Bypass()]).modified


def test_rounds_are_limited(model) -> None:
    assert run_passes(model, [Bypass()], rounds=1).skipped == (Skipped("a", "looked right"),)


def test_a_failure_names_the_pass_and_what_ran_before(model) -> None:
    with pytest.raises(PassError, match="pass Failing failed after Bypass: RuntimeError: broken") as caught:
        run_passes(model, [Bypass(), Failing(RuntimeError("broken"))])
    assert caught.value.step == "Failing"
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert isinstance(caught.value, EdgebigError)


def test_errors_meant_for_the_user_pass_through(model) -> None:
    with pytest.raises(InvalidModelError, match="plain words"):
        run_passes(model, [Failing(InvalidModelError("plain words"))])


def test_fingerprints_see_every_change(model) -> None:
    start = fingerprint(model)
    assert fingerprint(model) == start
    changes = [
        lambda: setattr(model.graph.node(0), "op_type", "Sigmoid"),
        lambda: setattr(model.graph.node(0).outputs[0], "name", "other"),
        lambda: model.graph.node(0).attributes.add(ir.AttrInt64("axis", 1)),
        lambda: setattr(model.graph.initializers["w"], "const_value", ir.tensor(np.float32([3, 4]), name="w")),
        lambda: model.graph.node(2).replace_input_with(0, model.graph.inputs[0]),
        lambda: model.graph.opset_imports.update({"": 17}),
    ]
    prints = [start]
    for change in changes:
        change()
        prints.append(fingerprint(model))
    assert len(set(prints)) == len(prints)


def test_operators_of_branches_and_functions_count() -> None:
    text = """<ir_version: 8, opset_import: ["": 18, "my": 1]> g (float[2] x, bool q) => (float[2] y) {
        a = my.f(x)
        y = If(q) <
            then_branch = t () => (float[2] p) { p = Neg(a) }, else_branch = e () => (float[2] n) { n = Neg(a) }
        > }
        <domain: "my", opset_import: ["": 18]> f (c) => (d) { d = Neg(c) }"""
    assert count_operators(ir.from_proto(onnx.parser.parse_model(text))) == {"f": 1, "If": 1, "Neg": 3}


def test_a_library_pass_is_asked_what_it_did_not_believed(model) -> None:
    def nothing(model: ir.Model) -> object:
        return ir.passes.PassResult(model, modified=True)

    def something(model: ir.Model) -> object:
        return Bypass().call(model) and ir.passes.PassResult(model, modified=False)

    assert LibraryPass("Nothing", [nothing]).call(model) == PassResult(model, False, {})
    result = LibraryPass("Something", [something]).call(model)
    assert (result.modified, result.counts) == (True, {"removed Relu": 1})
    assert LibraryPass("Something", [something]).name == "Something"
