"""How far onnxruntime's outputs are from torch's, seen against each output's own scale and noise."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgebig.records.export import OutputParity

# The bar may rise to this many times the float32 noise of the module itself (float32 against float64).
NOISE_FACTOR = 10.0
# And never above this share of an output's scale: more is no noise.
HIGHEST_BAR = 0.05
# The bar in steps of the output's own dtype, which matters for half precision.
DTYPE_STEPS = 16.0

Outputs = Mapping[str, NDArray]


@dataclass(frozen=True)
class Miss:
    """A run that is not equal.

    Attributes:
        output: The output; None where the run itself failed.
        at: The run.
        what: How it differs.
    """

    output: str | None
    at: str
    what: str

    def __str__(self) -> str:
        return f"{'' if self.output is None else f'output {self.output!r} '}at {self.at}: {self.what}"


@dataclass
class Tally:
    """Gathers the errors of all runs.

    Args:
        tolerance: The bar asked for.
    """

    tolerance: float
    misses: list[Miss] = field(default_factory=list)
    _worst: dict[str, OutputParity] = field(default_factory=dict)
    _blind: dict[str, str] = field(default_factory=dict)

    def add(self, at: str, reference: Outputs, found: Outputs, exact: Callable[[], Outputs | None]) -> None:
        """Compare one run.

        Args:
            at: Its name, for messages.
            reference: torch's outputs.
            found: onnxruntime's.
            exact: torch's outputs in double precision, or None where the module cannot; called only where needed.
        """
        for name, wanted in reference.items():
            problem = _other_form(wanted, found[name])
            if problem is not None:
                self.misses.append(Miss(name, at, problem))
                continue
            error = relative_error(wanted, found[name])
            if error is None:
                self._blind.setdefault(name, at)
                continue
            bar = self._bar(name, wanted, error, exact)
            if error > bar:
                self.misses.append(Miss(name, at, _distance(wanted, error, bar)))
            if name not in self._worst or error > self._worst[name].worst_error:
                self._worst[name] = OutputParity(output=name, worst_error=error, tolerance=bar, at=at)

    def rows(self) -> tuple[OutputParity, ...]:
        """A row per output that could be compared."""
        return tuple(self._worst.values())

    def close(self) -> None:
        """Add a miss for every output that no run said anything about: only NaN, infinity or no entries."""
        for name, at in self._blind.items():
            if name not in self._worst:
                self.misses.append(Miss(name, at, "no finite entry in any run, so nothing could be compared"))

    def _bar(self, name: str, wanted: NDArray, error: float, exact: Callable[[], Outputs | None]) -> float:
        if wanted.dtype.kind not in "fc":
            return 0.0
        bar = max(self.tolerance, DTYPE_STEPS * float(np.finfo(wanted.dtype).eps))
        precise = exact() if error > bar else None
        if precise is None or precise[name].shape != wanted.shape:
            return bar
        noise = relative_error(precise[name], wanted.astype(precise[name].dtype)) or 0.0
        return max(bar, min(NOISE_FACTOR * noise, HIGHEST_BAR))


def relative_error(wanted: NDArray, found: NDArray) -> float | None:
    """The largest difference of an entry, relative to the root mean square of `wanted`; of finite entries only.

    For whole numbers and booleans, the share of entries that differ. None where there is nothing to compare.
    """
    if wanted.size == 0:
        return None
    if wanted.dtype.kind not in "fc":
        return float(np.mean(wanted != found))
    wide = np.complex128 if wanted.dtype.kind == "c" else np.float64
    finite = np.isfinite(wanted)
    a, b = wanted[finite].astype(wide), found[finite].astype(wide)
    if a.size == 0:
        return None
    scale = float(np.sqrt(np.mean(np.abs(a) ** 2))) or 1.0
    return float(np.max(np.abs(a - b))) / scale


def _other_form(wanted: NDArray, found: NDArray) -> str | None:
    if wanted.shape != found.shape:
        return f"shape {list(found.shape)} from onnxruntime, {list(wanted.shape)} from torch"
    if wanted.dtype != found.dtype:
        return f"dtype {found.dtype} from onnxruntime, {wanted.dtype} from torch"
    if wanted.dtype.kind in "fc":
        special = ~np.isfinite(wanted) | ~np.isfinite(found)
        other = int(np.sum(special) - np.sum(_same_special(wanted[special], found[special])))
        if other:
            return f"{other} of {wanted.size} entries are NaN or infinite on one side only"
    return None


def _same_special(a: NDArray, b: NDArray) -> NDArray:
    return (a == b) | (np.isnan(a) & np.isnan(b))


def _distance(wanted: NDArray, error: float, bar: float) -> str:
    if wanted.dtype.kind in "fc":
        return f"off by {error:.2g} of its scale (root mean square); the bar is {bar:.2g}"
    return f"{error:.1%} of its {wanted.dtype} entries differ; they must be equal"
