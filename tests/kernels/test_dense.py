"""Convolutions and matrix products against loops in exact integers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebig.kernels import dots
from edgebig.kernels.dense import Conv, matmul, output_size
from edgebig.kernels.epilogue import Requantize
from edgebig.kernels.errors import KernelError
from tests.kernels.dense_cases import check, random_case, run, wanted

INTEGER = [dot.name for dot in dots.available() if not dot.real]
REAL = [dot.name for dot in dots.available() if dot.real]
EMULATED = [dots.EMULATED + dot.name for dot in dots.DOTS if not dots.runs(dot) and not dot.narrow]
RELU = Requantize(zero_point=3, low=3)
FULL = Requantize(zero_point=131)

GEOMETRIES = {
    "1x1": {"height": 5, "width": 7, "channels": 32, "filters": 48},
    "1x1 odd": {"height": 5, "width": 5, "channels": 7, "filters": 19},
    "1x1 stride": {"height": 7, "width": 6, "channels": 12, "filters": 9, "strides": (2, 3)},
    "3x3": {"height": 6, "width": 7, "channels": 8, "filters": 24, "kernel": (3, 3), "pads": (1, 1, 1, 1)},
    "stem": {
        "height": 9,
        "width": 9,
        "channels": 3,
        "filters": 32,
        "kernel": (3, 3),
        "strides": (2, 2),
        "pads": (0, 0, 1, 1),
    },
    "5x3 asymmetric": {"height": 8, "width": 6, "channels": 5, "filters": 17, "kernel": (5, 3), "pads": (2, 0, 1, 3)},
    "7x7": {
        "height": 9,
        "width": 8,
        "channels": 4,
        "filters": 8,
        "kernel": (7, 7),
        "strides": (3, 2),
        "pads": (3, 3, 3, 3),
    },
    "dilated": {
        "height": 9,
        "width": 9,
        "channels": 6,
        "filters": 10,
        "kernel": (3, 3),
        "dilations": (2, 3),
        "pads": (2, 3, 2, 3),
    },
    "grouped": {
        "height": 5,
        "width": 6,
        "channels": 12,
        "filters": 21,
        "kernel": (3, 2),
        "groups": 3,
        "pads": (1, 0, 0, 1),
    },
    "grouped 1x1": {"height": 4, "width": 3, "channels": 16, "filters": 64, "groups": 2},
    "one pixel": {"height": 1, "width": 1, "channels": 70, "filters": 33},
    "far padding": {"height": 2, "width": 2, "channels": 4, "filters": 5, "kernel": (2, 2), "pads": (4, 3, 2, 5)},
}


@pytest.mark.parametrize("name", GEOMETRIES)
@pytest.mark.parametrize("dot", [name for name in INTEGER if name not in ("madd256", "madd128")])
def test_geometries(dot: str, name: str) -> None:
    check(Conv(dot, batch=2, x_zero_point=7, output=RELU, **GEOMETRIES[name]))


@pytest.mark.parametrize("name", ["3x3", "grouped", "one pixel", "1x1"])
@pytest.mark.parametrize("dot", REAL)
@pytest.mark.parametrize("output", ["f32", FULL])
def test_floats(dot: str, name: str, output: Requantize | str) -> None:
    check(Conv(dot, batch=1, output=output, low=-1.0, high=2.5, **GEOMETRIES[name]))


@pytest.mark.parametrize("name", ["3x3", "grouped"])
@pytest.mark.parametrize("dot", EMULATED)
def test_instruction_sets_of_other_processors(dot: str, name: str) -> None:
    output = "f32" if dots.get(dot).real else FULL
    check(Conv(dot, batch=1, x_zero_point=0 if dots.get(dot).real else 200, output=output, **GEOMETRIES[name]))


@pytest.mark.parametrize("dot", INTEGER)
def test_extreme_values_neither_saturate_nor_wrap(dot: str) -> None:
    check(matmul(dot, 9, 301, 40, output="s32"), extreme=True)
    check(matmul(dot, 5, 64, 32, output=FULL, x_zero_point=255), extreme=True)


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 7, 13, 250])
def test_any_number_of_rows(rows: int) -> None:
    check(matmul(INTEGER[0], rows, 36, 24, output="s32"))


@pytest.mark.parametrize("inner", [1, 2, 3, 4, 5, 31, 33, 64, 257, 1024])
def test_any_length_of_the_inner_axis(inner: int) -> None:
    for dot in (INTEGER[0], INTEGER[-1]):
        check(matmul(dot, 3, inner, 11, output="s32"))


def test_panels_larger_than_the_cache_come_in_parts() -> None:
    check(
        Conv(
            INTEGER[0],
            batch=2,
            height=20,
            width=21,
            channels=40,
            filters=8,
            kernel=(3, 3),
            pads=(1, 1, 1, 1),
            output="s32",
        )
    )


@pytest.mark.parametrize("dot", [INTEGER[0], INTEGER[1], REAL[0]])
@pytest.mark.parametrize("tasks", [1, 2])
def test_weights_larger_than_the_cache_come_in_pieces(dot: str, tasks: int) -> None:
    spec = matmul(dot, 41, 3001, 37, output="f32", tasks=tasks)
    assert spec.work.pieces > 1
    check(spec)


@pytest.mark.parametrize("tasks", [2, 3, 64])
@pytest.mark.parametrize("name", ["3x3", "one pixel", "grouped 1x1"])
def test_tasks_share_the_work(name: str, tasks: int) -> None:
    check(Conv(INTEGER[0], batch=1, output=RELU, tasks=tasks, **GEOMETRIES[name]))


@pytest.mark.parametrize("output", [RELU, "f32", "s32"])
@pytest.mark.parametrize("name", ["1x1", "3x3", "grouped 1x1"])
def test_pitches_and_what_lies_between(name: str, output: Requantize | str) -> None:
    geometry = GEOMETRIES[name]
    pitches = {"x_pitch": geometry["channels"] + 5, "y_pitch": geometry["filters"] + 3}
    for front in (False, True):
        check(Conv(INTEGER[0], batch=1, output=output, low=-5.0, high=9.0, **pitches, **geometry), front=front)


@pytest.mark.parametrize("dot", [name for name in INTEGER if dots.get(name).group == 2 and not dots.get(name).narrow])
def test_weights_with_zero_points(dot: str) -> None:
    rng = np.random.default_rng(1)
    for kind, low, high in ((np.uint8, 0, 255), (np.int8, -128, 127)):
        spec = Conv(dot, batch=1, x_zero_point=9, output="s32", **GEOMETRIES["5x3 asymmetric"])
        case = random_case(spec)
        case.weights = rng.integers(low, high + 1, case.weights.shape).astype(kind)
        case.weight_zero_point = rng.integers(low, high + 1, spec.filters)
        np.testing.assert_array_equal(run(spec, case), wanted(spec, case))


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_any_shape(data: st.DataObject) -> None:
    def integer(low: int, high: int) -> int:
        return data.draw(st.integers(low, high))

    groups = data.draw(st.sampled_from([1, 1, 2, 3]))
    kernel, dilations = (integer(1, 4), integer(1, 4)), (integer(1, 2), integer(1, 2))
    height, width = (integer((size - 1) * dilation + 1, 12) for size, dilation in zip(kernel, dilations, strict=True))
    spec = Conv(
        data.draw(st.sampled_from(INTEGER)),
        batch=integer(1, 2),
        height=height,
        width=width,
        channels=groups * integer(1, 20),
        filters=groups * integer(1, 40),
        kernel=kernel,
        strides=(integer(1, 3), integer(1, 3)),
        dilations=dilations,
        pads=(integer(0, 2), integer(0, 2), integer(0, 2), integer(0, 2)),
        groups=groups,
        x_zero_point=integer(0, 255),
        output=data.draw(st.sampled_from(["s32", RELU, FULL])),
        tasks=integer(1, 3),
    )
    check(spec, extreme=data.draw(st.booleans()))


def test_a_spec_is_rebuilt_by_its_repr() -> None:
    spec = matmul("generic", 3, 4, 5, output=RELU)
    assert eval(repr(spec), {"Conv": Conv, "Requantize": Requantize, "inf": float("inf")}) == spec


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"channels": 0}, "start at 1"),
        ({"groups": 3}, "divide neither"),
        ({"kernel": (9, 1)}, "larger than the padded image"),
        ({"output": "u8"}, "give a Requantize"),
        ({"x_zero_point": 256}, "0 to 255"),
        ({"x_pitch": 7}, "overlap"),
        ({"dot": "mmx"}, "no dot product is called 'mmx'"),
        ({"dot": "fma_generic", "output": "s32"}, "no s32 output"),
        ({"channels": 300_000, "kernel": (1, 1), "dot": "generic"}, "fit"),
    ],
)
def test_refusals(change: dict, message: str) -> None:
    fields = {"dot": "generic", "batch": 1, "height": 4, "width": 4, "channels": 8, "filters": 4, "output": RELU}
    with pytest.raises(KernelError, match=message):
        Conv(**{**fields, **change})


def test_constants_refuse_unsafe_weights_and_wrong_shapes() -> None:
    spec = matmul("maddubs256", 1, 4, 2, output="s32")
    with pytest.raises(KernelError, match="not multiply these weights exactly"):
        spec.constants(np.full((2, 4, 1, 1), 127, np.int8), None, 1.0)
    with pytest.raises(KernelError, match="needs"):
        spec.constants(np.zeros((4, 2, 1, 1), np.int8), None, 1.0)


@pytest.mark.skipif(not EMULATED, reason="this processor has every instruction set")
def test_a_missing_instruction_is_refused_before_it_is_compiled() -> None:
    name = EMULATED[0].removeprefix(dots.EMULATED)
    with pytest.raises(KernelError, match=f"no {name}"):
        matmul(name, 1, 4, 2, output="f32").build()


def test_output_size() -> None:
    assert output_size(224, 3, 2, 1, 0, 1) == 112
    assert output_size(7, 3, 1, 2, 2, 2) == 7
