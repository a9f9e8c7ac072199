"""Second moments of rows and targets, streamed: all that least squares needs of the samples, in bounded memory."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Problem:
    """Least squares for a layer, from averages over its rows: of X^T X, X^T T and T^2, about the means where a bias
    takes those up.

    Attributes:
        rows: How many rows were averaged.
        inner: X^T X / n, [groups, inputs, inputs].
        cross: X^T T / n, [groups, inputs, outputs of a group].
        power: T^2 / n, [groups, outputs of a group].
    """

    rows: int
    inner: Array
    cross: Array
    power: Array

    def is_finite(self) -> bool:
        """Whether no activation overflowed."""
        return all(np.isfinite(array).all() for array in (self.inner, self.cross, self.power))


@dataclass
class _Sums:
    rows: int = 0
    x: Array | float = 0.0
    t: Array | float = 0.0
    xx: Array | float = 0.0
    xt: Array | float = 0.0
    tt: Array | float = 0.0

    def add(self, x: NDArray, t: NDArray) -> None:
        self.rows += x.shape[1]
        turned = x.transpose(0, 2, 1)
        self.x = self.x + x.sum(1, dtype=np.float64)
        self.t = self.t + t.sum(1, dtype=np.float64)
        self.xx = self.xx + (turned @ x).astype(np.float64)
        self.xt = self.xt + (turned @ t).astype(np.float64)
        self.tt = self.tt + np.square(t, dtype=np.float64).sum(1)


@dataclass
class Moments:
    """Sums over the rows of one site, in two folds that can be told apart.

    Products are taken in the rows' own precision about the means of the first batch (so that little cancels), and
    summed in float64.

    Attributes:
        centred: Whether a bias takes up the means.
    """

    centred: bool
    _shift: tuple[NDArray, NDArray] | None = None
    _folds: tuple[_Sums, _Sums] = field(default_factory=lambda: (_Sums(), _Sums()))

    def add(self, x: NDArray, t: NDArray, *, fold: int) -> None:
        """Take rows in.

        Args:
            x: [groups, n, inputs].
            t: [groups, n, outputs of a group].
            fold: 0 or 1.
        """
        if x.shape[1] == 0:
            return
        # Activations that overflow are found by `Problem.is_finite`, once, instead of a warning for each sum.
        with np.errstate(invalid="ignore", over="ignore"):
            if self._shift is None:
                zero = np.zeros_like(x[:, :1]), np.zeros_like(t[:, :1])
                self._shift = (x.mean(1, keepdims=True), t.mean(1, keepdims=True)) if self.centred else zero
            self._folds[fold].add(x - self._shift[0], t - self._shift[1])

    @property
    def rows(self) -> int:
        """Rows of both folds."""
        return sum(fold.rows for fold in self._folds)

    def has_folds(self) -> bool:
        """Whether both folds hold rows."""
        return all(fold.rows for fold in self._folds)

    def problem(self, *folds: int) -> Problem:
        """The averages over the named folds (all without names)."""
        n, x, t, xx, xt, tt = self._total(folds or (0, 1))
        if self.centred:
            xx = xx - x[:, :, None] * x[:, None, :]
            xt = xt - x[:, :, None] * t[:, None, :]
            tt = np.maximum(tt - t * t, 0.0)
        return Problem(n, xx, xt, tt)

    def bias(self, matrix: Array) -> Array:
        """The bias [outputs] that makes the mean of the layer's output right for a weight matrix."""
        assert self._shift is not None  # called after rows were added
        _, x, t, *_ = self._total((0, 1))
        mean_x, mean_t = x + self._shift[0][:, 0], t + self._shift[1][:, 0]
        groups, outputs = mean_t.shape
        product = np.einsum("goi,gi->go", matrix.reshape(groups, outputs, -1), mean_x)
        return (mean_t - product).ravel()

    def _total(self, folds: Sequence[int]) -> tuple[int, Array, Array, Array, Array, Array]:
        chosen = [self._folds[fold] for fold in folds if self._folds[fold].rows]
        n = sum(fold.rows for fold in chosen)
        x, t = sum(f.x for f in chosen) / n, sum(f.t for f in chosen) / n
        xx, xt, tt = (sum(getattr(f, name) for f in chosen) / n for name in ("xx", "xt", "tt"))
        return n, x, t, xx, xt, tt  # type: ignore[return-value]


def joined(problems: Sequence[Problem]) -> Problem:
    """One problem for all sites of a shared weight, each about its own means."""
    if len(problems) == 1:
        return problems[0]
    rows = sum(problem.rows for problem in problems)
    shares = [problem.rows / rows for problem in problems]

    def mean(name: str) -> Array:
        total: Array = sum(s * getattr(p, name) for s, p in zip(shares, problems, strict=True))
        return total

    return Problem(rows, mean("inner"), mean("cross"), mean("power"))
