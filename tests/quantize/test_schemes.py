"""Every scheme through `quantize_model`, and the choice among them."""

from dataclasses import replace

import numpy as np
import onnx_ir as ir
import pytest

from edgebig.data.feeds import Feed
from edgebig.errors import InvalidModelError, QualityGateError, UsageError
from edgebig.quantize import quantize_model
from edgebig.records.quantize import QuantizeOptions
from tests.quantize.build import build, normal, run, sqnr_db
from tests.small_models import conv_net, conv_net_samples

# Embedding, two products, LayerNormalization between them; wide enough that integers pay.
TEXT = """g (int64[N, T] ids) => (float[N, T, 64] y) {
    e = Gather(table, ids) a = MatMul(e, w1) r = Relu(a) b = MatMul(r, w2) s = Add(e, b)
    y = LayerNormalization<axis = -1>(s, g1, g2) }"""


def text_model(seed: int = 0) -> ir.Model:
    ones, zeros = np.ones(64, np.float32), np.zeros(64, np.float32)
    return build(
        TEXT, table=normal(400, 64, seed=seed), w1=normal(64, 256) / 8, w2=normal(256, 64) / 16, g1=ones, g2=zeros
    )


def ids(count: int = 32, length: int = 16) -> Feed:
    return {"ids": np.random.default_rng(1).integers(0, 400, (count, length))}


@pytest.mark.parametrize(
    ("scheme", "least_db", "smaller"),
    [("int8-dynamic", 30, 0.8), ("int8-weight", 38, 0.35), ("int4-weight", 15, 0.32), ("fp16", 55, 0.55)],
)
def test_schemes_that_need_no_samples(scheme: str, least_db: float, smaller: float) -> None:
    model, feed = text_model(), ids()
    result, record = quantize_model(model, options=QuantizeOptions(scheme=scheme, threads=1))
    assert sqnr_db(run(model, feed), run(result, feed)) > least_db
    assert record.bytes_after < smaller * record.bytes_before
    assert record.loss is None and record.held_out == 0
    assert any("loss was not measured" in note for note in record.notes)
    assert {row.op_type for row in record.nodes if row.quantized} >= {"MatMul"}


def test_static_without_samples_is_refused() -> None:
    with pytest.raises(UsageError, match="needs samples"):
        quantize_model(conv_net(), options=QuantizeOptions(scheme="int8"))


def test_nothing_to_do_is_said() -> None:
    model = build("g (float[N, 4] x) => (float[N, 4] y) { y = Softmax(x) }")
    for scheme in ("int8-dynamic", "int8-weight", "auto"):
        with pytest.raises(InvalidModelError, match="quantize"):
            quantize_model(model, options=QuantizeOptions(scheme=scheme))


def test_auto_tries_mixtures_and_takes_one_that_covers_the_weights() -> None:
    model, feed = text_model(), ids(64)
    result, record = quantize_model(model, data=feed, options=QuantizeOptions(threads=1, effort="fast"))
    assert len(record.trials) >= 2
    assert [trial.chosen for trial in record.trials].count(True) == 1
    chosen = next(trial for trial in record.trials if trial.chosen)
    assert record.scheme == chosen.scheme
    assert all(trial.speedup is not None and trial.sqnr_db is not None for trial in record.trials)
    assert record.weight_share > 0.95  # the embedding too
    assert sqnr_db(run(model, feed), run(result, feed)) > 25
    assert record.bytes_after < 0.4 * record.bytes_before


def test_auto_without_samples_measures_nothing() -> None:
    _, record = quantize_model(text_model(), options=QuantizeOptions(threads=1))
    assert record.trials == () and record.weight_share > 0.9


@pytest.mark.slow
def test_default_effort_is_no_worse_than_fast() -> None:
    model, data = conv_net(), conv_net_samples(256)
    losses = []
    for effort in ("fast", "default"):
        options = QuantizeOptions(threads=1, scheme="int8", effort=effort)
        result, record = quantize_model(model, data=data, options=options)
        losses.append(-sqnr_db(run(model, data), run(result, data)))
    assert losses[1] < losses[0] + 0.5
    assert {report.algorithm for report in record.algorithms} >= {"weight-mse", "bias-correction", "gptq"}
    assert all(report.kept == (report.reason == "") for report in record.algorithms)


def ruined_by_one_layer() -> ir.Model:
    """Every output of the second product has a weight so large that its others round to zero; it multiplies zeros."""
    w1, w2 = normal(32, 32), normal(32, 32)
    w1[:, 0], w2[0] = 0.0, 3e4
    text = "g (float[N, 32] x) => (float[N, 1] y) { a = MatMul(x, w1) b = Relu(a) c = MatMul(b, w2) y = MatMul(c, w3) }"
    return build(text, w1=w1, w2=w2, w3=normal(32, 1))


def test_a_budget_keeps_what_it_must_in_float() -> None:
    model, data = ruined_by_one_layer(), {"x": normal(128, 32)}
    options = QuantizeOptions(threads=1, scheme="int8", effort="fast", weight_bits="8")
    _, before = quantize_model(model, data=data, options=options)
    assert before.loss is not None and before.loss > 0.5
    _, record = quantize_model(model, data=data, options=replace(options, max_loss=0.1))
    assert record.loss is not None and record.loss <= 0.1
    assert record.budget is not None and record.budget.float_layers == ("c",)
    assert {row.node for row in record.nodes if row.quantized} >= {"a", "y"}
    with pytest.raises(QualityGateError, match="cannot be met"):
        quantize_model(model, data=data, options=replace(options, max_loss=0.0))
