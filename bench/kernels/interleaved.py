"""Our kernels against onnxruntime's operators: both in one process, in interleaved rounds, on one thread.

Ours is called from a jitted function with addresses, as a generated module does; onnxruntime's operator is a session of
one node whose inputs and outputs are bound once. Answers are compared before anything is timed.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnxruntime
from numba import njit
from numpy.typing import NDArray
from onnx import ModelProto, helper, numpy_helper

from edgebig.bench.environment import EnvironmentWatch
from edgebig.kernels.numbers import NUMBERS, Numbered
from edgebig.timing.clock import Run
from edgebig.timing.comparison import compare_rounds
from edgebig.timing.rounds import measure_rounds
from edgebig.timing.schedule import plan_turn
from edgebig.timing.statistics import summarise
from edgebig.timing.warmup import warm_up

RESULTS = Path(__file__).resolve().parent.parent / "results"
SETTLE_NS = 300_000


@dataclass(frozen=True)
class Case:
    """One comparison.

    Attributes:
        name: What is compared.
        step: Our kernel.
        operands: Its operands in order; the last is the result.
        peer: A session of onnxruntime's operator, bound.
        answer: Where the peer's result lies.
        most_steps: How far integer answers may differ; float answers by 1e-5 of the largest.
    """

    name: str
    step: Any
    operands: Sequence[NDArray[Any]]
    peer: Run
    answer: NDArray[Any]
    most_steps: int = 0


def node_model(
    operator: str, inputs: Mapping[str, NDArray], constants: Mapping[str, NDArray], output: NDArray, **attributes: Any
) -> ModelProto:
    """A model of one node; its inputs are `inputs` and `constants` in the order of the two, by `order`."""
    domain, order = attributes.pop("domain", ""), attributes.pop("order", [*inputs, *constants])
    node = helper.make_node(operator, order, ["y"], domain=domain, **attributes)
    specs = [_spec(name, value) for name, value in inputs.items()]
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph([node], "g", specs, [_spec("y", output)], initializers)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def _spec(name: str, value: NDArray) -> Any:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)


def bound(model: ModelProto, inputs: Mapping[str, NDArray], output: NDArray) -> Run:
    """A call of the model on one thread that reads and writes these arrays."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    for name, value in inputs.items():
        binding.bind_input(name, "cpu", 0, value.dtype, value.shape, value.ctypes.data)
    binding.bind_output("y", "cpu", 0, output.dtype, output.shape, output.ctypes.data)
    inner, raw = session._sess, binding._iobinding

    def run(kept: object = (inputs, output)) -> None:  # a binding keeps addresses only
        inner.run_with_iobinding(raw, None)

    return run


def called(step: Any, operands: Sequence[NDArray]) -> Run:
    """A call of our kernel, with one integer from Python: the operands' addresses are constants of the call."""
    run, given = step.build(), list(operands)
    if isinstance(step, Numbered):
        given.insert(step.operands.index(NUMBERS), step.numbers())
    names = ", ".join(str(operand.ctypes.data) for operand in given)
    scope: dict[str, Any] = {"run": run}
    exec(f"def call(task):\n    run({names}, task)\n", scope)
    call: Callable[[int], None] = njit(scope["call"])
    call(0)

    def again() -> None:
        call(0)

    again.operands = given  # type: ignore[attr-defined]  # the addresses are theirs
    return again


def check(case: Case) -> None:
    """Refuse to time answers that differ.

    Raises:
        click.ClickException: They do.
    """
    case.peer()
    ours = case.operands[-1].reshape(-1).astype(np.float64)
    theirs = case.answer.reshape(-1).astype(np.float64)
    allowed = case.most_steps if case.answer.dtype.kind in "iu" else 1e-5 * np.abs(theirs).max()
    if np.abs(ours - theirs).max() > allowed:
        raise click.ClickException(
            f"{case.name}: answers differ by {np.abs(ours - theirs).max()}; nothing was measured."
        )


def measure(case: Case, seconds: float, rounds: int = 60) -> dict[str, Any]:
    """Measure one comparison and print it."""
    runs = [case.peer, called(case.step, case.operands)]
    check(case)
    limit = int(seconds * 1e9 / 8)
    schedules = [plan_turn(warm_up(run, limit_ns=limit).call_ns, settle_ns=SETTLE_NS) for run in runs]
    theirs, ours = measure_rounds(runs, schedules, rounds=rounds, budget_ns=int(seconds * 1e9))
    found = compare_rounds(theirs, ours)
    click.echo(
        f"{case.name:<34} onnxruntime {np.median(theirs) / 1e3:9.2f} us, ours {np.median(ours) / 1e3:9.2f} us, "
        f"{found.speedup:6.2f} x [{found.low:.2f}, {found.high:.2f}]"
    )
    return {
        "name": case.name,
        "step": repr(case.step),
        "onnxruntime": asdict(summarise(theirs)),
        "ours": asdict(summarise(ours)),
        "comparison": asdict(found),
        # A tenth of a nanosecond is more than the clock tells.
        "values": {"onnxruntime": np.round(theirs, 1).tolist(), "ours": np.round(ours, 1).tolist()},
    }


def run_all(cases: Sequence[Callable[[], Case]], seconds: float, out: Path) -> None:
    """Measure all comparisons, and write them with the machine they were made on."""
    watch = EnvironmentWatch()
    results = [measure(make(), seconds) for make in cases]
    facts = json.loads(json.dumps(watch.environment(), default=lambda value: asdict(value)))
    out.write_text(json.dumps({"environment": facts, "cases": results}) + "\n", encoding="utf-8")
    click.echo(f"wrote {out}")
