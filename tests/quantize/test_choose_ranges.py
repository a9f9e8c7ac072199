"""Choosing ranges by the loss of the outputs: scores, swaps, collapse, and how often models are judged."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from edgebig.data.samples import open_samples
from edgebig.errors import QualityGateError
from edgebig.evaluate.output_loss import OutputLoss
from edgebig.graph.interface import input_specs
from edgebig.quantize.calibrate import TensorStatistics
from edgebig.quantize.choose_ranges import Ranges, choose_ranges
from edgebig.quantize.engine import StaticChoice, StaticEngine
from edgebig.quantize.prepare import prepare
from edgebig.quantize.weight_bits import weight_rule
from edgebig.targets import targets
from tests.quantize.build import build, normal

NAMES = tuple(f"t{i}" for i in range(20))
WIDE: Ranges = dict.fromkeys(NAMES, (-4.0, 4.0))
NARROW: Ranges = dict.fromkeys(NAMES, (-1.0, 1.0))


def statistics() -> dict[str, TensorStatistics]:
    found = {name: TensorStatistics(name) for name in NAMES}
    for index, one in enumerate(found.values()):
        one.add(np.random.default_rng(index).uniform(-1, 1, 1000))
    return found


def distance(best: Ranges) -> Callable[[Ranges], float]:
    """A loss that sees how far each range is from the best one's."""
    return lambda ranges: float(np.mean([abs(ranges[name][1] - best[name][1]) for name in best])) / 100


def test_the_method_with_the_least_loss_is_taken() -> None:
    chosen = choose_ranges({"a": WIDE, "b": NARROW}, distance(NARROW), statistics())
    assert (chosen.method, chosen.loss, chosen.others) == ("b", 0.0, {})
    assert chosen.ranges == NARROW
    assert chosen.scores == {"a": pytest.approx(0.03), "b": 0.0}


def test_single_tensors_take_another_methods_range_where_that_helps() -> None:
    aim = {**NARROW, "t3": WIDE["t3"]}
    mixed = {**NARROW, "t3": (-0.5, 0.5), "t9": (-3.0, 3.0)}
    chosen = choose_ranges({"a": WIDE, "b": mixed}, distance({**aim, "t9": (-3.0, 3.0)}), statistics())
    assert chosen.method == "b"
    assert chosen.others == {"t3": "a"}
    assert chosen.ranges == {**mixed, "t3": WIDE["t3"]}
    assert chosen.loss < chosen.scores["b"]


def test_trials_are_bounded_and_counted() -> None:
    asked: list[Ranges] = []

    def loss(ranges: Ranges) -> float:
        asked.append(ranges)
        return 0.01

    rng = np.random.default_rng(0)
    candidates = {m: {n: (-float(rng.uniform(1, 4)), 1.0) for n in NAMES} for m in ("a", "b", "c", "d")}
    chosen = choose_ranges(candidates, loss, statistics(), trials=10)
    assert chosen.trials == len(asked) == 10
    assert chosen.others == {}
    assert choose_ranges({"a": WIDE}, loss, statistics()).trials == 1


def test_a_collapsed_method_is_named_with_the_tensor_that_did_it() -> None:
    found = statistics()
    found["t5"].add(np.array([50.0]))
    good = {**NARROW, "t5": (-1.0, 50.0)}

    def loss(ranges: Ranges) -> float:
        return 0.01 if ranges["t5"][1] > 10 else 0.9

    chosen = choose_ranges({"percentile": NARROW, "minmax": good}, loss, found)
    assert chosen.method == "minmax"
    assert chosen.culprits == {"percentile": ("t5",)}
    assert "'percentile' ruins the model" in chosen.notes[0] and "tensor 't5'" in chosen.notes[0]


def test_a_collapse_by_many_tensors_is_said_so() -> None:
    chosen = choose_ranges(
        {"a": NARROW, "b": WIDE}, lambda r: 0.01 if r["t0"] == r["t1"] == (-4, 4) else 0.9, statistics()
    )
    assert chosen.culprits == {"a": ()}
    assert "no single tensor" in chosen.notes[0]
    assert chosen.others == {}  # a collapsed method's ranges are not tried on


def test_nan_with_every_method_is_refused() -> None:
    with pytest.raises(QualityGateError, match="every calibration method"):
        choose_ranges({"a": WIDE, "b": NARROW}, lambda _: float("inf"), statistics())


def test_a_rare_token_that_matters_survives_where_the_percentile_cuts_it() -> None:
    """One value in 4096 carries half of the energy: the percentile cuts it off, and is found out by the outputs."""
    model = build(
        "g (float[N, 64] x) => (float[N, 8] y) { h = MatMul(x, w0) r = Relu(h) y = MatMul(r, w1) }",
        w0=np.eye(64, dtype=np.float32),
        w1=normal(64, 8),
    )
    array = normal(512, 64)
    array[::64, 7] = 60.0
    samples = open_samples({"x": array}, input_specs(model), batch_size=64)
    prepared = prepare(model, next(iter(samples)), targets.get("ort-cpu")())
    engine = StaticEngine(prepared)
    engine.calibrate(samples, engine.bytes_per_sample, budget=10**9, threads=1, use_cache=False)
    rule, _ = weight_rule("auto", prepared.facts.target)
    judge = OutputLoss(model, samples, loss="relative-error", threads=1)
    base = StaticChoice(ranges={}, rule=rule)
    candidates = {name: engine.ranges(name) for name in ("percentile:99", "minmax")}
    chosen = choose_ranges(
        candidates,
        lambda ranges: judge.of(engine.write(dataclasses.replace(base, ranges=ranges)).model),
        engine.statistics,
    )
    assert chosen.method == "minmax"
    assert chosen.scores["percentile:99"] > 0.5 > 5 * chosen.scores["minmax"]
    assert len(chosen.notes) == 1
