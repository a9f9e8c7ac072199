"""Pruning whole models: zeros where asked, outputs repaired, refusals with reasons."""

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgebig.errors import EdgebigError, QualityGateError, UsageError
from edgebig.graph.load import load_model
from edgebig.graph.save import save_model
from edgebig.graph.session import Session
from edgebig.graph.weights import weighted_nodes
from edgebig.prune import prune_model
from edgebig.records.prune import PruneOptions
from tests.small_models import conv_net, conv_net_samples


def relative_error(a: ir.Model, b: ir.Model) -> float:
    feed = conv_net_samples(64, seed=9)
    with Session(a, threads=1) as first, Session(b, threads=1) as second:
        x, y = first.run(feed)["logits"], second.run(feed)["logits"]
    return float(np.sqrt(np.square(x - y).sum() / np.square(x).sum()))


@pytest.mark.parametrize("pattern", ["block16x4", "unstructured"])
@pytest.mark.parametrize("scope", ["global", "layer"])
def test_zeros_are_as_many_as_asked_and_in_the_pattern(pattern: str, scope: str, tmp_path: Path) -> None:
    model = conv_net()
    options = PruneOptions(pattern=pattern, sparsity=0.5, scope=scope, threads=1)
    pruned, record = prune_model(model, data=conv_net_samples(), options=options)
    path = tmp_path / "pruned.onnx"
    save_model(pruned, path)
    onnx.checker.check_model(str(path))
    assert "first" in record.layers[0].reason
    assert "last" in record.layers[3].reason
    inner = {layer.name: layer for layer in record.layers[1:3]}
    zeros = total = 0
    for layer in weighted_nodes(load_model(path).graph):
        matrix = layer.to_matrix(layer.array())
        if layer.name not in inner:
            assert (matrix != 0).all()
            continue
        zeros, total = zeros + int((matrix == 0).sum()), total + matrix.size
        assert inner[layer.name].zeros == (matrix == 0).sum()
        assert (matrix != 0).any(axis=1).all(), "an output lost all its inputs"
        if pattern == "block16x4":
            blocks = (matrix == 0).reshape(len(matrix) // 16, 16, -1, 4)
            assert (blocks.all(axis=(1, 3)) == blocks.any(axis=(1, 3))).all()
    # one block of 64 weights in each of the two layers, at most
    assert abs(zeros / total - 0.5) <= 128 / total
    assert record.sparsity == pytest.approx(zeros / total)


def test_fitting_repairs_what_the_zeros_break() -> None:
    model = conv_net()
    errors = {}
    for compensate in (False, True):
        options = PruneOptions(sparsity=0.4, compensate=compensate, threads=1)
        errors[compensate] = relative_error(model, prune_model(model, data=conv_net_samples(256), options=options)[0])
    assert errors[True] < 0.7 * errors[False]


def test_the_input_model_stays_as_it_was() -> None:
    model = conv_net()
    before = {name: value.const_value.numpy().copy() for name, value in model.graph.initializers.items()}
    prune_model(model, data=conv_net_samples(), options=PruneOptions(sparsity=0.5, threads=1))
    for name, value in model.graph.initializers.items():
        assert (value.const_value.numpy() == before[name]).all()


def test_the_same_seed_gives_the_same_weights() -> None:
    options = PruneOptions(sparsity=0.5, threads=1)
    one, two = (prune_model(conv_net(), data=conv_net_samples(), options=options)[0] for _ in range(2))
    for name, value in one.graph.initializers.items():
        assert (value.const_value.numpy() == two.graph.initializers[name].const_value.numpy()).all()


def test_a_loss_budget_is_kept_on_held_out_samples() -> None:
    options = PruneOptions(max_loss=0.1, threads=1)
    _, record = prune_model(conv_net(), data=conv_net_samples(256), options=options)
    assert record.loss is not None
    assert record.loss <= 0.1
    assert 0 < record.sparsity < 1
    assert record.sparsity == max(trial.reached for trial in record.trials if trial.passed)


def test_a_budget_that_cannot_be_met_is_a_missed_gate() -> None:
    with pytest.raises(QualityGateError) as error:
        prune_model(
            conv_net(), data=conv_net_samples(), options=PruneOptions(max_loss=0.0, loss="relative-error", threads=1)
        )
    assert error.value.exit_code == 3


@pytest.mark.parametrize("name", ["*", "conv_net_has_no_such_layer"])
def test_excluding_everything_or_nothing_is_an_error(name: str) -> None:
    with pytest.raises(EdgebigError, match=r"exclude|layer"):
        prune_model(conv_net(), data=conv_net_samples(), options=PruneOptions(sparsity=0.5, exclude=(name,)))


def test_depthwise_and_grouped_convolutions_say_why_they_stay() -> None:
    text = """
    <ir_version: 10, opset_import: ["" : 18]>
    net (float[n, 32, 6, 6] x, float[32, 32, 1, 1] w0, float[32, 1, 3, 3] w1, float[32, 4, 1, 1] w2,
         float[32, 32, 1, 1] w3, float[8, 32, 1, 1] w4) => (float[n, 8, 4, 4] y) {
        a = Conv (x, w0)
        b = Conv <group = 32> (a, w1)
        c = Conv <group = 8> (b, w2)
        d = Conv (c, w3)
        y = Conv (d, w4)
    }
    """
    model = ir.from_onnx_text(text)
    rng = np.random.default_rng(0)
    for value in model.graph.inputs[1:]:
        shape = tuple(int(size) for size in value.shape or ())
        value.const_value = ir.tensor(rng.normal(size=shape).astype(np.float32), name=value.name)
        model.graph.register_initializer(value)
    del model.graph.inputs[1:]
    data = {"x": rng.normal(size=(64, 32, 6, 6)).astype(np.float32)}
    _, record = prune_model(model, data=data, options=PruneOptions(sparsity=0.5, threads=1))
    reasons = [layer.reason for layer in record.layers]
    assert "depthwise" in reasons[1]
    assert "grouped" in reasons[2]
    assert reasons[3] == ""
    assert record.layers[3].sparsity == pytest.approx(0.5, abs=0.07)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "how much to prune"),
        ({"sparsity": 1.0}, "sparsity is 1.0"),
        ({"sparsity": 0.5, "max_loss": -1.0}, "max_loss is -1.0"),
        ({"sparsity": 0.5, "scope": "net"}, "global, layer"),
    ],
)
def test_options_out_of_range(fields: dict, words: str) -> None:
    with pytest.raises(UsageError) as error:
        PruneOptions(**fields)
    assert words in str(error.value)
