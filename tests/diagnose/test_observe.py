"""Own and cumulative errors."""

import numpy as np
import pytest

from edgebig.diagnose.error_sums import ErrorSums
from edgebig.diagnose.first_wrong import first_wrong
from edgebig.diagnose.observe import measure_sizes, observe_tensors
from edgebig.diagnose.statistics import TensorFacts, unmasked
from edgebig.graph.edit import expose_outputs
from tests.diagnose.build import context, inspect, net, net_samples, qdq
from tests.quantize.build import normal, run, sqnr_db

RANGES = {"x": (-4.0, 4.0), "b": (0.0, 4.0), "d": (0.0, 40000.0), "y": (-4.0, 4.0)}


def test_the_layer_that_goes_wrong_is_told_from_those_that_inherit_it() -> None:
    model, data = net(), net_samples()
    found = context(model, qdq(model, RANGES, {"wa": None, "wb": None, "wc": None}), data)
    facts = found.suspects.facts
    assert facts["b"].own.sqnr_db > 25  # type: ignore[operator]
    assert facts["d"].own.sqnr_db == pytest.approx(0, abs=1), "a step of 157 leaves zeros"
    assert facts["d"].cumulative.sqnr_db == pytest.approx(0, abs=1)
    assert first_wrong(found.suspects) == "d"
    # The last layer alone, fed with the float model's tensors, reads the same zeros; its own result adds nothing.
    assert facts["y"].cumulative.sqnr_db == pytest.approx(0, abs=1)


def test_numbers_are_those_of_the_two_models() -> None:
    model, data = net(), net_samples()
    changed = qdq(model, {"x": (-4.0, 4.0), "b": (0.0, 3.0)}, {"wa": None, "wb": None, "wc": None})
    facts = context(model, changed, data).suspects.facts
    reference = run(expose_outputs(model, ["c"]), data)
    expected = run(expose_outputs(changed, ["c"]), data, optimize=False)
    assert facts["c"].cumulative.sqnr_db == pytest.approx(sqnr_db(reference, expected), abs=1e-3)
    assert facts["c"].cumulative.mean_shift == pytest.approx(float((expected - reference).mean()), abs=1e-6)
    a, b = reference.ravel().astype(float), expected.ravel().astype(float)
    assert facts["c"].cumulative.cosine == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b), abs=1e-6)
    b = run(expose_outputs(model, ["b"]), data)
    assert facts["b"].clipped_share == pytest.approx(float((b > 3.0 + 3.0 / 255).mean()))
    # Its own error: the float model's x, quantized, times the stored weight.
    weight = next(node for node in changed.graph if node.outputs[0].name == "q/wb/dequantized")
    stored, scale = (value.const_value.numpy() for value in weight.inputs[:2])  # type: ignore[union-attr]
    step = np.float32(3.0 / 255)
    own = (np.clip(np.rint(b / step), 0, 255) * step) @ (stored * scale)
    assert facts["c"].own.sqnr_db == pytest.approx(sqnr_db(reference, own), abs=1e-2)


def test_groups_change_nothing() -> None:
    model, data = net(), net_samples()
    inspected, samples = inspect(model, qdq(model, RANGES, {"wa": None}), data)
    sizes = measure_sizes(inspected, next(iter(samples)), threads=1)
    whole, once = observe_tensors(inspected, samples, sizes, budget=10**9, threads=1)
    parts, passes = observe_tensors(inspected, samples, sizes, budget=4 * 64 * 32 * 4, threads=1)
    assert once == 1
    assert passes >= 3
    for name, facts in whole.items():
        assert parts[name].own.noise == pytest.approx(facts.own.noise)
        assert parts[name].cumulative.noise == pytest.approx(facts.cumulative.noise)


def test_masked_positions_do_not_count() -> None:
    scores = normal(4, 8)
    scores[:, 6:] = -10000 + scores[:, 6:]
    counts = unmasked(scores)
    assert counts[:, :6].all()
    assert not counts[:, 6:].any()
    facts = TensorFacts("scores")
    facts.add(scores, np.where(counts, 0, -10000).astype(np.float32), None)
    assert facts.masked == 8
    assert facts.cumulative.sqnr_db == pytest.approx(0, abs=1e-6), "what counts became zero"
    assert unmasked(normal(4, 8) * 20000).all(), "large numbers alone are no mask"
    assert not unmasked(np.array([1.0, np.nan, -np.inf])).all()


def test_a_shift_is_told_from_noise() -> None:
    reference = normal(64, 8)
    shifted, noisy = ErrorSums(), ErrorSums()
    shifted.add(reference, reference + np.arange(8, dtype=np.float32), np.ones_like(reference, bool), 1)
    noisy.add(reference, reference + normal(64, 8, seed=5), np.ones_like(reference, bool), 1)
    assert shifted.shift_share == pytest.approx(1.0, abs=1e-5)
    assert noisy.shift_share < 0.1
    broken = ErrorSums()
    broken.add(reference, np.full_like(reference, np.nan), np.ones_like(reference, bool))
    assert broken.sqnr_db == float("-inf")
    assert broken.broken == reference.size
