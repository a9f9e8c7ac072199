"""Statistics in a file: what a run has gathered, for the next one over the same model and samples.

The file is an `.npz` of plain arrays, never a pickle. One that cannot be read, or does not fit, counts as none.
"""

import io
import json
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebig.quantize.calibrate.histogram import SMALLEST_EXPONENT
from edgebig.quantize.calibrate.moments import Moments
from edgebig.quantize.calibrate.statistics import TensorStatistics
from edgebig.runtime.cache_files import facts_of, read, remove, remove_unfinished, stamp, write_whole

FORMAT = "edgebig statistics 2"
# Files beyond this, those used last excepted, are removed.
LIMIT_BYTES = 256 << 20
_NO_EXPONENT = np.iinfo(np.int32).min
_NO_CHANNELS = -1


@dataclass(frozen=True)
class Found:
    """What a file holds.

    Attributes:
        feeds: Feeds that went in.
        digest: Of those feeds, in order.
        arrays: The statistics.
    """

    feeds: int
    digest: str
    arrays: Mapping[str, NDArray]

    def restore(self, statistics: Mapping[str, TensorStatistics]) -> None:
        """Put all into the statistics that the file was checked against."""
        a, start = self.arrays, 0
        for i, found in enumerate(statistics.values()):
            found.low, found.high = (float(x) for x in a["extremes"][i])
            found.count, found.feeds = int(a["count"][i]), int(a["feeds"][i])
            if found.histogram is not None:
                found.histogram.counts[:] = a["counts"][i, : found.histogram.counts.size]
                exponent = int(a["exponent"][i])
                found.histogram.exponent = None if exponent == _NO_EXPONENT else exponent
            size = int(a["channels"][i])
            if size != _NO_CHANNELS:
                part = slice(start, start + size)
                low, high, sums, squares = (a[f"channel_{name}"][part].copy() for name in _CHANNEL_ARRAYS)
                found.channels = Moments(low, high, sums, squares, int(a["channel_count"][i]))
                start += size


class StatisticsFile:
    """Where the statistics of one model on one set of samples are kept.

    Args:
        path: The file, in a folder of such files.
        every: Seconds from one saving to the next while samples are gone through.
        least: Seconds that must have gone by for the last saving: what is gathered faster is not worth a file.
    """

    def __init__(self, path: Path, *, every: float = 30.0, least: float = 2.0) -> None:
        self.path = path
        self._every = every
        self._least = least
        self._began = self._saved = time.monotonic()

    def is_due(self) -> bool:
        """Whether it is time to save."""
        return time.monotonic() - self._saved >= self._every

    def save(self, statistics: Mapping[str, TensorStatistics], feeds: int, digest: str) -> None:
        """Write the file, whole or not at all; a full disk or a folder that cannot be written is no error here."""
        buffer = io.BytesIO()
        header = json.dumps({"format": FORMAT, "feeds": feeds, "digest": digest, "tensors": _tensors(statistics)})
        arrays: dict[str, Any] = {"header": np.frombuffer(header.encode(), np.uint8), **_arrays(statistics)}
        np.savez_compressed(buffer, **arrays)
        try:
            write_whole(self.path, buffer.getvalue())
        except OSError:
            return  # it only costs the next run's time
        self._saved = time.monotonic()
        _trim(self.path.parent)

    def save_last(self, statistics: Mapping[str, TensorStatistics], feeds: int, digest: str) -> None:
        """Write the file, if gathering took long enough."""
        if time.monotonic() - self._began >= self._least:
            self.save(statistics, feeds, digest)

    def load(self, statistics: Mapping[str, TensorStatistics]) -> Found | None:
        """What the file holds of these tensors; None where there is none, or it is damaged or of others."""
        try:
            with np.load(io.BytesIO(read(self.path)), allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            header = json.loads(arrays.pop("header").tobytes())
            fits = header["format"] == FORMAT and header["tensors"] == _tensors(statistics)
            found = Found(int(header["feeds"]), str(header["digest"]), arrays)
        except (ValueError, KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile, NotImplementedError):
            return None
        if not fits or found.feeds < 1 or not _are_sound(arrays, len(statistics)):
            return None
        stamp(self.path)
        return found


_CHANNEL_ARRAYS: dict[str, type] = {"low": np.float32, "high": np.float32, "sums": np.float64, "squares": np.float64}


def _tensors(statistics: Mapping[str, TensorStatistics]) -> list[list[object]]:
    """What is gathered of each tensor, as JSON gives it back."""
    return [
        [name, found.channel_axis, None if found.histogram is None else found.histogram.counts.size]
        for name, found in statistics.items()
    ]


def _arrays(statistics: Mapping[str, TensorStatistics]) -> dict[str, NDArray]:
    all_found = list(statistics.values())
    bins = max((found.histogram.counts.size for found in all_found if found.histogram is not None), default=0)
    counts = np.zeros((len(all_found), bins), np.int64)
    exponents = np.full(len(all_found), _NO_EXPONENT, np.int32)
    for i, found in enumerate(all_found):
        if found.histogram is not None:
            counts[i, : found.histogram.counts.size] = found.histogram.counts
            exponents[i] = _NO_EXPONENT if found.histogram.exponent is None else found.histogram.exponent
    channels = [found.channels for found in all_found]
    arrays: dict[str, NDArray] = {
        "extremes": np.array([[found.low, found.high] for found in all_found], np.float64),
        "count": np.array([found.count for found in all_found], np.int64),
        "feeds": np.array([found.feeds for found in all_found], np.int64),
        "counts": counts,
        "exponent": exponents,
        "channels": np.array([_NO_CHANNELS if c is None else c.low.size for c in channels], np.int64),
        "channel_count": np.array([0 if c is None else c.count for c in channels], np.int64),
    }
    for name, dtype in _CHANNEL_ARRAYS.items():
        parts = [getattr(found, name) for found in channels if found is not None]
        arrays[f"channel_{name}"] = np.concatenate([np.zeros(0, dtype), *parts], dtype=dtype)
    return arrays


def _are_sound(arrays: Mapping[str, NDArray], tensors: int) -> bool:
    """Whether the arrays have the shapes, dtypes and values that gathering gives."""
    per_tensor = {"count": np.int64, "feeds": np.int64, "exponent": np.int32, "channels": np.int64}
    per_tensor["channel_count"] = np.int64
    names = {"extremes", "counts", *per_tensor, *(f"channel_{name}" for name in _CHANNEL_ARRAYS)}
    if set(arrays) != names or any(
        arrays[n].shape != (tensors,) or arrays[n].dtype != d for n, d in per_tensor.items()
    ):
        return False
    counts, extremes = arrays["counts"], arrays["extremes"]
    if counts.dtype != np.int64 or counts.ndim != 2 or len(counts) != tensors or (counts < 0).any():
        return False
    if extremes.shape != (tensors, 2) or extremes.dtype != np.float64 or np.isnan(extremes).any():
        return False
    known = arrays["exponent"][arrays["exponent"] != _NO_EXPONENT]
    if ((known < SMALLEST_EXPONENT) | (known > np.finfo(np.float32).maxexp)).any():
        return False
    total = int(arrays["channels"][arrays["channels"] > 0].sum())
    return all(
        arrays[f"channel_{name}"].shape == (total,) and arrays[f"channel_{name}"].dtype == dtype
        for name, dtype in _CHANNEL_ARRAYS.items()
    )


def _trim(folder: Path) -> None:
    """Remove what was not used for longest, until the rest is within the limit."""
    remove_unfinished(folder)
    files = {path: facts for path in folder.glob("*.npz") if (facts := facts_of(path)) is not None}
    total = 0
    for path in sorted(files, key=lambda path: -files[path].st_mtime):
        total += files[path].st_size
        if total > LIMIT_BYTES:
            remove([path])
