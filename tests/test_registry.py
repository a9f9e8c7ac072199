"""The registry."""

import pytest

from edgebig.errors import UnknownNameError
from edgebig.registry import Registry


def test_names_keep_their_order() -> None:
    registry: Registry[int] = Registry("number")
    assert registry.register("two", 2) == 2
    assert registry.decorator("one")(1) == 1
    assert registry.names() == tuple(registry) == ("two", "one")
    assert registry.get("one") == 1
    assert "two" in registry
    assert "three" not in registry


def test_a_name_is_taken_once() -> None:
    registry: Registry[int] = Registry("number")
    registry.register("one", 1)
    with pytest.raises(ValueError, match="number 'one' is registered twice"):
        registry.register("one", 2)
    assert registry.get("one") == 1


def test_an_unknown_name_lists_the_known() -> None:
    registry: Registry[int] = Registry("target")
    registry.register("ort-cpu", 1)
    registry.register("tensorrt", 2)
    with pytest.raises(UnknownNameError, match=r"unknown target 'ort-cup'. Did you mean 'ort-cpu'\? Known: ort-cpu, t"):
        registry.get("ort-cup")
    with pytest.raises(UnknownNameError, match=r"unknown target 'x'. Known: "):
        registry.get("x")
