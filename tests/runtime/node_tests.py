"""The node tests of `onnx.backend.test`, made in this process, run through stock onnxruntime and through ours."""

import importlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper
from onnx.backend.test.case import node as node_cases
from onnx.backend.test.case.test_case import TestCase
from onnx.backend.test.loader import load_model_tests
from onnx.backend.test.runner import Runner

from edgebig.runtime import Cache, InferenceSession


@dataclass(frozen=True)
class Outcome:
    """What came of one case.

    Attributes:
        stock: What is wrong with stock onnxruntime's answer; None where it passes.
        ours: Of ours, likewise.
        kernels: Whether kernels ran some of its nodes.
    """

    stock: str | None
    ours: str | None = None
    kernels: bool = False


def load_cases(modules: Sequence[str] = ()) -> list[TestCase]:
    """The cases of some modules of `onnx.backend.test.case.node`, or of all; their data are made now."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        if not modules:
            return list(load_model_tests(kind="node"))
        found = [importlib.import_module(f"{node_cases.__name__}.{name}") for name in modules]
    ops = {name for module in found for name, value in vars(module).items() if isinstance(value, type)}
    return [case for case in node_cases._NodeTestCases if case.model.graph.node[0].op_type in ops]


def with_constants(case: TestCase) -> onnx.ModelProto | None:
    """The case's model with every input but the first as a constant, as weights are; None where that is no model."""
    model, (inputs, _) = onnx.ModelProto(), case.data_sets[0]
    model.CopyFrom(case.model)
    arrays = dict(zip([value.name for value in model.graph.input], inputs, strict=False))
    constants = {name: array for name, array in list(arrays.items())[1:] if isinstance(array, np.ndarray)}
    kept = [value for value in model.graph.input if value.name not in constants]
    if not constants:
        return None
    try:
        model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in constants.items())
    except (NotImplementedError, TypeError, ValueError):  # types that numpy lacks
        return None
    del model.graph.input[:]
    model.graph.input.extend(kept)
    return model


def run_case(case: TestCase, model: onnx.ModelProto, cache: Cache, *, measure: bool = False) -> Outcome:
    """Run a model on the case's data in both, judged by the tolerances of the case."""
    content = model.SerializeToString()
    stock = _problem(case, lambda: ort.InferenceSession(content, _options(), providers=["CPUExecutionProvider"]))
    if stock is not None:
        return Outcome(stock)
    made: list[Any] = []

    def ours() -> Any:
        made.append(InferenceSession(content, _options(), measure=measure, cache=cache))
        return made[0]

    problem = _problem(case, ours)
    kernels = bool(made) and any(record.kept for record in made[0].records)
    return Outcome(None, problem, kernels)


def _options() -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return options


def _problem(case: TestCase, opener: Any) -> str | None:
    """What is wrong with a session's answers to the data of a case."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("error", RuntimeWarning)  # a defect of ours that fell back to onnxruntime
            session = opener()
            warnings.simplefilter("ignore")
            for inputs, outputs in case.data_sets:
                names = [value.name for value in case.model.graph.input]
                taken = {value.name for value in session.get_inputs()}
                feed = {name: x for name, x in zip(names, inputs, strict=False) if name in taken}
                Runner.assert_similar_outputs(outputs, session.run(None, feed), case.rtol, case.atol)
    except Exception as e:  # onnxruntime raises many classes without a common base
        return f"{type(e).__name__}: {e}"
    return None
