"""The check of one feed."""

import numpy as np
import pytest

from edgebig.data.feeds import InputSpec, check_feed
from edgebig.errors import InvalidDataError

FLOAT = np.dtype(np.float32)


def test_a_spec_in_words() -> None:
    assert str(InputSpec("x", FLOAT, ("batch", None, 3))) == "x: float32 [batchx?x3]"
    assert str(InputSpec("x", FLOAT, None)) == "x: float32 [?]"
    assert str(InputSpec("x", FLOAT, ())) == "x: float32 []"


def test_feeds_that_fit() -> None:
    inputs = [InputSpec("x", FLOAT, ("n", "n", 2)), InputSpec("s", np.dtype(bool), ()), InputSpec("f", FLOAT, None)]
    feed = {"x": np.ones((3, 3, 2), np.float32), "s": np.array(True), "f": np.ones(7, np.float32)}
    check_feed(feed, inputs, where="here")
    with pytest.raises(InvalidDataError, match="here: axis 'n' is 4 in 'x' but 3 in 'x'"):
        check_feed({**feed, "x": np.ones((3, 4, 2), np.float32)}, inputs, where="here")


def test_half_precision_and_integers() -> None:
    check_feed({"x": np.ones(2, np.float16)}, [InputSpec("x", np.dtype(np.float16), (2,))], where="here")
    check_feed({"x": np.ones(2, np.int64)}, [InputSpec("x", np.dtype(np.int64), (2,))], where="here")
    with pytest.raises(InvalidDataError, match="2 NaN or infinite"):
        check_feed({"x": np.full(2, np.inf, np.float16)}, [InputSpec("x", np.dtype(np.float16), (2,))], where="here")
