"""The error that algorithms are judged by: relative, per sample, blind to masks, infinite where outputs break."""

import numpy as np
import pytest

from edgebig.data.samples import open_samples
from edgebig.evaluate.output_loss import OutputLoss
from edgebig.graph.interface import input_specs
from edgebig.quantize.algorithms.output_error import output_error
from tests.quantize.build import build, normal

SCALED = "g (float[N, 4] x) => (float[N, 4] y) { y = Mul(x, k) }"


def judge(text: str, x: np.ndarray, **arrays: np.ndarray) -> OutputLoss:
    model = build(text, **arrays)
    return OutputLoss(model, open_samples({"x": x}, input_specs(model), batch_size=4), threads=1)


def test_it_is_the_mean_of_relative_errors_of_samples() -> None:
    x = normal(10, 4) + np.float32(2)
    x[3] *= 30
    reference = judge(SCALED, x, k=np.float32(1))
    assert output_error(reference, build(SCALED, k=np.float32(1.02))) == pytest.approx(0.02, rel=1e-3)
    shift = "g (float[N, 4] x) => (float[N, 4] y) { y = Add(x, k) }"
    expected = np.mean(np.sqrt(4 * 0.01**2 / np.square(x[[0, 1, 2, 4, 5, 6, 7, 8, 9]]).sum(1)))
    found = output_error(reference, build(shift, k=np.float32(0.01)))
    assert found < 1.1 * expected  # the one large sample does not count more than the others
    assert found > 0.5 * expected


def test_masked_entries_do_not_count_and_broken_ones_do() -> None:
    masked = "g (float[N, 4] x) => (float[N, 4] y) { y = Add(x, k) }"
    mask = np.array([0, -np.inf, 0, 0], np.float32)
    reference = judge(masked, normal(8, 4), k=mask)
    assert output_error(reference, build(masked, k=mask)) == 0.0
    assert output_error(reference, build(masked, k=np.array([0, -1e9, 0, 0], np.float32))) == 0.0
    assert output_error(reference, build(masked, k=np.array([np.nan, 0, 0, 0], np.float32))) == np.inf


def test_a_model_without_float_outputs_is_judged_by_its_own_loss() -> None:
    text = "g (float[N, 4] x) => (int64[N, 1] y) { z = Mul(x, k) y = ArgMax<axis = 1>(z) }"
    reference = judge(text, normal(8, 4), k=np.float32(1))
    assert output_error(reference, build(text, k=np.float32(2))) == 0.0
    assert output_error(reference, build(text, k=np.float32(-1))) > 0.9
