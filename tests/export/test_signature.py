"""Inputs to parameters."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from edgebig.errors import UsageError
from edgebig.export.signature import Binding, bind


def _plain(ids: Any, mask: Any, bias: Any = None) -> None: ...


def _named(x: Any, *, scale: Any) -> None: ...


def _open(*tensors: Any) -> None: ...


def _bind(function: Callable[..., None], *names: str) -> Binding:
    return bind(inspect.signature(function), names, where="m")


def test_names_that_are_parameters_are_put_into_their_order() -> None:
    assert _bind(_plain, "mask", "ids") == Binding(("ids", "mask"), 2)
    assert _bind(_plain, "bias", "mask", "ids") == Binding(("ids", "mask", "bias"), 3)


def test_a_parameter_after_a_gap_or_a_star_goes_by_name() -> None:
    binding = _bind(lambda x, y=None, z=None: None, "z", "x")
    assert binding == Binding(("x", "z"), 1)
    assert binding.arguments([1, 2]) == ((1,), {"z": 2})
    assert _bind(_named, "scale", "x").arguments([1, 2]) == ((1,), {"scale": 2})


def test_names_that_are_no_parameters_go_by_order() -> None:
    assert _bind(_plain, "a", "b") == Binding(("a", "b"), 2)
    assert _bind(_open, "a", "b", "c") == Binding(("a", "b", "c"), 3)


@pytest.mark.parametrize(
    ("function", "names", "message"),
    [
        (_plain, ("ids", "maks"), "'maks' is no parameter of forward. Parameters: ids, mask, bias"),
        (_plain, ("ids",), "forward needs 'mask' too"),
        (_plain, ("a",), "1 inputs are given"),
        (_plain, ("a", "b", "c", "d"), "4 inputs are given"),
        (_named, ("a",), "forward takes: x, scale"),
    ],
)
def test_what_does_not_fit_is_refused(function: Callable[..., None], names: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        _bind(function, *names)
