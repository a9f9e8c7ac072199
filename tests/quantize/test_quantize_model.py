"""Whole models: coverage and its reasons, exclusion, refusals, memory, opsets, gates, odd graphs."""

import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from edgebig.data.feeds import Feed, InputSpec
from edgebig.data.samples import Samples, open_samples
from edgebig.errors import InvalidDataError, InvalidModelError, QualityGateError, UnknownNameError, UsageError
from edgebig.graph.load import load_model
from edgebig.graph.provenance import read_provenance
from edgebig.graph.save import save_model
from edgebig.quantize import quantize_model
from edgebig.quantize.calibrate import TensorStatistics
from edgebig.quantize.calibrate.observe import observe
from edgebig.records.quantize import QuantizeOptions, QuantizeRecord, parse_size
from tests.quantize.build import build, count, normal, run, sqnr_db
from tests.small_models import conv_net, conv_net_samples

OPTIONS = QuantizeOptions(threads=1, scheme="int8", effort="fast")
BLOCK = """g (float[N, T, 32] x) => (float[N, T, 32] y) {
    q = MatMul(x, wq) k = MatMul(x, wk) t = Transpose<perm = [0, 2, 1]>(k) s = MatMul(q, t) p = Softmax<axis = -1>(s)
    v = MatMul(x, wv) o = MatMul(p, v) r = Add(x, o) n = LayerNormalization<axis = -1>(r, g1, g2)
    m = MatMul(n, w1) f = Add(m, b1) e = Erf(f) h = Mul(f, e) y = MatMul(h, w2) }"""


def transformer() -> ir.Model:
    arrays = {name: normal(32, 32, scale=0.2, seed=i) for i, name in enumerate(("wq", "wk", "wv"))}
    arrays |= {"w1": normal(32, 64, scale=0.2), "b1": normal(64), "w2": normal(64, 32, scale=0.2)}
    return build(BLOCK, g1=np.ones(32, np.float32), g2=np.zeros(32, np.float32), **arrays)


def test_a_convolution_net_runs_in_integers_throughout() -> None:
    model, data = conv_net(), conv_net_samples(128)
    before = ir.to_proto(model).SerializeToString()
    result, record = quantize_model(model, data=data, options=OPTIONS)
    assert ir.to_proto(model).SerializeToString() == before
    assert sqnr_db(run(model, data), run(result, data)) > 30
    assert all(node.quantized for node in record.nodes)
    assert record.multiply_add_share == record.weight_share == 1.0
    assert record.bytes_after < record.bytes_before / 2.5
    assert record.feeds == 6 and record.held_out == 2 and record.passes == 1
    assert record.outputs[0].sqnr_db is not None and record.outputs[0].sqnr_db > 25
    assert result.graph.outputs[0].name == "logits"
    assert result.graph.outputs[0].dtype == ir.DataType.FLOAT
    # Inputs, three convolutions, the pool; the last layer's results are float.
    assert count(result, "QuantizeLinear") == 6
    step = read_provenance(result)[-1]
    assert step.step == "quantize" and step.machine["int8 instructions"] and step.options["calibration"] == "auto"
    assert QuantizeRecord.from_json(record.to_json()) == record


def test_a_transformer_keeps_what_must_be_float_and_says_why() -> None:
    model = transformer()
    feeds = [{"x": normal(2, 5 + seed % 3, 32, seed=seed)} for seed in range(8)]
    result, record = quantize_model(model, data=feeds, options=OPTIONS)
    changed = [run(result, feed) for feed in feeds]
    assert min(sqnr_db(run(model, feed), other) for feed, other in zip(feeds, changed, strict=True)) > 25
    by_name = {node.node: node for node in record.nodes}
    assert [by_name[name].quantized for name in ("q", "k", "v", "m", "y")] == [True] * 5
    assert "8 bits" in by_name["n"].reason and "8 bits" in by_name["p"].reason
    assert by_name["r"].reason.startswith("its neighbours are float")
    assert not by_name["s"].quantized
    assert by_name["f"].reason == "bias of m"
    assert by_name["m"].weights == 32 * 64 and by_name["m"].multiply_adds == 2 * 5 * 32 * 64


@pytest.mark.parametrize("pattern", ["node_of_e", "*of_e", "node_of_[e]"])
def test_excluded_nodes_stay_in_float(pattern: str) -> None:
    model, data = conv_net(), conv_net_samples()
    for node in model.graph:
        node.name = f"node_of_{node.outputs[0].name}"
    _, record = quantize_model(model, data=data, options=replace(OPTIONS, exclude=(pattern,)))
    assert [node.node for node in record.nodes if node.reason == "excluded"] == ["node_of_e"]
    with pytest.raises(UsageError, match="node_of_e"):
        quantize_model(model, data=data, options=replace(OPTIONS, exclude=("node_off_e",)))


def test_refusals_say_why() -> None:
    data = conv_net_samples()
    result, _ = quantize_model(conv_net(), data=data, options=OPTIONS)
    with pytest.raises(InvalidModelError, match=r"quantized already: node .* is a QuantizeLinear"):
        quantize_model(result, data=data, options=OPTIONS)
    dead = build("g (float[N, 4] x) => (float[N, 4] y) { a = Softmax(x) y = Add(a, a) }")
    with pytest.raises(InvalidModelError, match=r"no Conv, Gemm or MatMul.*Softmax: its outputs span more"):
        quantize_model(dead, data={"x": normal(8, 4)}, options=OPTIONS)
    with pytest.raises(UnknownNameError, match="ort-cpu"):
        quantize_model(conv_net(), data=data, options=QuantizeOptions(target="ort-cpuu"))
    with pytest.raises(UnknownNameError, match="minmax"):
        quantize_model(conv_net(), data=data, options=QuantizeOptions(calibration="minimax"))
    with pytest.raises(InvalidDataError, match="The model takes image"):
        quantize_model(conv_net(), data={"picture": data["image"]}, options=OPTIONS)
    with pytest.raises(InvalidDataError, match="NaN or infinite"):
        quantize_model(conv_net(), data={"image": np.full_like(data["image"], np.nan)}, options=OPTIONS)


@pytest.mark.parametrize(
    ("field", "value"),
    [("weight_bits", "6"), ("samples", 0), ("max_loss", -0.1), ("threads", -1), ("ram_budget", "plenty")],
)
def test_options_are_checked(field: str, value: object) -> None:
    with pytest.raises(UsageError):
        QuantizeOptions(**{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(("text", "size"), [("1GB", 10**9), ("512 MiB", 512 << 20), ("1.5kb", 1500), ("77", 77)])
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


def test_the_loss_budget_is_a_gate() -> None:
    model, data = conv_net(), conv_net_samples()
    quantize_model(model, data=data, options=replace(OPTIONS, max_loss=1.0))
    text = "g (float[N, 16] x) => (float[N, 1] y) { y = Gemm(x, w) }"
    with pytest.raises(QualityGateError, match=r"relative-error is 0.01.*0 of 1 layers in float, allowed is 1e-06"):
        model = build(text, w=normal(16, 1))
        quantize_model(model, data={"x": normal(64, 16)}, options=replace(OPTIONS, max_loss=1e-6))


def test_old_opsets_are_raised(tmp_path: Path) -> None:
    text = "g (float[N, 8, 6, 6] x) => (float[N, 16, 4, 4] y) { a = Conv(x, w) y = Relu(a) }"
    model, feed = build(text, opset=11, w=normal(16, 8, 3, 3)), {"x": normal(64, 8, 6, 6)}
    result, record = quantize_model(model, data=feed, options=OPTIONS)
    assert result.opset_imports[""] == 13
    assert "raised from opset 11 to 13" in record.notes[0]
    save_model(result, tmp_path / "q.onnx")
    assert sqnr_db(run(model, feed), run(load_model(tmp_path / "q.onnx"), feed)) > 30


def test_odd_graphs() -> None:
    """A weight that is an output too, an intermediate output, one value read twice, a subgraph that reads outside."""
    text = """g (float[N, 8, 6, 6] x, bool c) => (float[N, 8, 6, 6] y, float[N, 8, 6, 6] a, float[8, 8, 1, 1] w) {
        a = Conv(x, w) b = Relu(a) d = Conv(b, w) e = Add(d, d)
        y = If(c) <then_branch = t () => (float[N, 8, 6, 6] u) { u = Add(e, b) },
                   else_branch = f () => (float[N, 8, 6, 6] v) { v = Identity(d) }> }"""
    model = build(text, w=normal(8, 8, 1, 1))
    feeds = [{"x": normal(4, 8, 6, 6, seed=seed), "c": np.array(seed % 2 == 0)} for seed in range(6)]
    result, record = quantize_model(model, data=feeds, options=OPTIONS)
    assert [value.name for value in result.graph.outputs] == ["y", "a", "w"]
    for feed in feeds:
        assert sqnr_db(run(model, feed), run(result, feed)) > 25
    assert all(row.loss is not None and row.loss < 0.05 for row in record.outputs)


def test_one_feed_is_both_seen_and_judged_and_said() -> None:
    _, record = quantize_model(conv_net(), data=conv_net_samples(1), options=OPTIONS)
    assert record.feeds == record.held_out == 1
    assert any("one feed only" in note for note in record.notes)


def test_a_small_budget_takes_one_pass_too_and_the_same_result() -> None:
    model, data = conv_net(), conv_net_samples()
    feeds = [{"image": data["image"][i : i + 8]} for i in range(0, 64, 8)]
    wide, _ = quantize_model(model, data=feeds, options=OPTIONS)
    narrow, record = quantize_model(model, data=feeds, options=replace(OPTIONS, ram_budget="80KB"))
    assert record.passes == 1
    assert np.array_equal(run(wide, data), run(narrow, data))


def test_memory_does_not_grow_with_the_samples() -> None:
    model = conv_net()
    spec = InputSpec("image", np.dtype(np.float32), (None, 4, 8, 8))

    def stream(count: int) -> Samples:
        def feeds() -> Iterator[Feed]:
            for seed in range(count):
                yield {"image": normal(32, 4, 8, 8, seed=seed)}

        return Samples("stream", count, (), feeds)

    def peak(count: int) -> int:
        statistics = {name: TensorStatistics(name) for name in ("image", "b", "d", "f", "g")}
        sizes = dict.fromkeys(statistics, 32 * 64 * 64 * 4)
        tracemalloc.start()
        observe(model, stream(count), statistics, sizes, budget=10**9, threads=1)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert all(statistic.feeds == count for statistic in statistics.values())
        return found

    peak(2)  # the kernel is compiled
    one_feed = 32 * (32 + 32) * 64 * 4
    assert peak(256) < peak(16) + one_feed
    assert open_samples({"image": normal(4, 4, 8, 8)}, [spec]).feeds == 1


@pytest.mark.slow
@pytest.mark.parametrize(("name", "least_db"), [("cnn", 38), ("mobilenet", 30), ("resnet", 40), ("vit", 39)])
def test_real_models_lose_little(shared: Path, name: str, least_db: float) -> None:
    folder = shared / "models" / "fashion"
    model = load_model(folder / f"{name}.onnx")
    result, record = quantize_model(model, data=folder / "calib512.npz", options=OPTIONS)
    feed = {"x": np.load(folder / "calib512.npz")["x"][:256]}
    assert sqnr_db(run(model, feed), run(result, feed)) > least_db
    assert record.bytes_after < record.bytes_before / 2
