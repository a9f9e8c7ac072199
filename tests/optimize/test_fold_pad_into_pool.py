"""Pad into a pool, exactly where both mean the same."""

import numpy as np
import pytest

from edgebig.optimize.fold_pad_into_pool import FoldPadIntoPool
from edgebig.optimize.library_passes import fold_pad_into_conv

PADS = np.array([0, 0, 1, 0, 0, 0, 1, 2])


def image(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {"x": rng.standard_normal((2, 3, 8, 8)).astype(np.float32)}


HEAD = "g (float[2, 3, 8, 8] x) => (float[2, 3, H, W] y)"


@pytest.mark.parametrize("own", ["", ", pads = [1, 0, 0, 0], count_include_pad = 1"])
def test_average_pool(build, apply, ops, rng, own: str) -> None:
    model = build(
        f"{HEAD} {{ p = Pad(x, pads) y = AveragePool<kernel_shape = [3, 3], strides = [2, 1]{own}>(p) }}", pads=PADS
    )
    result = apply(FoldPadIntoPool(), model, image(rng))
    assert ops(model) == ["AveragePool"]
    assert result.counts == {"Pad into AveragePool": 1}


def test_max_pool_of_values_that_are_never_negative(build, apply, ops, rng) -> None:
    model = build(f"{HEAD} {{ r = Relu(x) p = Pad(r, pads) y = MaxPool<kernel_shape = [3, 3]>(p) }}", pads=PADS)
    apply(FoldPadIntoPool(), model, image(rng))
    assert ops(model) == ["Relu", "MaxPool"]


def test_max_pool_padded_with_minus_infinity(build, apply, ops, rng) -> None:
    model = build(
        f"{HEAD} {{ p = Pad(x, pads, low) y = MaxPool<kernel_shape = [3, 3]>(p) }}", pads=PADS, low=np.float32(-np.inf)
    )
    apply(FoldPadIntoPool(), model, image(rng))
    assert ops(model) == ["MaxPool"]


def test_pads_of_named_axes(build, apply, ops, rng) -> None:
    body = "p = Pad(x, pads, zero, axes) y = AveragePool<kernel_shape = [3, 3]>(p)"
    model = build(f"{HEAD} {{ {body} }}", pads=np.array([1, 2]), zero=np.float32(0), axes=np.array([-1]))
    apply(FoldPadIntoPool(), model, image(rng))
    assert ops(model) == ["AveragePool"]


REFUSED = {
    "max pool of signed values": ("p = Pad(x, pads) y = MaxPool<kernel_shape = [3, 3]>(p)", PADS, "minus infinity"),
    "other values": ("p = Pad(x, pads, one) y = AveragePool<kernel_shape = [3, 3]>(p)", PADS, "zeros only"),
    "reflection": ('p = Pad<mode = "reflect">(x, pads) y = AveragePool<kernel_shape = [3, 3]>(p)', PADS, "reflect"),
    "as large as the kernel": ("p = Pad(x, pads) y = AveragePool<kernel_shape = [2, 2]>(p)", PADS, "not smaller"),
    "channels": (
        "p = Pad(x, pads) y = AveragePool<kernel_shape = [3, 3]>(p)",
        np.array([0, 1, 0, 0, 0, 0, 0, 0]),
        "batch or channels",
    ),
    "cropping": (
        "p = Pad(x, pads) y = AveragePool<kernel_shape = [3, 3]>(p)",
        np.array([0, 0, -1, 0, 0, 0, 0, 0]),
        "crops",
    ),
    "own padding left out": (
        "p = Pad(x, pads) y = AveragePool<kernel_shape = [3, 3], pads = [1, 0, 0, 0]>(p)",
        PADS,
        "out of the average",
    ),
    "ceil mode": ("p = Pad(x, pads) y = AveragePool<kernel_shape = [3, 3], ceil_mode = 1>(p)", PADS, "its own padding"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals(build, apply, ops, rng, case: str) -> None:
    body, pads, reason = REFUSED[case]
    model = build(f"{HEAD.replace('2, 3, H', 'A, B, H')} {{ {body} }}", pads=pads, one=np.float32(1))
    result = apply(FoldPadIntoPool(), model, image(rng))
    assert not result.modified
    assert reason in result.skipped[0].reason
    assert len(ops(model)) == 2


def test_conv_takes_padding_by_the_library_rule(build, apply, ops, rng) -> None:
    body = "p = Pad(x, pads) y = Conv<pads = [1, 1, 1, 1], group = 3>(p, w)"
    weights = rng.standard_normal((3, 1, 3, 3)).astype(np.float32)
    model = build(f"{HEAD} {{ {body} }}", pads=PADS, w=weights)
    apply(fold_pad_into_conv(), model, image(rng))
    assert ops(model) == ["Conv"]
    assert list(model.graph.node(0).attributes.get_ints("pads")) == [2, 1, 2, 3]


def test_conv_keeps_padding_by_another_value(build, apply, ops, rng) -> None:
    body = "p = Pad(x, pads, one) y = Conv<group = 3>(p, w)"
    weights = rng.standard_normal((3, 1, 3, 3)).astype(np.float32)
    model = build(f"{HEAD} {{ {body} }}", pads=PADS, one=np.float32(1), w=weights)
    apply(fold_pad_into_conv(), model, image(rng))
    assert ops(model) == ["Pad", "Conv"]
