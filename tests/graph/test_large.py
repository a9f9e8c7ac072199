"""Models past protobuf's 2 GB: a file of holes, so that they cost no disk."""

import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import onnx
import pytest

from edgebig.errors import InvalidModelError
from edgebig.graph.inspection import inspect_model
from edgebig.graph.load import load_model
from edgebig.graph.opset import raise_opset
from edgebig.graph.save import save_model, weight_bytes
from edgebig.graph.session import Session
from edgebig.graph.shapes import infer_shapes
from edgebig.graph.skeleton import model_bytes
from edgebig.optimize import optimize_model

ROWS, COLUMNS = 9_000_000, 64
BYTES = 4 * ROWS * COLUMNS  # 2.3 GB


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A table of 9 million rows, all zero, then a small MatMul whose shape chain can be folded."""
    text = """<ir_version: 8, opset_import: ["": 17]>
        g (int64[N] i) => (float[N, 8] y) { e = Gather(table, i) d = Identity(e) m = MatMul(d, w) y = Relu(m) }"""
    model = onnx.parser.parse_model(text)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((COLUMNS, 8), np.float32), "w"))
    table = model.graph.initializer.add()
    table.name, table.data_type, table.data_location = "table", onnx.TensorProto.FLOAT, onnx.TensorProto.EXTERNAL
    table.dims.extend([ROWS, COLUMNS])
    for key, value in (("location", "table.data"), ("offset", "0"), ("length", str(BYTES))):
        entry = table.external_data.add()
        entry.key, entry.value = key, value
    with (tmp_path / "table.data").open("wb") as stream:
        stream.truncate(BYTES)
    path = tmp_path / "large.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_looking_at_it_reads_no_weights(large: Path) -> None:
    tracemalloc.start()
    model = load_model(large)
    assert weight_bytes(model) > 1 << 31
    assert model_bytes(model) > 1 << 31
    assert infer_shapes(model) is None
    raise_opset(model, 18)
    record = inspect_model(large)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert record.parameters == ROWS * COLUMNS + 8 * COLUMNS
    assert record.files["table.data"] == BYTES
    assert record.macs == COLUMNS * 8
    assert peak < 50e6


def test_one_byte_short_is_truncated(large: Path) -> None:
    with (large.parent / "table.data").open("r+b") as stream:
        stream.truncate(BYTES - 1)
    with pytest.raises(InvalidModelError, match="truncated"):
        load_model(large)


@pytest.mark.slow
def test_optimize_and_save(large: Path, tmp_path: Path) -> None:
    if shutil.disk_usage(tmp_path).free < 4 * BYTES:
        pytest.skip("not enough room for the copies")
    result, record = optimize_model(large)
    assert record.nodes_after == {"Gather": 1, "MatMul": 1, "Relu": 1}
    assert record.worst_error == 0.0
    written = save_model(result, tmp_path / "out.onnx")
    assert [path.name for path in written] == ["out.onnx", "out.onnx.data"]
    assert Session(tmp_path / "out.onnx").run({"i": np.array([0, ROWS - 1])})["y"].shape == (2, 8)


@pytest.mark.slow
def test_zeros_of_a_large_weight_are_counted_in_parts(tmp_path: Path, large: Path) -> None:
    """The table as the weight of a MatMul, 2.3 GB: looked at in parts."""
    proto = onnx.load(large, load_external_data=False)
    del proto.graph.node[:]
    del proto.graph.input[:], proto.graph.output[:]
    parsed = onnx.parser.parse_graph(f"g (float[N, {ROWS}] x) => (float[N, {COLUMNS}] y) {{ y = MatMul(x, table) }}")
    proto.graph.node.extend(parsed.node)
    proto.graph.input.extend(parsed.input)
    proto.graph.output.extend(parsed.output)
    large.write_bytes(proto.SerializeToString())
    tracemalloc.start()
    record = inspect_model(large)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert record.layers[0].zeros == 1.0
    assert record.zero_blocks == 1.0
    assert record.macs == ROWS * COLUMNS
    assert peak < 1.5e9
