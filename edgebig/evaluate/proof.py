"""Equal outputs before and after: the original and a changed model run side by side, on the same feeds.

The error of an output is its largest difference over the largest value of the original's output, so that rounding
near zero counts for what it is. Unless a tolerance is asked for, what is allowed grows with the model's own rounding
noise, measured as the difference between the original with and without onnxruntime's graph optimisation: a model
that loses digits by itself cannot be held to more.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.data.feeds import Feed
from edgebig.errors import InvalidModelError
from edgebig.graph.session import Session
from edgebig.progress import track

# By NumPy dtype: the error allowed where the model adds no noise of its own. 8-bit outputs may differ by one step.
TOLERANCES = {
    "float64": 1e-4,
    "float32": 1e-4,
    "float16": 5e-3,
    "bfloat16": 2e-2,
    "uint8": 1.01 / 255,
    "int8": 1.01 / 255,
}
# Share of the elements of an integer output (class ids, indices) that may differ: ties fall either way.
INTEGER_TOLERANCE = 1e-3
NOISE_FACTOR = 4.0
NOISE_LIMIT = 1e-2
# Larger numbers are masks, not results.
MASK = 1e30


@dataclass(frozen=True)
class Verdict:
    """How one changed model compares.

    Attributes:
        errors: Per output, the worst error over all feeds.
        tolerances: Per output, what is allowed.
        failure: Why it could not be compared at all: it does not load, or fails on a feed.
    """

    errors: dict[str, float]
    tolerances: dict[str, float]
    failure: str | None = None

    @property
    def equal(self) -> bool:
        """Whether every output is within its tolerance."""
        return self.failure is None and all(self.errors[name] <= self.tolerances[name] for name in self.tolerances)

    def __str__(self) -> str:
        if self.failure is not None:
            return self.failure
        if self.equal:
            return "outputs are equal"
        name = max(self.tolerances, key=lambda name: self.errors[name] / max(self.tolerances[name], 1e-30))
        return (
            f"output {name!r} is off by {self.errors[name]:.3g} of its scale ({self.tolerances[name]:.3g} is allowed)"
        )


class Proof:
    """Compare models with the original.

    Args:
        original: The model that counts as right, or its path (which spares a copy of its weights).
        feeds: What both run on; gone through once per comparison.
        tolerance: The error allowed for float outputs; None for what fits their dtype.
        as_written: Whether both run without onnxruntime's graph optimisation. A quantized model is then what its
            operators say, whichever of them onnxruntime would fuse to kernels that round otherwise.
    """

    def __init__(
        self,
        original: ir.Model | Path,
        feeds: Iterable[Feed],
        *,
        tolerance: float | None = None,
        as_written: bool = False,
    ) -> None:
        self.original = original
        self.feeds = feeds
        self.tolerance = tolerance
        self.as_written = as_written
        self.session = Session(original, optimize=not as_written)
        self._noise: dict[str, float] | None = None

    def compare(self, model: ir.Model) -> Verdict:
        """Run both on all feeds."""
        try:
            errors, kinds = self._errors(Session(model, optimize=not self.as_written))
        except InvalidModelError as e:
            return Verdict({}, {}, str(e))
        strict = {name: self._tolerance(kind) for name, kind in kinds.items()}
        if self.tolerance is not None or all(errors[name] <= strict[name] for name in strict):
            return Verdict(errors, strict)
        if self._noise is None:
            self._noise = self._errors(Session(self.original, optimize=self.as_written))[0]
        noisy = {name: min(NOISE_FACTOR * self._noise[name], NOISE_LIMIT) for name in strict}
        return Verdict(errors, {name: max(strict[name], noisy[name]) for name in strict})

    def _tolerance(self, kind: str) -> float:
        if kind not in TOLERANCES:
            return INTEGER_TOLERANCE
        return TOLERANCES[kind] if self.tolerance is None or "int" in kind else self.tolerance

    def _errors(self, other: Session) -> tuple[dict[str, float], dict[str, str]]:
        errors = dict.fromkeys(self.session.output_names, 0.0)
        kinds: dict[str, str] = {}
        for feed in track(self.feeds, "comparing outputs"):
            before, after = self.session.run(feed), other.run(feed)
            for name in errors:
                error = output_error(before[name], after.get(name))
                errors[name] = max(errors[name], error)
                kinds[name] = str(before[name].dtype) if isinstance(before[name], np.ndarray) else "other"
        return errors, kinds


def output_error(before: Any, after: Any) -> float:
    """The error of one output of one run.

    Args:
        before: The original's output: an array, or the list or dict that onnxruntime gives for other types.
        after: The changed model's.

    Returns:
        Floats and 8-bit integers: the largest difference over the largest value of `before` (for 8-bit integers over
        255). Other dtypes: the share of elements that differ. Infinity where shape, dtype or the places of NaN,
        infinities and masks differ.
    """
    if not isinstance(before, np.ndarray) or not isinstance(after, np.ndarray):
        return 0.0 if repr(before) == repr(after) else float("inf")
    if before.shape != after.shape or before.dtype != after.dtype:
        return float("inf")
    if before.size == 0:
        return 0.0
    if before.dtype in (np.uint8, np.int8):
        return float(np.abs(before.astype(np.int16) - after.astype(np.int16)).max()) / 255
    if str(before.dtype) not in TOLERANCES:
        return float((before != after).mean())
    return _float_error(before.astype(np.float64), after.astype(np.float64))


def _float_error(before: NDArray[np.float64], after: NDArray[np.float64]) -> float:
    usual = np.isfinite(before) & (np.abs(before) < MASK)
    other_usual = np.isfinite(after) & (np.abs(after) < MASK)
    same = np.where(np.isnan(before), np.isnan(after), np.sign(before) == np.sign(after))
    if not (usual == other_usual).all() or not same[~usual].all():
        return float("inf")
    if not usual.any():
        return 0.0
    scale = np.abs(before[usual]).max()
    return float(np.abs(before[usual] - after[usual]).max() / (scale if scale > 0 else 1.0))
