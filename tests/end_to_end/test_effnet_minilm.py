"""Two pretrained networks from torch to int8 through the real commands, with a metric before and after."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest

# In one process: the way through all commands is gone once for all tests.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800), pytest.mark.xdist_group("end to end")]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A network and what is expected of it.

    Attributes:
        model: Folder under `models/`, and the name of its task.
        export: What `edgebig export` needs beside source, weights and sample.
        value: The metric in float, as recorded in the folder's README.
        deviation: How far from it other processors' rounding may lead.
        drop: What int8 may lose of it.
        share: The int8 file's size over the float file's, at most.
        kernels: Integer operators that onnxruntime runs in place of float ones -> at least how many.
        multiply_adds: Share of the multiply-adds in integers, at least.
    """

    model: str
    export: tuple[str, ...]
    value: float
    deviation: float
    drop: float
    share: float
    kernels: dict[str, int]
    multiply_adds: float


EFFICIENTNET = Case(
    model="efficientnet_lite0_fmnist",
    export=("--dynamic", "image:0=batch", "--output-name", "logits"),
    value=0.8735,
    deviation=0.003,
    # Three paired standard errors above what was measured, 0.0045.
    drop=0.015,
    share=0.30,
    kernels={"QLinearConv": 48, "QLinearAdd": 9, "QGemm": 1},
    # The first convolution, of three channels, is faster in float.
    multiply_adds=0.95,
)
MINILM = Case(
    model="minilm_l6",
    export=(
        *("--dynamic", "input_ids:0=batch", "--dynamic", "input_ids:1=length"),
        *("--dynamic", "attention_mask:0=batch", "--dynamic", "attention_mask:1=length"),
        *("--output-name", "sentence_embedding"),
    ),
    value=0.7466,
    deviation=0.006,
    # Three paired standard errors; none was measured.
    drop=0.02,
    # The embedding table is half of the file.
    share=0.70,
    kernels={"MatMulIntegerToFloat": 36},
    # Attention multiplies activations with each other, half of it in float.
    multiply_adds=0.97,
)


@dataclass(frozen=True)
class Way:
    """What the commands made and said of one case.

    Attributes:
        case: The case.
        folder: Where the models are: float.onnx, clean.onnx, int8.onnx.
        records: Command -> its --json record.
    """

    case: Case
    folder: Path
    records: dict[str, Any]


def run_command(*arguments: str | Path, **environment: str) -> Any:
    """Run a command in a process of its own; give its JSON record."""
    command = [sys.executable, "-m", "edgebig.cli.main", *map(str, arguments), "--json", "-"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | environment)
    assert result.returncode == 0, f"{' '.join(command)}\n{result.stdout}\n{result.stderr}"
    assert "Traceback" not in result.stderr
    return json.loads(result.stdout)


STATIC = ("--scheme", "int8", "--effort", "fast", "--target", "ort-cpu")


@pytest.fixture(scope="module", params=[EFFICIENTNET, MINILM], ids=lambda case: case.model)
def way(
    request: pytest.FixtureRequest,
    root: Path,
    obtain_weights: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Way:
    """One network through all commands, each in a process of its own."""
    pytest.importorskip("torch")
    case: Case = request.param
    weights = obtain_weights(case.model)
    model, work = root / "models" / case.model, tmp_path_factory.mktemp(case.model)
    calibration = model / "calibration.npz"
    names = [work / name for name in ("float.onnx", "clean.onnx", "int8.onnx")]
    original, clean, int8 = names
    source = ("export", f"{model / 'model.py'}:build", "--weights", weights, "--sample", calibration)
    records = {
        "export": run_command(*source, *case.export, "-o", original),
        "optimize": run_command("optimize", original, "-o", clean, "--data", calibration),
        "quantize": run_command("quantize", clean, "-o", int8, "--data", calibration, *STATIC),
        "evaluate": run_command("evaluate", *names, "--task", case.model),
        "bench": run_command("bench", clean, int8, "--data", calibration, "--time", "3"),
    }
    return Way(case, work, records)


def test_export_is_equal_to_torch(way: Way) -> None:
    record = way.records["export"]
    assert record["exporter"] == "dynamo"
    assert all(row["worst_error"] < 1e-4 for row in record["parity"])
    assert len(record["sizes"]) >= 5 and record["real_samples"] == 32
    batch_axes = {interface["shape"][0] for interface in (*record["inputs"], *record["outputs"])}
    assert batch_axes == {"batch"}


def test_optimize_changes_no_output(way: Way) -> None:
    record = way.records["optimize"]
    assert all(output["error"] <= 1e-4 for output in record["outputs"])
    assert not record["left_out"]
    nodes = record["nodes_after"]
    assert not {"BatchNormalization", "Identity", "Constant"} & nodes.keys()
    assert sum(nodes.values()) <= sum(record["nodes_before"].values())


def test_metric_before_and_after(way: Way) -> None:
    original, clean, int8 = way.records["evaluate"]["models"]
    assert original["value"] == pytest.approx(way.case.value, abs=way.case.deviation)
    assert clean["value"] == pytest.approx(original["value"], abs=0.001)
    assert int8["value"] >= original["value"] - way.case.drop


def test_work_is_in_integers_and_the_file_is_smaller(way: Way) -> None:
    record = way.records["quantize"]
    work = {
        integer: sum(n["multiply_adds"] for n in record["nodes"] if (n["precision"] == "int8") is integer)
        for integer in (True, False)
    }
    assert work[True] >= way.case.multiply_adds * sum(work.values()) > 0
    assert all(node["reason"] for node in record["nodes"] if node["precision"] == "float")
    sizes = {name: (way.folder / f"{name}.onnx").stat().st_size for name in ("float", "clean", "int8")}
    # What made the file is written into it at every step.
    assert sizes["clean"] <= sizes["float"] + 10_000
    assert sizes["int8"] <= way.case.share * sizes["float"]


def test_stock_onnxruntime_runs_it_in_integers(way: Way, tmp_path: Path) -> None:
    path = tmp_path / "placed.onnx"
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(path)
    # onnxruntime warns that what it writes belongs to this machine.
    options.log_severity_level = 3
    model = way.folder / "int8.onnx"
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    assert session.get_providers() == ["CPUExecutionProvider"]
    assert {entry.domain for entry in onnx.load(model, load_external_data=False).opset_import} == {""}
    found = Counter(node.op_type for node in onnx.load(path).graph.node)
    fewer = {name: found[name] for name, count in way.case.kernels.items() if found[name] < count}
    assert not fewer, f"expected at least {way.case.kernels}, found {found}"


def test_bench_measures_both_models_on_the_same_input(way: Way) -> None:
    record = way.records["bench"]
    assert record["settings"]["provider"] == "cpu"
    assert [model["file"] for model in record["models"]] == ["clean.onnx", "int8.onnx"]
    for model in record["models"]:
        assert len(model["values"]) >= 3
        assert 0 < model["summary"]["min"] <= model["summary"]["p50"] <= model["summary"]["p99"]
    comparison = record["models"][1]["comparison"]
    assert 0 < comparison["low"] <= comparison["speedup"] <= comparison["high"]
    assert comparison["verdict"] in {"faster", "slower", "no difference shown"}


@pytest.mark.parametrize("way", [MINILM], ids=[MINILM.model], indirect=True)
def test_minilm_on_the_larger_task(way: Way, root: Path, shared: Path) -> None:
    """Retrieval among 1,500 texts, the ranges from other texts of the same kind; float is known to score 0.7088."""
    task = root / "tests" / "models" / "minilm_l6" / "task.py"
    reference = str(shared / "models" / "data")
    clean, int8 = way.folder / "clean.onnx", way.folder / "int8-larger.onnx"
    data = ("--data", f"{task}:calibration", "--effort", "fast")
    run_command("quantize", clean, "-o", int8, *data, EDGEBIG_TEST_REFERENCE=reference)
    record = run_command("evaluate", clean, int8, "--task", f"{task}:task", EDGEBIG_TEST_REFERENCE=reference)
    before, after = (model["value"] for model in record["models"])
    assert before == pytest.approx(0.7088, abs=0.001)
    # The paired standard error of the difference is about half a point.
    assert after >= before - 0.015
