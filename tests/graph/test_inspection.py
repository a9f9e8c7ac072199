"""Facts of whole models: parameters, zeros, blocks, quantized shares."""

import subprocess
import sys

import numpy as np
import pytest

from edgebig.errors import UsageError
from edgebig.graph.inspection import inspect_model
from edgebig.graph.layer_facts import count_zeros
from edgebig.graph.provenance import stamp
from edgebig.graph.stored_weights import stored_weight
from edgebig.records.inspect import InspectOptions, InspectRecord

TEXT = """g (float[batch, 4, 8, 8] x) => (float[batch, 10] y) {
    c = Conv<pads = [1, 1, 1, 1]>(x, w, b) r = Relu(c) p = GlobalAveragePool(r) f = Flatten(p)
    y = Gemm<transB = 1>(f, v, d) }"""


def arrays(rng: np.random.Generator) -> dict[str, np.ndarray]:
    shapes = {"w": (32, 4, 3, 3), "b": (32,), "v": (10, 32), "d": (10,)}
    return {name: rng.uniform(0.5, 1, shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_counts(build, rng) -> None:
    record = inspect_model(build(TEXT, **arrays(rng)))
    assert record.nodes == 5
    assert record.operators == {"Conv": 1, "Relu": 1, "GlobalAveragePool": 1, "Flatten": 1, "Gemm": 1}
    assert record.parameters == 32 * 36 + 32 + 320 + 10
    assert record.dtypes == {"FLOAT": record.parameters}
    assert record.dims == {"batch": 1}
    assert record.macs == 32 * 64 * 36 + 320
    assert (record.uncounted, record.shape_problem) == (0, None)
    assert (record.zeros, record.zero_blocks, record.quantized_parameters, record.quantized_macs) == (
        0.0,
        0.0,
        0.0,
        0.0,
    )
    assert record.inputs[0].shape == ("batch", 4, 8, 8)
    assert record.outputs[0].dtype == "FLOAT"
    conv, gemm = record.layers
    assert (conv.op, conv.output, conv.parameters, conv.macs) == ("Conv", (1, 32, 8, 8), 32 * 36 + 32, 32 * 64 * 36)
    assert (conv.precision, conv.zeros) == ("float32", 0.0)
    assert gemm.macs == 320
    assert InspectRecord.from_json(record.to_json()) == record


def test_sizes_scale_the_macs(build, rng) -> None:
    model = build(TEXT, **arrays(rng))
    once = inspect_model(model).macs
    assert inspect_model(model, options=InspectOptions(dims={"batch": 8})).macs == 8 * once
    assert inspect_model(model, options=InspectOptions(default_dim=3)).macs == 3 * once


def test_the_heaviest_layers_come_first(build, rng) -> None:
    record = inspect_model(build(TEXT, **arrays(rng)), options=InspectOptions(layers=1))
    assert [layer.op for layer in record.layers] == ["Conv"]
    assert record.layers_in_all == 2


def test_zeros_and_blocks(build, rng) -> None:
    """Blocks of 16 outputs x 4 inputs, channels innermost: one kernel position of the first 16 outputs."""
    values = arrays(rng)
    values["w"][:16, :, 0, 0] = 0  # one whole block of (32 / 16) * (36 / 4)
    values["w"][16:, 1, 0, 0] = 0  # zeros, and no block
    record = inspect_model(build(TEXT, **values))
    conv = record.layers[0]
    assert conv.zeros == pytest.approx((64 + 16) / (32 * 36))
    assert conv.zero_blocks == pytest.approx(1 / 18)
    assert record.zeros == pytest.approx(80 / (32 * 36 + 320))


def test_the_last_block_may_be_smaller(build, rng) -> None:
    weight = rng.uniform(0.5, 1, (18, 5)).astype(np.float32)
    weight[16:, 4:] = 0
    model = build("g (float[N, 5] x) => (float[N, 18] y) { y = Gemm<transB = 1>(x, w) }", w=weight)
    layer = inspect_model(model).layers[0]
    assert layer.zero_blocks == pytest.approx(1 / 4)


@pytest.mark.parametrize("part", [1, 64, 1 << 24])
def test_counting_in_parts_gives_the_same(build, rng, monkeypatch, part: int) -> None:
    weight = rng.standard_normal((70, 6, 3, 3)).astype(np.float32)
    weight[rng.random((70, 6, 3, 3)) < 0.9] = 0
    weight[:32] = 0
    model = build("g (float[N, 6, H, W] x) => (float[N, 70, P, Q] y) { y = Conv(x, w) }", w=weight)
    monkeypatch.setattr("edgebig.graph.stored_weights.PART", part)
    counted = count_zeros(stored_weight(model.graph.node(0)))
    matrix = np.moveaxis(weight, 1, -1).reshape(70, 54)
    blocks = [matrix[i : i + 16, j : j + 4] for i in range(0, 70, 16) for j in range(0, 54, 4)]
    assert counted.zeros == int((weight == 0).sum())
    assert (counted.blocks, counted.zero_blocks) == (len(blocks), sum(not block.any() for block in blocks))


QDQ = """g (uint8[batch, 32] q, float s, uint8 z) => (float[batch, 16] y) {
    x = DequantizeLinear(q, s, z) w = DequantizeLinear<axis = 1>(k, ks, kz) y = MatMul(x, w) }"""


@pytest.mark.parametrize("zero_point", [0, 3])
def test_quantized_weights_and_their_zeros(build, rng, zero_point: int) -> None:
    weight = rng.integers(10, 100, (32, 16)).astype(np.int8)
    weight[:, 0] = zero_point
    points = np.full(16, zero_point, np.int8)
    record = inspect_model(build(QDQ, k=weight, ks=np.ones(16, np.float32), kz=points))
    layer = record.layers[0]
    assert (layer.precision, layer.macs) == ("int8", 32 * 16)
    assert layer.zeros == pytest.approx(1 / 16)
    assert record.quantized_macs == 1.0
    assert record.quantized_parameters == pytest.approx((512 + 16) / (512 + 16 + 16))


def test_weights_alone_in_integers(build, rng) -> None:
    text = QDQ.replace("uint8[batch, 32] q, float s, uint8 z", "float[batch, 32] x").replace(
        "x = DequantizeLinear(q, s, z)", ""
    )
    model = build(
        text, k=rng.integers(1, 9, (32, 16)).astype(np.int8), ks=np.ones(16, np.float32), kz=np.zeros(16, np.int8)
    )
    record = inspect_model(model)
    assert record.layers[0].precision == "int8 weights"
    assert record.quantized_macs == 0.0
    assert record.quantized_parameters > 0.9


def test_four_bits(build, rng) -> None:
    text = """g (float[3, 64] x) => (float[3, 16] y) {
        y = com.microsoft.MatMulNBits<K = 64, N = 16, bits = 4, block_size = 32>(x, w, s) }"""
    model = build(text, domains=', "com.microsoft": 1', w=np.ones((16, 2, 16), np.uint8), s=np.ones(32, np.float32))
    record = inspect_model(model)
    assert record.layers[0].precision == "int4 weights"
    assert record.dtypes == {"INT4": 1024, "FLOAT": 32}
    assert record.quantized_parameters == pytest.approx(1024 / 1056)


def test_quantized_operators(build, rng) -> None:
    text = """g (uint8[2, 4, 8, 8] x, float s, uint8 z) => (uint8[2, 6, 6, 6] y) {
        y = QLinearConv(x, s, z, w, s, wz, s, z) }"""
    weight = rng.integers(10, 100, (6, 4, 3, 3)).astype(np.int8)
    weight[0] = 5
    model = build(text, w=weight, wz=np.int8([5, 0, 0, 0, 0, 0]))
    layer = inspect_model(model).layers[0]
    assert layer.precision == "int8"
    assert layer.zeros == pytest.approx(1 / 6)


def test_recurrent_layers(build, rng) -> None:
    text = "g (float[7, 2, 5] x) => (float[T, D, B, H] y) { y = LSTM<hidden_size = 6>(x, w, r) }"
    weight = rng.uniform(0.5, 1, (1, 24, 5)).astype(np.float32)
    weight[0, :12] = 0
    layer = inspect_model(build(text, w=weight, r=np.ones((1, 24, 6), np.float32))).layers[0]
    assert layer.zeros == pytest.approx(60 / (120 + 144))
    assert layer.zero_blocks is None
    assert layer.parameters == 264


def test_weights_in_constant_nodes_and_branches_count(build) -> None:
    text = """g (float[N, 2] x, bool q) => (float[N, 3] y) { y = If(q) <
        then_branch = t () => (float[N, 3] p) {
            k = Constant<value = float[2, 3] {1, 2, 3, 4, 5, 6}>() p = MatMul(x, k) },
        else_branch = e () => (float[N, 3] n) { n = MatMul(x, w) } > }"""
    record = inspect_model(build(text, w=np.ones((2, 3), np.float32)))
    assert record.parameters == 12
    assert record.layers_in_all == 2
    assert record.operators == {"If": 1, "Constant": 1, "MatMul": 2}


def test_unknown_shapes_are_counted_as_unknown(build) -> None:
    text = "g (float[N, 4] x) => (float[A, B] y) { c = com.example.Magic(x) y = MatMul(c, w) }"
    record = inspect_model(build(text, domains=', "com.example": 1', w=np.ones((4, 5), np.float32)))
    assert (record.uncounted, record.macs, record.layers[0].macs) == (1, 0, None)
    assert record.quantized_macs is None


def test_files_and_provenance(build, rng, external_file) -> None:
    record = inspect_model(external_file)
    assert record.files == {"gemm.onnx": external_file.stat().st_size, "gemm.onnx.data": 9600}
    model = build(TEXT, **arrays(rng))
    stamp(model, "prune", InspectOptions())
    record = inspect_model(model)
    assert [step.step for step in record.provenance] == ["prune"]
    assert list(record.files) == ["(in memory)"]


def test_defaults_of_inputs_are_marked(build) -> None:
    model = build(
        "g (float[N, 4] x, float[4, 5] w) => (float[N, 5] y) { y = MatMul(x, w) }", w=np.ones((4, 5), np.float32)
    )
    assert [tensor.has_default for tensor in inspect_model(model).inputs] == [False, True]


def test_it_needs_no_onnxruntime(inline_file) -> None:
    code = (
        "import sys; sys.modules['onnxruntime'] = None;"
        "from edgebig.graph.inspection import inspect_model;"
        f"print(inspect_model({str(inline_file)!r}).macs)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.stdout.strip() == "2400", result.stderr


@pytest.mark.parametrize("options", [{"dims": {"batch": 0}}, {"default_dim": 0}, {"layers": -1}])
def test_options_are_validated(options: dict) -> None:
    with pytest.raises(UsageError):
        InspectOptions(**options)
