"""What pruning sees of a graph: layers, their order, biases and targets, and why some are left alone."""

import numpy as np
import onnx_ir as ir
import pytest

from edgebig.errors import InvalidModelError, UsageError
from edgebig.prune import prune_model
from edgebig.prune.eligibility import check_not_quantized, reasons_to_skip
from edgebig.prune.layers import find_layers, layers_in_subgraphs
from edgebig.prune.patterns import patterns
from edgebig.records.prune import PruneOptions
from tests.prune.graphs import ENCODER, RESIDUAL, build, images


def reasons(model: ir.Model, pattern: str = "block16x4", ends: bool = False, exclude: tuple[str, ...] = ()) -> dict:
    layers = find_layers(model)
    found = reasons_to_skip(layers, patterns.get(pattern), include_ends=ends, exclude=exclude)
    return {layer.weighted.weight.name: found.get(layer.index, "") for layer in layers}


def test_residual_network() -> None:
    layers = {layer.weighted.weight.name: layer for layer in find_layers(build(RESIDUAL))}
    assert [layer.level for layer in layers.values()] == [0, 1, 2, 1, 3]
    assert [layer.first for layer in layers.values()] == [True, False, False, False, False]
    assert [layer.last for layer in layers.values()] == [False, False, False, False, True]
    # Of the two that go into the sum, the one fitted last looks at it.
    assert (layers["w3"].sites[0].total, layers["w3"].sites[0].other) == ("g", "f")
    assert layers["w2"].sites[0].total is None
    bits = {name: 1 << layer.index for name, layer in layers.items()}
    assert layers["w3"].above == bits["w0"] | bits["w1"] | bits["w2"]
    assert layers["w4"].above == sum(bits.values()) - bits["w4"]
    assert layers["w1"].shape == (32, 144)


def test_encoder() -> None:
    layers = {layer.weighted.weight.name: layer.sites[0] for layer in find_layers(build(ENCODER))}
    assert list(layers) == ["wq", "wu", "wd", "wl", "wo"], "the table is read by Gather and is no layer"
    query, up, down, plain = layers["wq"], layers["wu"], layers["wd"], layers["wl"]
    assert (query.own, query.total, query.other) == ("q", "r", "x")
    assert query.bias is not None
    assert (query.bias.node, query.bias.index) == ("q", 0)
    assert up.bias is not None
    assert (up.own, up.bias.index, up.total) == ("u", 1, None)
    assert (down.own, down.total, down.other) == ("d", "s", "r")
    assert (plain.own, plain.bias, plain.total) == ("t", None, None)


def test_reasons() -> None:
    model = build(RESIDUAL)
    found = reasons(model)
    assert "first layer" in found["w0"]
    assert "last layer" in found["w4"]
    assert found["w1"] == found["w2"] == found["w3"] == ""
    assert set(reasons(model, ends=True).values()) == {""}
    assert reasons(model, exclude=("w[12]",))["w1"] == "excluded by name"
    with pytest.raises(UsageError, match=r"no layer or weight is called 'w9'. Near to it: "):
        reasons(model, exclude=("w9",))


@pytest.mark.parametrize(
    ("body", "weight", "words"),
    [
        ("float[2, 16, 16] w) => (float[2, n, 16] y) { y = MatMul (x, w) }", "w", "stack of matrices"),
        ("float[16, 16] w, float[n, 16] c) => (float[n, 16] y) { y = Gemm (x, w, c) }", "w", "bias is computed"),
        ("float[16, 16] w) => (y) { z = MatMul (x, w) y = MatMul (w, z) }", "w", "read it in different ways"),
        ("float[16, 16] w) => (y, z) { y = MatMul (x, w) z = Relu (w) }", "w", "also read by Relu"),
    ],
)
def test_weights_that_cannot_change(body: str, weight: str, words: str) -> None:
    kind = "float[16, 16]" if "MatMul (w, z)" in body else "float[n, 16]"
    model = ir.from_onnx_text(f'<ir_version: 10, opset_import: ["" : 18]> net ({kind} x, {body}')
    for value in [value for value in model.graph.inputs if value.name == weight]:
        model.graph.inputs.remove(value)
        shape = tuple(int(size) for size in value.shape or ())
        value.const_value = ir.tensor(np.ones(shape, np.float32), name=weight)
        model.graph.register_initializer(value)
    assert words in reasons(model, ends=True)[weight]


def test_a_weight_that_is_an_output_stays() -> None:
    model = build(RESIDUAL)
    model.graph.outputs.append(model.graph.initializers["w1"])
    assert reasons(model)["w1"] == "its weight is also an output"


def test_a_narrow_layer_has_one_block() -> None:
    text = "net (float[n, 4] x, float[4, 16] w) => (float[n, 16] y) { y = MatMul (x, w) }"
    assert "one block" in reasons(build(text), ends=True)["w"]
    assert reasons(build(text), "unstructured", ends=True)["w"] == ""


def test_models_without_anything_to_prune() -> None:
    plain = ir.from_onnx_text(
        '<ir_version: 10, opset_import: ["" : 18]> n (float[n, 4] x) => (float[n, 4] y) { y = Relu (x) }'
    )
    options = PruneOptions(sparsity=0.5, threads=1)
    with pytest.raises(InvalidModelError, match="no Conv, ConvTranspose, Gemm or MatMul"):
        prune_model(plain, data={"x": np.ones((4, 4), np.float32)}, options=options)
    overridable = build(RESIDUAL)
    overridable.graph.inputs.extend(overridable.graph.initializers.values())
    with pytest.raises(InvalidModelError, match="optimize --freeze-inputs"):
        prune_model(overridable, data=images(), options=options)
    ends = build("net (float[n, 8] x, float[8, 16] w) => (float[n, 16] y) { y = MatMul (x, w) }")
    with pytest.raises(InvalidModelError, match=r"None of its 1 layers .* the first layer \(--include-ends"):
        prune_model(ends, data={"x": np.ones((4, 8), np.float32)}, options=options)


def test_quantized_models_are_refused() -> None:
    model = build(
        "net (float[n, 8] x, float[1] s) => (float[n, 8] y) { q = QuantizeLinear (x, s) y = DequantizeLinear (q, s) }"
    )
    with pytest.raises(InvalidModelError, match=r"QuantizeLinear.*Prune the float model"):
        check_not_quantized(model)


def test_weights_inside_bodies_are_counted() -> None:
    model = ir.from_onnx_text(
        """
        <ir_version: 10, opset_import: ["" : 18]>
        net (bool c, float[n, 8] x) => (y)
        <float[8, 2] w = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}> {
            y = If (c) <
                then_branch = yes () => (a) { a = MatMul (x, w) },
                else_branch = no () => (b) { b = MatMul (x, w) }
            >
        }
        """
    )
    assert len(list(layers_in_subgraphs(model))) == 2
    assert find_layers(model) == ()


def test_samples_of_the_graphs_are_seeded() -> None:
    assert (images(4)["x"] == images(4)["x"]).all()
