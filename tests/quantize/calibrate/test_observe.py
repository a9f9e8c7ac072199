"""Going through samples: one pass whatever the budget, statistics that are kept and gone on with, bad samples."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from edgebig.data.feeds import Feed
from edgebig.data.samples import Samples
from edgebig.errors import InvalidDataError
from edgebig.graph.shapes import infer_shapes
from edgebig.progress import reporting_to
from edgebig.quantize.calibrate import TensorStatistics
from edgebig.quantize.calibrate import statistics_file as statistics_file_module
from edgebig.quantize.calibrate.observe import Observed, observe
from edgebig.quantize.calibrate.staged_run import StagedRun
from edgebig.quantize.calibrate.statistics_file import StatisticsFile
from edgebig.quantize.calibrate.statistics_key import statistics_file
from edgebig.quantize.engine import StaticEngine
from edgebig.quantize.prepare import prepare
from edgebig.targets import targets
from tests.quantize.build import build, normal
from tests.small_models import conv_net

MODEL = conv_net()
infer_shapes(MODEL)
NAMES = ("image", "b", "d", "f", "logits")


def statistics() -> dict[str, TensorStatistics]:
    return {name: TensorStatistics(name, channel_axis=1) for name in NAMES}


def samples(count: int, *, fail_after: int | None = None, seed: int = 0) -> Samples:
    def feeds() -> Iterator[Feed]:
        for index in range(count):
            if index == fail_after:
                raise OSError("the disk is gone")
            yield {"image": normal(4, 4, 8, 8, seed=seed + index)}

    return Samples("images", count, (), feeds)


def seen(found: dict[str, TensorStatistics]) -> list[object]:
    rows: list[object] = []
    for one in found.values():
        assert one.histogram is not None
        rows += [one.low, one.high, one.count, one.feeds, one.histogram.exponent, one.histogram.counts.tolist()]
        rows += [one.means.tolist(), one.mean_squares.tolist(), one.channel_low.tolist(), one.channel_high.tolist()]
    return rows


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[Feed]:
    """The feeds that the model ran on."""
    ran: list[Feed] = []
    original = StagedRun.run

    def counting(self: StagedRun, feed: Feed) -> Iterator[dict[str, np.ndarray]]:
        ran.append(feed)
        return original(self, feed)

    monkeypatch.setattr(StagedRun, "run", counting)
    return ran


def go(
    found: dict[str, TensorStatistics],
    feeds: Samples,
    path: Path | None = None,
    *,
    budget: int = 10**9,
    every: float = 0.0,
) -> Observed:
    kept = None if path is None else StatisticsFile(path, every=every, least=0.0)
    return observe(MODEL, feeds, found, dict.fromkeys(NAMES, 10_000), budget=budget, threads=2, kept=kept)


def test_a_small_budget_gives_the_same_in_stages_and_one_pass(runs: list[Feed]) -> None:
    wide, narrow = statistics(), statistics()
    assert go(wide, samples(3)).stages == 1
    assert go(narrow, samples(3), budget=80_000).stages == 4
    assert len(runs) == 6
    for name in NAMES:
        assert narrow[name].low == pytest.approx(wide[name].low, rel=1e-5)
        assert narrow[name].high == pytest.approx(wide[name].high, rel=1e-5)
        assert narrow[name].means == pytest.approx(wide[name].means, rel=1e-4, abs=1e-6)


def test_a_second_run_over_the_same_samples_runs_nothing(tmp_path: Path, runs: list[Feed]) -> None:
    first, second = statistics(), statistics()
    assert go(first, samples(5), tmp_path / "s.npz") == Observed(5, 5, 1, ())
    assert go(second, samples(5), tmp_path / "s.npz") == Observed(5, 0, 0, ())
    assert len(runs) == 5
    assert seen(first) == seen(second)


def test_an_interrupted_run_is_gone_on_with(tmp_path: Path, runs: list[Feed]) -> None:
    whole, stopped, continued = statistics(), statistics(), statistics()
    go(whole, samples(6))
    runs.clear()
    with pytest.raises(OSError, match="the disk is gone"):
        go(stopped, samples(6, fail_after=4), tmp_path / "s.npz", every=1e9)
    assert len(runs) == 4
    assert go(continued, samples(6), tmp_path / "s.npz") == Observed(6, 2, 1, ())
    assert len(runs) == 6
    assert seen(continued) == seen(whole)


def test_a_run_that_is_killed_loses_only_what_came_after_the_last_saving(tmp_path: Path, runs: list[Feed]) -> None:
    bad = samples(6)
    with pytest.raises(InvalidDataError):
        go(statistics(), _with_nan(bad, at=3), tmp_path / "s.npz")
    runs.clear()
    whole, continued = statistics(), statistics()
    go(whole, bad)
    runs.clear()
    assert go(continued, bad, tmp_path / "s.npz").run == 3
    assert seen(continued) == seen(whole)


def test_more_samples_than_before_cost_only_the_new_ones(tmp_path: Path, runs: list[Feed]) -> None:
    go(statistics(), samples(3), tmp_path / "s.npz")
    whole, grown = statistics(), statistics()
    assert go(grown, samples(5), tmp_path / "s.npz").run == 2
    go(whole, samples(5))
    assert seen(grown) == seen(whole)


def test_fewer_or_other_samples_are_observed_anew(tmp_path: Path) -> None:
    go(statistics(), samples(5), tmp_path / "s.npz")
    for other in (samples(3), samples(5, seed=100)):
        fresh, expected = statistics(), statistics()
        assert go(fresh, other, tmp_path / "s.npz").run == other.feeds
        go(expected, other)
        assert seen(fresh) == seen(expected)


@pytest.mark.parametrize("damage", ["cut", "text", "empty", "pickle", "shape", "counts"])
def test_a_damaged_file_counts_as_none(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "s.npz"
    go(statistics(), samples(2), path)
    whole = path.read_bytes()
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    if damage == "shape":
        arrays["channel_sums"] = arrays["channel_sums"][:-1]
    if damage == "counts":
        arrays["counts"] = -arrays["counts"]
    if damage == "pickle":
        arrays["count"] = np.array([{"a": 1}], dtype=object)
    if damage in ("shape", "counts", "pickle"):
        np.savez(path, **arrays)
    else:
        path.write_bytes({"cut": whole[: len(whole) // 2], "text": b"no archive", "empty": b""}[damage])
    assert go(statistics(), samples(2), path).run == 2
    assert go(statistics(), samples(2), path).run == 0  # a sound file took its place


def test_the_folder_of_files_stays_within_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go(statistics(), samples(1), tmp_path / "a.npz")
    monkeypatch.setattr(statistics_file_module, "LIMIT_BYTES", int((tmp_path / "a.npz").stat().st_size * 1.5))
    go(statistics(), samples(1), tmp_path / "b.npz")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.npz"]


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert go(statistics(), samples(1), tmp_path / "file" / "s.npz").run == 1


def test_the_files_name_depends_on_model_tensors_and_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEBIG_CACHE", str(tmp_path / "cache"))
    first = {"image": normal(4, 4, 8, 8)}
    path = statistics_file(MODEL, first, statistics()).path
    assert path.parent == tmp_path / "cache" / "calibration"
    same, changed = conv_net(), conv_net()
    infer_shapes(same)
    infer_shapes(changed)
    assert statistics_file(same, first, statistics()).path == path
    weight = changed.graph.initializers["w3"]
    array = weight.const_value.numpy().copy()
    array[9, 63] += 1e-6
    weight.const_value = ir.tensor(array, name="w3")
    others = [
        statistics_file(changed, first, statistics()).path,
        statistics_file(conv_net(seed=1), first, statistics()).path,
        statistics_file(MODEL, {"image": normal(4, 4, 8, 8, seed=1)}, statistics()).path,
        statistics_file(MODEL, first, {"b": TensorStatistics("b")}).path,
    ]
    assert len({path, *others}) == 5


def test_progress_names_what_is_known_from_before(tmp_path: Path) -> None:
    said: list[tuple[str, int | None]] = []

    class Reporter:
        def track(self, items, description, total):  # type: ignore[no-untyped-def]
            said.append((description, total))
            yield from items

    go(statistics(), samples(2), tmp_path / "s.npz")
    with reporting_to(Reporter()):
        go(statistics(), samples(3), tmp_path / "s.npz")
    assert said == [("observing ranges, 2 feeds known from before", 3)]


def test_the_first_tensor_with_nan_is_named() -> None:
    model = build("g (float[N, 4] x) => (float[N, 4] y) { a = Log(x) b = Relu(a) c = Sqrt(a) y = Add(b, c) }")
    found = {name: TensorStatistics(name) for name in ("x", "a", "b", "c", "y")}
    with pytest.raises(InvalidDataError, match="tensor 'a'"):
        observe(model, _one({"x": -np.ones((1, 4), np.float32)}), found, {}, budget=10**9, threads=4)


def test_samples_without_feeds_or_values_are_refused() -> None:
    with pytest.raises(InvalidDataError, match="hold no feeds"):
        go(statistics(), samples(0))
    model = build("g (float[N, 4] x) => (float[N, 4] y) { y = Relu(x) }")
    with pytest.raises(InvalidDataError, match="no values in any tensor"):
        observe(
            model, _one({"x": np.ones((0, 4), np.float32)}), {"y": TensorStatistics("y")}, {}, budget=10**9, threads=1
        )


def test_units_of_tensors_that_are_always_empty_stay_in_float() -> None:
    model = build(
        """g (float[N, 8] x, float[M, 8] past) => (float[N, 8] y, float[M, 8] z) {
            y = MatMul(x, w0) p = MatMul(past, w1) z = Relu(p) }""",
        w0=normal(8, 8),
        w1=normal(8, 8, seed=1),
    )
    feed = {"x": normal(4, 8), "past": np.zeros((0, 8), np.float32)}
    engine = StaticEngine(prepare(model, feed, targets.get("ort-cpu")()))
    assert len(engine.plan.placement.units) == 2
    assert engine.calibrate(_one(feed), engine.bytes_per_sample, budget=10**9, threads=1, use_cache=False) == 1
    assert [unit.node.inputs[0].name for unit in engine.plan.placement.units] == ["x"]
    assert "past" not in engine.ranges("mse") and "x" in engine.ranges("mse")


def _one(feed: Feed) -> Samples:
    return Samples("one", 1, (), lambda: iter([feed]))


def _with_nan(feeds: Samples, *, at: int) -> Samples:
    def spoilt() -> Iterator[Feed]:
        for index, feed in enumerate(feeds):
            yield {"image": np.full_like(feed["image"], np.nan)} if index == at else feed

    return Samples("spoilt", feeds.feeds, (), spoilt)
