"""Sums over streamed samples that a tensor's errors are made of."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NO_SIGNAL = 1e-30


@dataclass
class ErrorSums:
    """Sums of a float tensor against its counterpart, over the numbers that count.

    Attributes:
        count: Numbers.
        signal: Sum of squares of the float tensor.
        noise: Sum of squares of the difference.
        shift: Sum of the difference (counterpart minus float).
        product: Sum of products.
        energy: Sum of squares of the counterpart.
        broken: Numbers that are not finite in the counterpart.
        other_shapes: Feeds on which the shapes differ; they count nowhere else.
        channel_shift: The difference summed by channel; None without channels.
        channel_noise: Its square likewise.
        channel_signal: The square of the float tensor likewise.
        channel_count: Numbers in a channel.
    """

    count: int = 0
    signal: float = 0.0
    noise: float = 0.0
    shift: float = 0.0
    product: float = 0.0
    energy: float = 0.0
    broken: int = 0
    other_shapes: int = 0
    channel_shift: NDArray | None = None
    channel_noise: NDArray | None = None
    channel_signal: NDArray | None = None
    channel_count: int = 0

    def add(self, reference: NDArray, changed: NDArray, counts: NDArray, axis: int | None = None) -> None:
        """Take both arrays of one feed.

        Args:
            reference: The float model's.
            changed: The counterpart, of any float dtype.
            counts: Which numbers count, of the reference's shape.
            axis: The axis of channels; None without.
        """
        if reference.shape != changed.shape:
            self.other_shapes += 1
            return
        good = np.isfinite(changed)
        self.broken += int((counts & ~good).sum())
        keep = counts & good
        a = np.where(keep, reference, 0.0).astype(np.float64)
        b = np.where(keep, changed, 0.0).astype(np.float64)
        difference = b - a
        self.count += int(keep.sum())
        self.signal += float(np.vdot(a, a))
        self.energy += float(np.vdot(b, b))
        self.product += float(np.vdot(a, b))
        self.noise += float(np.vdot(difference, difference))
        self.shift += float(difference.sum())
        if axis is not None:
            rest = tuple(index for index in range(a.ndim) if index != axis)
            self._add_channels(difference.sum(rest), np.square(difference).sum(rest), np.square(a).sum(rest))
            self.channel_count += a.size // max(a.shape[axis], 1)

    def _add_channels(self, shift: NDArray, noise: NDArray, signal: NDArray) -> None:
        if self.channel_shift is None or self.channel_noise is None or self.channel_signal is None:
            self.channel_shift, self.channel_noise, self.channel_signal = shift, noise, signal
        elif self.channel_shift.shape == shift.shape:
            self.channel_shift = self.channel_shift + shift
            self.channel_noise = self.channel_noise + noise
            self.channel_signal = self.channel_signal + signal

    @property
    def sqnr_db(self) -> float | None:
        """Signal to noise in dB; infinite when equal, minus infinity for NaN; None where nothing was compared."""
        if self.broken:
            return float("-inf")
        if not self.count:
            return None
        if self.noise <= 0.0:
            return float("inf")
        return float(10.0 * np.log10(max(self.signal, NO_SIGNAL) / self.noise))

    @property
    def cosine(self) -> float | None:
        """Of both tensors seen as one vector; None where one is zero."""
        norms = (self.signal * self.energy) ** 0.5
        return self.product / norms if norms > 0 else None

    @property
    def mean_shift(self) -> float | None:
        """Mean of the difference."""
        return self.shift / self.count if self.count else None

    @property
    def shift_share(self) -> float:
        """Share of the noise that is a constant shift of channels, which a bias could take back: 0 to 1."""
        if self.channel_shift is None or not self.channel_count or self.noise <= 0:
            return 0.0
        return min(float(np.square(self.channel_shift).sum() / self.channel_count / self.noise), 1.0)

    @property
    def typical_db(self) -> float | None:
        """Median over the channels of their signal to noise in dB; None without channels."""
        if self.channel_noise is None or self.channel_signal is None:
            return None
        alive = self.channel_signal > 0
        if not alive.any():
            return None
        ratios = self.channel_signal[alive] / np.maximum(self.channel_noise[alive], NO_SIGNAL)
        return float(10.0 * np.log10(np.median(ratios)))
