"""Generated modules: valid Python, one function per distinct kernel, the same text for the same work."""

import ast
from dataclasses import replace

import numpy as np

from edgebig.kernels.convert import Flip, Quantize
from edgebig.kernels.dense import Conv
from edgebig.kernels.epilogue import Requantize
from edgebig.runtime.codegen import generate, without_constants
from edgebig.runtime.plan import Plan, PlannedStep, Port

CONV = Conv("generic", batch=1, height=4, width=4, channels=8, filters=8, x_zero_point=3, output=Requantize(7, 7, 255))


def plan(*steps: object) -> Plan:
    planned = tuple(PlannedStep(s, (), (), (), ()) for s in steps)  # type: ignore[arg-type]
    port = Port("x", np.dtype(np.uint8), (1, 4, 4, 8))
    return Plan((port,), (port,), planned)


def test_one_function_per_distinct_step() -> None:
    made = generate(plan(Flip(128), CONV, Flip(128)), "test")
    assert made.functions == ("flip_1", "conv_2", "flip_1")
    functions = [node.name for node in ast.parse(made.source).body if isinstance(node, ast.FunctionDef)]
    assert functions == ["flip_1", "conv_2"]
    assert max(map(len, made.source.splitlines())) < 500


def test_specs_in_the_text_are_the_steps() -> None:
    made = generate(plan(replace(CONV, output="f32")), "test")
    scope: dict[str, object] = {}
    lines = made.source.splitlines()
    expression = next(line for line in lines if line.startswith("_conv_1"))
    exec("\n".join(line for line in lines if line.startswith("from ") and "bridge" not in line), scope)
    spec = eval(expression.split(" = ")[1].removesuffix(".build()"), scope)
    assert spec == replace(CONV, output="f32", x_zero_point=0)


def test_steps_that_differ_in_numbers_share_a_function() -> None:
    one, two = Quantize(100, 0.5, 3), Quantize(100, 0.25, 9, low=9)
    made = generate(plan(one, two, Quantize(101, 0.5, 3)), "test")
    assert made.functions == ("quantize_1", "quantize_1", "quantize_2")
    assert made.texts["quantize_1"] != made.texts["quantize_2"]
    assert generate(plan(Flip(3), two), "other").texts["quantize_2"] == made.texts["quantize_1"]


def test_zero_points_that_the_code_does_not_need_do_not_make_it_another() -> None:
    one, two = generate(plan(CONV), "t"), generate(plan(replace(CONV, x_zero_point=9)), "t")
    assert one == two
    padded = replace(CONV, kernel=(3, 3), pads=(1, 1, 1, 1))
    assert without_constants(padded) == padded
