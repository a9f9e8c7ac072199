"""Large weights are read in parts and packed ones wait on disk: memory does not grow with the model."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from edgebig.graph.load import load_model
from edgebig.graph.save import save_model
from edgebig.quantize.weight_only import WeightOnlySettings, quantize_weights
from tests.quantize.build import run

SIZE = 4096
SCRIPT = """
import json, resource, sys
from edgebig import load_model, save_model
from edgebig.quantize.weight_only import WeightOnlySettings, quantize_weights
peaks = []
for name in sys.argv[1:]:
    result, changes = quantize_weights(load_model(name), settings=WeightOnlySettings(bits=8))
    save_model(result, name + ".small.onnx", external_data=True)
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
print(json.dumps(peaks))
"""


def write_chain(path: Path, layers: int, size: int) -> None:
    """A chain of products whose weights lie in a file with holes, with a few numbers in each."""
    nodes, tensors, last = [], [], "x"
    data = path.with_name(path.name + ".data")
    with data.open("wb") as stream:
        stream.truncate(layers * size * size * 4)
    for layer in range(layers):
        tensor = onnx.TensorProto(name=f"w{layer}", dims=[size, size], data_type=1, data_location=1)
        place = {"location": data.name, "offset": layer * size * size * 4, "length": size * size * 4}
        for key, value in place.items():
            tensor.external_data.add(key=key, value=str(value))
        weight = np.memmap(data, np.float32, "r+", place["offset"], (size, size))
        weight[:: size // 16, layer] = np.linspace(-1, 1, 16, dtype=np.float32)
        weight.flush()
        tensors.append(tensor)
        nodes.append(onnx.helper.make_node("MatMul", [last, tensor.name], [f"y{layer}"]))
        last = f"y{layer}"
    values = [onnx.helper.make_tensor_value_info(name, 1, ["n", size]) for name in ("x", last)]
    graph = onnx.helper.make_graph(nodes, "chain", values[:1], values[1:], tensors)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8), path)


def test_spooled_weights_survive_and_are_saved_whole(tmp_path: Path) -> None:
    write_chain(tmp_path / "chain.onnx", 1, 2048)
    result, _ = quantize_weights(tmp_path / "chain.onnx", settings=WeightOnlySettings(bits=8, accuracy_level=0))
    x = {"x": np.random.default_rng(0).standard_normal((2, 2048)).astype(np.float32)}
    want = run(load_model(tmp_path / "chain.onnx"), x)
    assert np.abs(run(result, x) - want).max() < 0.02 * np.abs(want).max()
    for external in (True, False):
        (path, *_) = save_model(result, tmp_path / "small.onnx", force=True, external_data=external)
        assert np.array_equal(run(load_model(path), x), run(result, x))
    assert path.stat().st_size < 0.3 * (tmp_path / "chain.onnx.data").stat().st_size


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="peak memory is read from getrusage")
def test_memory_does_not_grow_with_the_number_of_weights(tmp_path: Path) -> None:
    write_chain(tmp_path / "small.onnx", 1, SIZE)
    write_chain(tmp_path / "large.onnx", 6, SIZE)
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "small.onnx"), str(tmp_path / "large.onnx")]
    one, six = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    # Five more weights of 64 MiB; packed they are 90 MiB.
    assert six - one < 40 << 20
