"""The sizes at which a model is verified."""

import pytest

from edgebig.errors import UsageError
from edgebig.export.input_specs import AxisSize
from edgebig.export.sizes import LIMIT, describe_sizes, sizes_to_verify


def test_the_example_comes_first_and_each_axis_varies_alone_and_together() -> None:
    plan = sizes_to_verify({"batch": AxisSize(2), "length": AxisSize(7)}, {})
    assert plan[0] == {"batch": 2, "length": 7}
    alone = {sizes["length"] for sizes in plan if sizes["batch"] == 2}
    assert {1, 2, 3, 7, 14, 15} <= alone
    assert {1, 2, 3, 4, 5} <= {sizes["batch"] for sizes in plan if sizes["length"] == 7}
    assert all(sizes in plan for sizes in ({"batch": n, "length": n} for n in (1, 2, 3)))
    assert {"batch": 4, "length": 14} in plan
    assert len({tuple(sizes.items()) for sizes in plan}) == len(plan) <= LIMIT


def test_requested_sizes_replace_an_axis_own() -> None:
    plan = sizes_to_verify({"batch": AxisSize(2), "length": AxisSize(7)}, {"length": (8, 16)})
    assert {sizes["length"] for sizes in plan} == {7, 8, 16}


def test_the_size_just_above_a_bound_is_tried() -> None:
    plan = sizes_to_verify({"batch": AxisSize(2)}, {}, {"batch": 10})
    assert {"batch": 10} in plan
    assert {"batch": 11} in plan


def test_a_range_is_kept() -> None:
    plan = sizes_to_verify({"batch": AxisSize(4, low=2, high=8)}, {})
    assert sorted(sizes["batch"] for sizes in plan) == [2, 3, 4, 8]


def test_without_dynamic_axes_there_is_one_run() -> None:
    assert sizes_to_verify({}, {}) == [{}]
    assert describe_sizes({}) == "fixed sizes"


def test_many_axes_stay_bounded() -> None:
    assert len(sizes_to_verify({f"axis{i}": AxisSize(5 + i) for i in range(9)}, {})) == LIMIT


def test_sizes_of_an_unknown_axis_are_refused() -> None:
    with pytest.raises(UsageError, match=r"'size', which is no dynamic axis. Dynamic axes: batch"):
        sizes_to_verify({"batch": AxisSize(2)}, {"size": (1,)})
