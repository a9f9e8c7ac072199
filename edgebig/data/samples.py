"""Samples that a user brings: an `.npz`, an `.npy`, a folder of `.npz`, or `module:callable`, as feeds for a model.

An array of the input's rank has its samples on axis 0 and is taken in batches (one at a time where the model's
batch is fixed at 1); an array of one rank more holds one whole feed per entry. A folder holds one feed per file,
read when its turn comes, so that memory does not grow with the number of samples.
"""

import itertools
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgebig.data.callables import is_callable_spec, load_callable
from edgebig.data.feeds import Feed, InputSpec, check_feed, check_finite, check_names
from edgebig.errors import EdgebigError, InvalidDataError, UsageError

DEFAULT_BATCH = 32


@dataclass(frozen=True)
class Samples:
    """Feeds that can be gone through again and again, checked against the model as they are read.

    Attributes:
        source: Where they come from, in the user's words.
        feeds: How many feeds there are; None while unknown (a callable's).
        files: The files read, for provenance; empty for a callable.
        _open: Starts a new walk over all feeds.
        _select: Whether the feed of an index belongs to this part (see `split`); None: all do.
    """

    source: str
    feeds: int | None
    files: tuple[Path, ...]
    _open: Callable[[], Iterator[Feed]]
    _select: Callable[[int], bool] | None = None

    def __iter__(self) -> Iterator[Feed]:
        """Yield the feeds, one model run each."""
        for index, feed in enumerate(self._open()):
            if self._select is None or self._select(index):
                yield feed

    def split(self, every: int = 4) -> tuple["Samples", "Samples"]:
        """Return two disjoint parts: all feeds but each `every`-th, and each `every`-th (held out).

        With fewer than two feeds both parts are the whole, since neither may be empty.
        """
        if self.feeds is not None and self.feeds < 2:
            return self, self
        every = every if self.feeds is None else min(every, self.feeds)
        held_out = None if self.feeds is None else self.feeds // every
        kept = None if self.feeds is None or held_out is None else self.feeds - held_out
        whole = replace(self, _open=self.__iter__, _select=None)  # a part can be split again
        return (
            replace(whole, feeds=kept, _select=lambda index: index % every != every - 1),
            replace(whole, feeds=held_out, _select=lambda index: index % every == every - 1),
        )


def open_samples(
    source: str | Path | Mapping[str, NDArray] | Sequence[Feed] | Samples,
    inputs: Sequence[InputSpec],
    *,
    batch_size: int = DEFAULT_BATCH,
    limit: int | None = None,
) -> Samples:
    """Open samples and check that they fit the model's inputs.

    Args:
        source: An `.npz`, an `.npy` (models of one input), a folder of `.npz`, `module:callable`; in Python also a
            dict of arrays with the meaning of an `.npz`, a list of feeds, or Samples.
        inputs: The model's inputs.
        batch_size: How many samples of axis 0 make one feed.
        limit: At most this many samples (of arrays) or feeds (of folders, lists and callables).

    Raises:
        InvalidDataError: Missing or unreadable files, or samples that do not fit (see `check_feed`).
        UsageError: `source` has none of the allowed forms.
    """
    if isinstance(source, Samples):
        return source
    if isinstance(source, Mapping):
        arrays = {name: np.asarray(array) for name, array in source.items()}
        return _from_arrays(arrays, inputs, batch_size, limit, "samples", ())
    if not isinstance(source, str | Path):
        return _from_list(list(source), inputs, limit)
    path, text = Path(source), str(source)
    if path.is_dir():
        return _from_folder(path, inputs, limit)
    if path.suffix == ".npz":
        return _from_arrays(read_npz(path), inputs, batch_size, limit, text, (path,))
    if path.suffix == ".npy":
        return _from_arrays(_read_npy(path, inputs), inputs, batch_size, limit, text, (path,))
    if is_callable_spec(text):
        return _from_callable(text, inputs, limit)
    if not path.exists():
        raise InvalidDataError(
            f"samples {text!r} do not exist. Give an .npz, an .npy, a folder of .npz, or module:callable."
        )
    raise UsageError(
        f"samples {text!r} have an unknown form. Give an .npz, an .npy, a folder of .npz, or module:callable."
    )


def read_npz(path: Path) -> dict[str, NDArray]:
    """Read all arrays of an `.npz`, refusing pickled ones.

    Raises:
        InvalidDataError: Missing, truncated, not an `.npz`, or holding Python objects.
    """
    if not path.is_file():
        raise InvalidDataError(f"samples {path} do not exist")
    try:
        archive = np.load(path, allow_pickle=False)
        arrays: dict[str, NDArray] = {}
        if not isinstance(archive, np.ndarray):
            with archive:
                arrays = {name: archive[name] for name in archive.files}
    except Exception as e:  # on damaged files NumPy, zipfile, zlib and tokenize raise many classes
        raise InvalidDataError(f"samples {path} cannot be read: {e}. They must be an .npz of plain arrays.") from e
    if isinstance(archive, np.ndarray):
        raise InvalidDataError(f"samples {path} are an .npy by their content. Name the file .npy.")
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise InvalidDataError(f"samples {path}: the entry {name!r} is no array. They must be an .npz of arrays.")
    return arrays


def _read_npy(path: Path, inputs: Sequence[InputSpec]) -> dict[str, NDArray]:
    if len(inputs) != 1:
        names = ", ".join(spec.name for spec in inputs)
        raise InvalidDataError(f"samples {path}: an .npy fits models of one input; this one has {names}. Give an .npz.")
    if not path.is_file():
        raise InvalidDataError(f"samples {path} do not exist")
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as e:  # on damaged files NumPy, zipfile, zlib and tokenize raise many classes
        raise InvalidDataError(f"samples {path} cannot be read: {e}. They must be an .npy of a plain array.") from e
    if not isinstance(array, np.ndarray):
        raise InvalidDataError(f"samples {path} are an .npz by their content. Name the file .npz.")
    return {inputs[0].name: array}


def _from_arrays(
    arrays: dict[str, NDArray],
    inputs: Sequence[InputSpec],
    batch_size: int,
    limit: int | None,
    where: str,
    files: tuple[Path, ...],
) -> Samples:
    check_names(arrays.keys(), inputs, where=where)
    for name, array in arrays.items():
        check_finite(name, array, where=where)
        if array.size == 0:
            raise InvalidDataError(f"{where}: {name!r} holds no samples (shape {array.shape})")
    counts = {name: len(array) if array.ndim else 0 for name, array in arrays.items()}
    if len(set(counts.values())) != 1 or not all(counts.values()):
        raise InvalidDataError(f"{where}: the inputs have different numbers of samples on axis 0: {counts}")
    total = min(next(iter(counts.values())), limit or 1 << 62)
    whole = {_holds_whole_feeds(arrays[spec.name], spec) for spec in inputs}
    if len(whole) != 1:
        raise InvalidDataError(f"{where}: some inputs hold batches and others whole feeds; give all of them one form")
    fixed = None if whole == {True} else _fixed_batch(inputs)
    step = 1 if whole == {True} else fixed or batch_size
    if fixed and total < fixed:
        raise InvalidDataError(f"{where}: {total} samples, the model takes batches of {fixed}")
    # A fixed batch takes whole batches only; a dynamic one also the shorter rest.
    starts = range(0, total - step + 1 if fixed else total, step)

    def feeds() -> Iterator[Feed]:
        for start in starts:
            rows = {name: array[start : min(start + step, total)] for name, array in arrays.items()}
            yield {name: row[0] for name, row in rows.items()} if whole == {True} else dict(rows)

    check_feed(next(feeds()), inputs, where=where)
    return Samples(where, len(starts), files, feeds)


def _holds_whole_feeds(array: NDArray, spec: InputSpec) -> bool:
    return spec.shape is not None and array.ndim == len(spec.shape) + 1


def _fixed_batch(inputs: Sequence[InputSpec]) -> int | None:
    sizes = [spec.shape[0] for spec in inputs if spec.shape]
    return next((size for size in sizes if isinstance(size, int)), None)


def _from_list(feeds: list[Feed], inputs: Sequence[InputSpec], limit: int | None) -> Samples:
    if not feeds:
        raise InvalidDataError("samples: the list holds no feeds")
    checked = [_checked(feed, inputs, f"samples, feed {index}") for index, feed in enumerate(feeds[:limit])]
    return Samples("samples", len(checked), (), lambda: iter(checked))


def _checked(feed: object, inputs: Sequence[InputSpec], where: str) -> Feed:
    """A feed as a user's code made it: a mapping of what NumPy takes for arrays."""
    if not isinstance(feed, Mapping):
        raise InvalidDataError(f"{where}: a feed is a dict of input name -> array, got {type(feed).__name__}")
    arrays = {name: np.asarray(array) for name, array in feed.items()}
    check_feed(arrays, inputs, where=where)
    return arrays


def _from_folder(folder: Path, inputs: Sequence[InputSpec], limit: int | None) -> Samples:
    paths = sorted(folder.glob("*.npz"))[:limit]
    if not paths:
        raise InvalidDataError(f"samples {folder}: the folder holds no .npz files")

    def feeds() -> Iterator[Feed]:
        for path in paths:
            feed = read_npz(path)
            check_feed(feed, inputs, where=str(path))
            yield feed

    next(feeds())
    return Samples(str(folder), len(paths), tuple(paths), feeds)


def _from_callable(spec: str, inputs: Sequence[InputSpec], limit: int | None) -> Samples:
    function = load_callable(spec, purpose="--data")

    seen: list[int] = []

    def feeds() -> Iterator[Feed]:
        try:
            for index, feed in enumerate(itertools.islice(function(), limit)):
                arrays = _checked(feed, inputs, f"{spec}, feed {index}")
                _check_same(arrays, seen, index, spec)
                yield arrays
        except EdgebigError:
            raise
        except Exception as e:  # the user's function may fail in any way
            raise InvalidDataError(f"samples {spec}: it failed with {type(e).__name__}: {e}") from e

    if next(feeds(), None) is None:
        raise InvalidDataError(f"samples {spec}: it yielded no feeds")
    return Samples(spec, None, (), feeds)


def _check_same(feed: Feed, seen: list[int], index: int, spec: str) -> None:
    """Refuse a callable whose feeds change from walk to walk: two models would be compared on different samples."""
    checksum = 0
    for name, array in sorted(feed.items()):
        checksum = zlib.crc32(array.tobytes(), zlib.crc32(name.encode(), checksum))
    if index == len(seen):
        seen.append(checksum)
    elif seen[index] != checksum:
        raise InvalidDataError(
            f"samples {spec}: feed {index} is not the same as the first time. Make it repeatable: seed what is random."
        )
