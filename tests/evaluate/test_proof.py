"""The comparison of outputs: what counts as equal, and what does not."""

import numpy as np
import pytest

from edgebig.evaluate import proof as proof_module
from edgebig.evaluate.proof import Proof, output_error
from edgebig.graph.edit import set_array

TEXT = "g (float[N, 4] x) => (float[N, 4] y, int64[N] z) { y = Mul(x, k) z = ArgMax<axis = 1, keepdims = 0>(y) }"


def model(build, scale: float):
    return build(TEXT, k=np.full(4, scale, np.float32))


def feeds(rng: np.random.Generator) -> list[dict[str, np.ndarray]]:
    return [{"x": rng.standard_normal((n, 4)).astype(np.float32)} for n in (2, 3)]


def test_equal_models_are_equal(build, rng) -> None:
    verdict = Proof(model(build, 2.0), feeds(rng)).compare(model(build, 2.0))
    assert verdict.equal
    assert verdict.errors == {"y": 0.0, "z": 0.0}
    assert str(verdict) == "outputs are equal"


def test_the_worst_output_is_named_with_how_far(build, rng) -> None:
    verdict = Proof(model(build, 2.0), feeds(rng)).compare(model(build, 2.02))
    assert not verdict.equal
    assert verdict.errors["y"] == pytest.approx(0.01, rel=1e-4)
    assert "output 'y' is off by 0.01 of its scale (0.0001 is allowed)" in str(verdict)


def test_the_tolerance_is_what_is_asked_for(build, rng) -> None:
    assert Proof(model(build, 2.0), feeds(rng), tolerance=0.02).compare(model(build, 2.02)).equal
    assert not Proof(model(build, 2.0), feeds(rng), tolerance=0.005).compare(model(build, 2.02)).equal


def test_a_model_that_does_not_load_or_run_is_not_equal(build, rng) -> None:
    broken = model(build, 2.0)
    set_array(broken.graph.initializers["k"], np.ones(3, np.float32))
    verdict = Proof(model(build, 2.0), feeds(rng)).compare(broken)
    assert not verdict.equal
    assert "onnxruntime" in str(verdict)


def test_rounding_noise_of_the_model_itself_is_allowed(build, rng) -> None:
    """A difference of nearly equal numbers: onnxruntime's own fusions move it by more than 1e-4."""
    proof = Proof(model(build, 2.0), feeds(rng))
    proof._noise = {"y": 1e-3, "z": 0.0}
    assert proof.compare(model(build, 2.004)).equal
    assert not proof.compare(model(build, 2.02)).equal


@pytest.mark.parametrize(
    ("before", "after", "error"),
    [
        (np.float32([0, 10]), np.float32([0.1, 10]), 0.01),
        (np.float32([0, 0]), np.float32([0.5, 0]), 0.5),
        (np.float32([1, np.nan]), np.float32([1, np.nan]), 0.0),
        (np.float32([1, np.nan]), np.float32([1, 2]), np.inf),
        (np.float32([1, 2]), np.float32([1, np.nan]), np.inf),
        (np.float32([1, -np.inf]), np.float32([1, -np.inf]), 0.0),
        (np.float32([1, -np.inf]), np.float32([1, np.inf]), np.inf),
        (np.float32([1, -3e38]), np.float32([1.1, -3e38]), 0.1),  # a mask does not hide the rest
        (np.float32([1]), np.float32([[1]]), np.inf),
        (np.float32([1]), np.float64([1]), np.inf),
        (np.float32([]), np.float32([]), 0.0),
        (np.int64([1, 2, 3, 4]), np.int64([1, 2, 3, 9]), 0.25),
        (np.uint8([0, 255]), np.uint8([1, 255]), 1 / 255),
        (np.array([True, False]), np.array([True, True]), 0.5),
        (np.array(["a", "b"], object), np.array(["a", "c"], object), 0.5),
        ([{"a": 1.0}], [{"a": 1.0}], 0.0),
        ([{"a": 1.0}], [{"a": 2.0}], np.inf),
    ],
)
def test_errors(before: object, after: object, error: float) -> None:
    assert output_error(before, after) == pytest.approx(error, rel=1e-5)


def test_as_written_runs_all_models_without_optimisation(build, rng, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    real = proof_module.Session

    def session(model, *, optimize: bool):
        opened.append(optimize)
        return real(model, optimize=optimize)

    monkeypatch.setattr(proof_module, "Session", session)
    assert Proof(model(build, 2.0), feeds(rng), as_written=True).compare(model(build, 2.0)).equal
    assert opened == [False, False]
    assert Proof(model(build, 2.0), feeds(rng)).compare(model(build, 2.0)).equal
    assert opened[2:] == [True, True]
