"""`bench_models` as a whole, on models of microseconds. What it measures is not asserted, except where 100-fold."""

from pathlib import Path

import numpy as np
import pytest

import edgebig
from edgebig.bench import bench_models
from edgebig.errors import InvalidDataError, InvalidModelError, MissingDependencyError, UsageError
from edgebig.records.measurement import BenchOptions, MeasurementRecord
from tests.bench.models import DOUBLE, HEAVY, TOKENS, write
from tests.small_models import conv_net, conv_net_samples

SHORT = BenchOptions(rounds=10, time=2.0, warmup=3)


def test_two_models_are_interleaved_and_compared(tmp_path: Path) -> None:
    double, heavy = write(DOUBLE, tmp_path / "double.onnx"), write(HEAVY, tmp_path / "heavy.onnx")
    record = bench_models([heavy, double], options=SHORT)
    first, second = record.models
    assert [first.name, second.name] == ["heavy.onnx", "double.onnx"]
    assert first.comparison is None
    assert second.comparison is not None
    assert second.comparison.verdict == "faster"
    assert second.comparison.speedup > 5
    assert second.comparison.low <= second.comparison.speedup <= second.comparison.high
    assert len(first.values) == len(second.values) == 10
    assert second.loops > 1  # some microseconds are too short for the clock
    assert second.summary.n == sum(map(len, second.values))
    assert second.summary.p50 == np.median(second.values)
    assert first.build_ns > 0
    assert first.first_run_ns > 0
    assert first.warmup_runs >= 3
    assert first.steady is None
    assert record.settings.inputs["x"].shape == (1, 3)
    assert MeasurementRecord.from_json(record.to_json()) == record


def test_one_model_in_memory_with_samples() -> None:
    options = BenchOptions(rounds=3, time=1.0, batch=2)
    record = edgebig.bench_models(conv_net(), data=conv_net_samples(8), options=options)
    (model,) = record.models
    assert model.name == "conv_net"
    assert model.steady in (True, False)
    assert record.settings.inputs["image"].shape == (2, 4, 8, 8)
    assert record.settings.data == "first feed of samples"
    assert any("rounds" in warning for warning in record.warnings)


def test_the_time_budget_ends_the_rounds(tmp_path: Path) -> None:
    path = write(HEAVY, tmp_path / "m.onnx")
    record = bench_models(path, options=BenchOptions(rounds=10_000, time=0.2, warmup=0))
    assert 3 <= len(record.models[0].values) < 100


def test_random_integers_are_warned_of(tmp_path: Path) -> None:
    options = BenchOptions(rounds=3, time=0.1, warmup=0, dims={"sequence": 7})
    record = bench_models(write(TOKENS, tmp_path / "t.onnx"), options=options)
    assert record.settings.inputs["ids"].shape == (1, 7)
    assert "Integer inputs hold random values" in record.warnings[-1]


def test_models_that_take_other_inputs_are_refused(tmp_path: Path) -> None:
    paths = [write(DOUBLE, tmp_path / "double.onnx"), write(TOKENS, tmp_path / "tokens.onnx")]
    with pytest.raises(InvalidDataError, match=r"inputs of double\.onnx, given to tokens\.onnx: missing 'ids', 'mask'"):
        bench_models(paths, options=SHORT)


def test_another_shape_is_refused(tmp_path: Path) -> None:
    fixed = write(DOUBLE.replace("float[batch, 3] x", "float[4, 3] x"), tmp_path / "fixed.onnx")
    with pytest.raises(InvalidDataError, match=r"shape \(1, 3\), the model takes x: float32 \[4x3\]"):
        bench_models([write(DOUBLE, tmp_path / "double.onnx"), fixed], options=SHORT)


def test_no_model_is_refused() -> None:
    with pytest.raises(UsageError, match="no model"):
        bench_models([])


def test_unknown_provider_is_refused_before_anything_is_read() -> None:
    with pytest.raises(UsageError, match="Known: cpu"):
        bench_models("missing.onnx", options=BenchOptions(provider="abacus"))


def test_missing_model_is_refused() -> None:
    with pytest.raises(InvalidModelError, match="no file"):
        bench_models("missing.onnx")


def test_missing_onnxruntime_names_its_install_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(MissingDependencyError, match=r"edgebig\[cpu\]"):
        bench_models(write(DOUBLE, tmp_path / "m.onnx"))


def test_the_input_models_stay_as_they_are(tmp_path: Path) -> None:
    path, model = write(DOUBLE, tmp_path / "m.onnx"), conv_net()
    content, nodes = path.read_bytes(), [node.op_type for node in model.graph]
    bench_models(path, options=SHORT)
    bench_models(model, options=SHORT)
    assert path.read_bytes() == content
    assert [node.op_type for node in model.graph] == nodes
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.onnx"]


@pytest.mark.slow
def test_the_median_is_that_of_a_plain_loop(shared: Path) -> None:
    """Against time.perf_counter around onnxruntime's own bound run: the quiet tenth of both within 10 %."""
    import time

    import onnxruntime as ort

    path = shared / "models" / "fashion" / "cnn.onnx"
    x = np.zeros((1, 1, 28, 28), np.float32)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    binding.bind_cpu_input("x", x)
    binding.bind_output("y")
    times = []
    for _ in range(20_000):
        start = time.perf_counter()
        session.run_with_iobinding(binding)
        times.append(time.perf_counter() - start)
    record = bench_models(path, data={"x": x}, options=BenchOptions(time=2.0))
    ours = np.quantile(np.concatenate([np.array(v) for v in record.models[0].values]), 0.05) / 1e9
    assert ours == pytest.approx(np.quantile(times, 0.05), rel=0.10)
