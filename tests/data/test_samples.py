"""Samples: every form of them, what is checked, and what damaged files are told."""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgebig.data.feeds import InputSpec
from edgebig.data.samples import Samples, open_samples
from edgebig.errors import InvalidDataError, UsageError

FLOAT = np.dtype(np.float32)
DYNAMIC = [InputSpec("x", FLOAT, ("batch", 3))]
FIXED = [InputSpec("x", FLOAT, (4, 3))]
TWO = [InputSpec("x", FLOAT, ("batch", 3)), InputSpec("ids", np.dtype(np.int64), ("batch", "length"))]
X = np.arange(30, dtype=np.float32).reshape(10, 3)


def sizes(samples: Samples, name: str = "x") -> list[int]:
    return [len(feed[name]) for feed in samples]


def joined(samples: Samples) -> NDArray:
    return np.concatenate([feed["x"] for feed in samples])


@pytest.mark.parametrize(
    ("inputs", "batch", "limit", "expected"),
    [
        (DYNAMIC, 4, None, [4, 4, 2]),
        (DYNAMIC, 32, None, [10]),
        (DYNAMIC, 4, 5, [4, 1]),
        (DYNAMIC, 1, 3, [1, 1, 1]),
        (FIXED, 32, None, [4, 4]),
        (FIXED, 32, 7, [4]),
        ([InputSpec("x", FLOAT, (1, 3))], 32, None, [1] * 10),
        ([InputSpec("x", FLOAT, (None, 3))], 6, None, [6, 4]),
        ([InputSpec("x", FLOAT, None)], 6, None, [6, 4]),
    ],
)
def test_arrays_are_taken_in_batches(
    inputs: list[InputSpec], batch: int, limit: int | None, expected: list[int]
) -> None:
    samples = open_samples({"x": X}, inputs, batch_size=batch, limit=limit)
    assert sizes(samples) == expected
    assert samples.feeds == len(expected)
    np.testing.assert_array_equal(joined(samples), X[: sum(expected)])
    assert sizes(samples) == expected  # and again


def test_one_rank_more_holds_whole_feeds() -> None:
    arrays = {"x": X.reshape(5, 2, 3), "ids": np.ones((5, 2, 7), np.int64)}
    samples = open_samples(arrays, TWO, batch_size=4)
    assert [(feed["x"].shape, feed["ids"].shape) for feed in samples] == [((2, 3), (2, 7))] * 5
    state = [InputSpec("x", FLOAT, (2, "batch", 3)), InputSpec("rate", np.dtype(np.int64), ())]
    feeds = list(open_samples({"x": np.ones((4, 2, 1, 3), np.float32), "rate": np.arange(4)}, state))
    assert [int(feed["rate"]) for feed in feeds] == [0, 1, 2, 3]


def test_every_form_gives_the_same_feeds(tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", x=X)
    np.save(tmp_path / "s.npy", X)
    (tmp_path / "folder").mkdir()
    for index, start in enumerate(range(0, 10, 4)):
        np.savez_compressed(tmp_path / "folder" / f"{index}.npz", x=X[start : start + 4])
    (tmp_path / "feeds.py").write_text(
        "import numpy as np\ndef feeds():\n    x = np.arange(30, dtype=np.float32).reshape(10, 3)\n"
        "    for start in range(0, 10, 4):\n        yield {'x': x[start:start + 4]}\n"
    )
    forms: list[Any] = [{"x": X}, {"x": list(X)}, [{"x": X[:4]}, {"x": X[4:8]}, {"x": X[8:]}]]
    forms += [tmp_path / "s.npz", str(tmp_path / "s.npy"), tmp_path / "folder", f"{tmp_path / 'feeds.py'}:feeds"]
    for form in forms:
        samples = open_samples(form, DYNAMIC, batch_size=4)
        assert sizes(samples) == [4, 4, 2], form
        np.testing.assert_array_equal(joined(samples), X)
        assert open_samples(samples, DYNAMIC) is samples


def test_the_files_are_named_for_provenance(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=X)
    assert open_samples(tmp_path / "a.npz", DYNAMIC).files == (tmp_path / "a.npz",)
    assert open_samples(tmp_path, DYNAMIC).files == (tmp_path / "a.npz",)
    assert open_samples({"x": X}, DYNAMIC).files == ()


def test_a_folder_is_read_one_file_at_a_time(tmp_path: Path) -> None:
    for index in range(3):
        np.savez(tmp_path / f"{index}.npz", x=X[index : index + 1])
    walk = iter(open_samples(tmp_path, DYNAMIC))
    next(walk)
    np.savez(tmp_path / "1.npz", x=X[:2])
    assert len(next(walk)["x"]) == 2


@pytest.mark.parametrize("feeds", [2, 3, 4, 5, 8, 11])
@pytest.mark.parametrize("every", [2, 4])
def test_split_is_disjoint_and_complete(feeds: int, every: int) -> None:
    whole = open_samples([{"x": X[:1] + index} for index in range(feeds)], DYNAMIC)
    kept, held = whole.split(every)
    first, second = ([float(feed["x"][0, 0]) for feed in part] for part in (kept, held))
    assert sorted(first + second) == list(range(feeds))
    assert (kept.feeds, held.feeds) == (len(first), len(second))
    assert first
    assert second
    again = [float(feed["x"][0, 0]) for part in kept.split(2) for feed in part]
    assert sorted(again) == sorted(first * (2 if len(first) < 2 else 1))


def test_a_single_feed_is_both_parts() -> None:
    whole = open_samples([{"x": X}], DYNAMIC)
    assert whole.split() == (whole, whole)


@pytest.mark.parametrize(
    ("source", "inputs", "words"),
    [
        ({"y": X}, DYNAMIC, r"missing 'x'; unknown 'y'. The model takes x: float32 \[batchx3\]"),
        ({"x": X.astype(np.float64)}, DYNAMIC, r"dtype float64, the model takes float32.*array.astype\('float32'\)"),
        ({"x": X.reshape(6, 5)}, DYNAMIC, r"shape \(6, 5\), the model takes"),
        ({"x": X[0]}, DYNAMIC, "the model takes"),
        ({"x": X[:0]}, DYNAMIC, "holds no samples"),
        ({"x": X[:3]}, FIXED, "3 samples, the model takes batches of 4"),
        ({"x": np.where(X == 5, np.nan, X).astype(np.float32)}, DYNAMIC, "1 NaN or infinite"),
        ({"x": np.where(X > 27, np.inf, X).astype(np.float32)}, DYNAMIC, "2 NaN or infinite"),
        ({"x": X, "ids": np.ones((9, 2), np.int64)}, TWO, "different numbers of samples"),
        ({"x": X[:, None], "ids": np.ones((10, 2), np.int64)}, TWO, "some inputs hold batches and others whole feeds"),
        ([], DYNAMIC, "the list holds no feeds"),
        ([X], DYNAMIC, "a feed is a dict of input name -> array, got ndarray"),
        ([{"x": X}, {"x": X[:, :2]}], DYNAMIC, "feed 1: 'x' has shape"),
        ([{"x": X, "ids": np.ones((9, 2), np.int64)}], TWO, "axis 'batch' is 9 in 'ids' but 10 in 'x'"),
    ],
)
def test_samples_that_do_not_fit(source: Any, inputs: list[InputSpec], words: str) -> None:
    with pytest.raises(InvalidDataError, match=words):
        open_samples(source, inputs)


def test_files_that_are_no_samples(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("not a zip")
    np.savez(tmp_path / "objects.npz", x=np.array([{}, 1], object))
    np.save(tmp_path / "really.npy", X)
    (tmp_path / "really.npy").rename(tmp_path / "array.npz")
    np.savez(tmp_path / "really.npz", x=X)
    (tmp_path / "really.npz").rename(tmp_path / "archive.npy")
    with zipfile.ZipFile(tmp_path / "zip.npz", "w") as archive:
        archive.writestr("x", "hello")
    (tmp_path / "empty").mkdir()
    (tmp_path / "s.csv").write_text("1,2")
    for name, words in {
        "text.npz": "cannot be read",
        "objects.npz": "cannot be read",
        "array.npz": "an .npy by their content",
        "archive.npy": "an .npz by their content",
        "zip.npz": "entry 'x' is no array",
        "empty": "holds no .npz files",
        "none.npz": "do not exist",
        "none.npy": "do not exist",
        "none": "do not exist",
    }.items():
        with pytest.raises(InvalidDataError, match=words):
            open_samples(tmp_path / name, DYNAMIC)
    with pytest.raises(UsageError, match="unknown form"):
        open_samples(tmp_path / "s.csv", DYNAMIC)
    with pytest.raises(InvalidDataError, match="fits models of one input"):
        open_samples(tmp_path / "none.npy", TWO)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damaged_files_never_end_in_a_traceback(tmp_path: Path, data: st.DataObject) -> None:
    """Cut short or with bytes changed, a file is either read or refused as invalid data."""
    kind = data.draw(st.sampled_from(["npz", "compressed.npz", "npy"]))
    path = tmp_path / f"s.{kind}"
    if kind == "npy":
        np.save(path, X)
    else:
        (np.savez_compressed if kind.startswith("c") else np.savez)(path, x=X)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        samples = open_samples(path, DYNAMIC)
    except InvalidDataError as e:
        assert str(path) in str(e)
    else:
        assert all(feed["x"].dtype == np.float32 for feed in samples)


CALLABLE = """
import numpy as np
X = np.ones((2, 3), np.float32)
count = 0
def good():
    return [{"x": X}, {"x": [row * 2 for row in X]}]
def broken():
    yield {"x": X}
    raise RuntimeError("no more")
def nothing():
    return []
def number():
    return 5
def wrong():
    yield {"x": X.astype(np.float64)}
def random():
    global count
    count += 1
    yield {"x": X * count}
"""


def test_callables(tmp_path: Path) -> None:
    (tmp_path / "c.py").write_text(CALLABLE)

    def opened(name: str, limit: int | None = None) -> Samples:
        return open_samples(f"{tmp_path / 'c.py'}:{name}", DYNAMIC, limit=limit)

    assert opened("good").feeds is None
    assert len(list(opened("good"))) == 2
    assert len(list(opened("good", limit=1))) == 1
    assert [len(list(part)) for part in opened("good").split(2)] == [1, 1]
    for name, words in {
        "nothing": "yielded no feeds",
        "number": "failed with TypeError",
        "wrong": "feed 0: 'x' has dtype float64",
    }.items():
        with pytest.raises(InvalidDataError, match=words):
            opened(name)
    with pytest.raises(InvalidDataError, match="failed with RuntimeError: no more"):
        list(opened("broken"))
    with pytest.raises(InvalidDataError, match="feed 0 is not the same as the first time"):
        list(opened("random"))


def test_a_walk_does_not_end_another() -> None:
    samples = open_samples({"x": X}, DYNAMIC, batch_size=5)
    first: Iterator[Any] = iter(samples)
    next(first)
    assert sizes(samples) == [5, 5]
    assert len(list(first)) == 1
