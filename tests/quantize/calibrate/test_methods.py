"""Range methods against onnxruntime's calibrators on the same data, and against slow oracles."""

import contextlib
import io
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationMethod
from onnxruntime.quantization.calibrate import CalibrationDataReader, HistogramCollector, create_calibrator

from edgebig.data.samples import open_samples
from edgebig.errors import UsageError
from edgebig.graph.interface import input_specs
from edgebig.quantize.calibrate import TensorStatistics, calibration_method, calibration_methods
from edgebig.quantize.calibrate.entropy import best_window
from edgebig.quantize.calibrate.observe import observe
from tests.naive.entropy_range import divergence
from tests.small_models import conv_net, conv_net_samples

OPEN = (-np.inf, np.inf)


def gathered(values: NDArray) -> TensorStatistics:
    statistics = TensorStatistics("t")
    statistics.add(values)
    return statistics


def observed(model: ir.Model, data: dict[str, NDArray]) -> dict[str, TensorStatistics]:
    names = [output.name or "" for node in model.graph for output in node.outputs]
    statistics = {name: TensorStatistics(name) for name in names}
    samples = open_samples(data, input_specs(model), batch_size=16)
    observe(model, samples, statistics, {}, budget=10**9, threads=1)
    return statistics


def onnxruntime_ranges(
    model: ir.Model, data: dict[str, NDArray], method: CalibrationMethod, folder: Path, **options: object
) -> dict[str, tuple[float, float]]:
    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._feeds = iter([{"image": data["image"][i : i + 16]} for i in range(0, len(data["image"]), 16)])

        def get_next(self) -> dict[str, NDArray] | None:
            return next(self._feeds, None)

    ir.save(model, folder / "model.onnx")
    with contextlib.redirect_stdout(io.StringIO()):
        calibrator = create_calibrator(
            str(folder / "model.onnx"), None, str(folder / "more.onnx"), method, extra_options=options
        )
        calibrator.collect_data(Reader())
        found = calibrator.compute_data()
    return {name: tuple(float(np.ravel(end)[0]) for end in found[name].range_value) for name in found.keys()}  # noqa: SIM118


def test_minmax_is_onnxruntimes(tmp_path: Path) -> None:
    model, data = conv_net(), conv_net_samples()
    theirs = onnxruntime_ranges(model, data, CalibrationMethod.MinMax, tmp_path)
    ours = observed(model, data)
    shared = theirs.keys() & ours.keys()
    assert len(shared) >= 7
    for name in shared:
        assert calibration_method("minmax").choose(ours[name], *OPEN, 255) == pytest.approx(theirs[name], rel=1e-5)


@pytest.mark.parametrize("percent", [99.0, 99.9, 99.999])
def test_percentile_is_onnxruntimes_within_a_bin(percent: float, tmp_path: Path) -> None:
    model, data = conv_net(), conv_net_samples(128)
    options = {"num_bins": 8192, "percentile": percent, "symmetric": False}
    theirs = onnxruntime_ranges(model, data, CalibrationMethod.Percentile, tmp_path, **options)
    ours = observed(model, data)
    shared = theirs.keys() & ours.keys()
    assert len(shared) >= 7
    for name in shared:
        histogram = ours[name].histogram
        assert histogram is not None
        low, high = calibration_method(f"percentile:{percent}").choose(ours[name], *OPEN, 255)
        # Their bins are 2 max|x| / 8192 wide at the first batch, ours up to twice that.
        assert low == pytest.approx(theirs[name][0], abs=2 * histogram.width)
        assert high == pytest.approx(theirs[name][1], abs=2 * histogram.width)


@pytest.mark.parametrize("kind", ["normal", "laplace", "heavy"])
def test_entropy_chooses_as_onnxruntime_does_with_as_many_bins(kind: str) -> None:
    rng = np.random.default_rng(0)
    values = {
        "normal": rng.standard_normal(200_000),
        "laplace": rng.laplace(size=200_000),
        "heavy": rng.standard_t(4, 200_000),
    }[kind].astype(np.float32)
    collector = HistogramCollector("entropy", True, 1024, 128, 99.999, None)
    counts, edges = np.histogram(values, 1024, range=(-np.abs(values).max(), np.abs(values).max()))
    low, high = collector.get_entropy_threshold((counts, edges.astype(np.float32), values.min(), values.max()), 128)
    first, end = best_window(counts.astype(np.float64), 512, 0, 1024, 128)
    theirs, ours = float(high - low), float(edges[end] - edges[first])
    # Their groups leave a remainder to the last one, and their counts are cut to integers: near, not equal.
    assert ours == pytest.approx(theirs, rel=0.35)
    ours_diverges = divergence(counts.tolist(), first, end, 128)
    their_bins = np.searchsorted(edges, [float(low) + 1e-6, float(high) - 1e-6])
    assert ours_diverges <= divergence(counts.tolist(), int(their_bins[0]) - 1, int(their_bins[1]), 128) + 1e-9


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(0, 50), min_size=24, max_size=24), st.sampled_from([4, 5, 8]))
def test_the_entropy_search_finds_the_best_one_sided_range(numbers: list[int], groups: int) -> None:
    counts = np.array([0] * 8 + numbers, np.float64)
    counts[-1] += 1
    first, end = best_window(counts, 8, 8, 32, groups)
    assert first == 8
    every = {
        stop: divergence(counts.tolist(), 8, stop, groups) for stop in range(8 + groups, 33) if counts[8:stop].any()
    }
    assert divergence(counts.tolist(), 8, end, groups) == pytest.approx(min(every.values()), abs=1e-9)


def test_entropy_tries_ranges_that_are_not_symmetric() -> None:
    rng = np.random.default_rng(3)
    values = np.concatenate([rng.standard_normal(100_000), rng.uniform(0, 60, 300)]).astype(np.float32)
    low, high = calibration_method("entropy").choose(gathered(values), *OPEN, 255)
    assert -5.5 < low < -2.5
    assert 2 < high < 60


def test_entropy_is_not_drowned_by_the_zeros_after_a_relu() -> None:
    rng = np.random.default_rng(4)
    values = np.maximum(rng.standard_normal(300_000), 0).astype(np.float32)
    low, high = calibration_method("entropy").choose(gathered(values), *OPEN, 255)
    assert low == 0
    assert 2.5 < high <= values.max()


@pytest.mark.parametrize("name", list(calibration_methods))
@pytest.mark.parametrize("value", [0.0, 3.0, -2.0, 1e-30, 1e30])
def test_constant_tensors_have_ranges_that_hold_them(name: str, value: float) -> None:
    low, high = calibration_method(name).choose(gathered(np.full(100, value)), *OPEN, 255)
    assert np.isfinite([low, high]).all()
    slack = abs(value) * 1e-3 + 1e-29
    assert min(low, 0) <= value + slack and value - slack <= max(high, 0)


@pytest.mark.parametrize("name", list(calibration_methods))
def test_no_range_is_wider_than_the_values(name: str) -> None:
    for seed, shift in ((0, 0.0), (1, 2.0), (2, -2.0), (3, 50.0)):
        values = (np.random.default_rng(seed).standard_normal(5000) + shift).astype(np.float32)
        low, high = calibration_method(name).choose(gathered(values), *OPEN, 255)
        assert min(0, values.min()) <= low <= high <= max(0, values.max())


@pytest.mark.parametrize("name", ["percentile:x", "percentile:", "percentile:50", "percentile:101", "percentile:nan"])
def test_a_percentile_out_of_bounds_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="percentile"):
        calibration_method(name)
