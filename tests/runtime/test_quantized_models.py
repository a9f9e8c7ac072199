"""Models quantized by other tools: the same answers as stock onnxruntime's, all of the model in kernels.

The last quantization is what is compared. Where onnxruntime fuses nodes it rounds once more or less than the nodes say,
so answers may be a step apart: with S8S8 per channel, its own answers with and without fusion differ by one.
"""

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from edgebig import quantize_model
from edgebig.graph.save import save_model
from edgebig.records.quantize import QuantizeOptions
from edgebig.runtime import Cache, InferenceSession
from tests.runtime.quantized import NETS, quantize, settings
from tests.small_models import conv_net, conv_net_samples


def output_step(model: onnx.ModelProto) -> float:
    """The scale of the model's last DequantizeLinear."""
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant":
            constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    last = [node for node in model.graph.node if node.op_type == "DequantizeLinear"][-1]
    return float(constants[last.input[1]])


def answers(content: bytes, feed: dict[str, NDArray], cache: Cache) -> tuple[NDArray, NDArray, InferenceSession]:
    """Ours and stock onnxruntime's, and our session."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    stock = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    ours = InferenceSession(content, options, cache=cache, measure=False)
    return ours.run(None, feed)[0], stock.run(None, feed)[0], ours


def assert_same(got: NDArray, expected: NDArray, step: float) -> None:
    """A step apart at most, and that in one place of twenty."""
    steps = np.rint((got - expected) / step)
    assert np.abs(steps).max() <= 1
    assert np.mean(steps != 0) <= 0.05
    assert len(np.unique(expected)) > 3


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("name", settings())
def test_onnxruntimes_own_tool(net: str, name: str, cache: Cache, tmp_path: Path) -> None:
    model = quantize(net, tmp_path, **settings()[name])
    x = np.random.default_rng(3).standard_normal(NETS[net][1]).astype(np.float32)
    got, expected, session = answers(model.SerializeToString(), {"x": x}, cache)
    (record,) = session.records
    assert record.kept
    assert not record.left, session.explain()
    assert_same(got, expected, output_step(model))


def torch_model(x: NDArray) -> bytes:
    """Convolutions and a linear layer, quantized by torch's own tool and exported by torch."""
    torch = pytest.importorskip("torch")
    tool = pytest.importorskip("torch.ao.quantization")
    nn = torch.nn
    if "fbgemm" not in torch.backends.quantized.supported_engines:
        pytest.skip("this torch cannot quantize for x86")
    torch.manual_seed(0)
    layers: list[Any] = [nn.Conv2d(3, 16, 3, padding=1, stride=2), nn.ReLU(), nn.Conv2d(16, 24, 1), nn.ReLU()]
    net = nn.Sequential(tool.QuantStub(), *layers, nn.Flatten(), nn.Linear(24 * 36, 10), tool.DeQuantStub()).eval()
    torch.backends.quantized.engine = "fbgemm"
    net.qconfig = tool.get_default_qconfig("fbgemm")  # 7-bit activations: nothing saturates
    ready = tool.prepare(tool.fuse_modules(net, [["1", "2"], ["3", "4"]]))
    for _ in range(4):
        ready(torch.randn(*x.shape))
    file = io.BytesIO()
    arguments = {"opset_version": 17, "dynamo": False, "input_names": ["x"], "output_names": ["y"]}
    torch.onnx.export(tool.convert(ready), (torch.from_numpy(x),), file, **arguments)
    return file.getvalue()


def test_torchs_own_tool(cache: Cache) -> None:
    x = np.random.default_rng(3).standard_normal((2, 3, 12, 12)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        content = torch_model(x)
    got, expected, session = answers(content, {"x": x}, cache)
    (record,) = session.records
    assert record.kept, session.explain()
    assert sum(segment.ops.get("Conv", 0) + segment.ops.get("Gemm", 0) for segment in record.segments) == 3
    assert_same(got, expected, output_step(onnx.load_from_string(content)))


def test_our_own_tool(cache: Cache, tmp_path: Path) -> None:
    quantized, _ = quantize_model(
        conv_net(), data=conv_net_samples(), options=QuantizeOptions(scheme="int8", effort="fast", cache=False)
    )
    content = save_model(quantized, tmp_path / "m.onnx")[0].read_bytes()
    feed = {"image": conv_net_samples(4, seed=9)["image"]}
    got, expected, session = answers(content, feed, cache)
    assert session.records[0].kept
    noise = np.sqrt(np.mean((got - expected) ** 2) / np.mean(expected**2))
    assert noise < 0.02  # the output stays float: steps of what lies before it
