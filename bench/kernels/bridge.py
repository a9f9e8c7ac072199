"""What a segment costs beside its kernels: a node of ours against onnxruntime's own Add, and a step beside another.

`python bench/kernels/bridge.py` runs chains of 1 and of 101 nodes on one thread; their difference is 100 nodes, free of
what a run costs. The segment checks the type and shape of its input, makes its output, and adds 1 to 16 bytes; Add adds
1 to 16 floats. What steps cost is seen in a segment of 60 steps that do nothing.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np
import onnxruntime as ort
from interleaved import RESULTS
from numba import cfunc, types
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgebig.bench.environment import EnvironmentWatch
from edgebig.runtime.bridge import DOMAIN, OP_TYPE, Call, Program, Tensor, attach, register
from edgebig.runtime.bridge.operands import operand
from edgebig.runtime.bridge.words import load_byte, store_byte
from edgebig.timing.clock import Run
from edgebig.timing.rounds import measure_rounds
from edgebig.timing.schedule import plan_turn
from edgebig.timing.warmup import warm_up

SIZE, LONG, STEPS, TASKS = 16, 101, 60, 8
ADD = "onnxruntime's Add"
_STEP = types.void(types.intp, types.intp)


@cfunc(_STEP)
def add_one(call: int, task: int) -> None:
    """16 bytes plus 1."""
    x, y = operand(call, 0), operand(call, 1)
    for i in range(SIZE):
        store_byte(y + i, load_byte(x + i) + 1)


@cfunc(_STEP)
def nothing(call: int, task: int) -> None:
    """What any step costs."""


@dataclass(frozen=True)
class Kind:
    """A node to measure: onnxruntime's Add, or a segment of one real step, then `steps` that do nothing."""

    name: str
    arena_bytes: int = 0
    steps: int = 0
    tasks: int = 1
    threads: int = 1


KINDS = (
    Kind(ADD),
    Kind("segment"),
    Kind("segment with an arena of 100 KB", arena_bytes=100_000),
    Kind("segment with an arena of 8 MB", arena_bytes=8 << 20),
    Kind(f"segment and {STEPS} steps of nothing", steps=STEPS),
    Kind(f"segment and {STEPS} steps of {TASKS} tasks", steps=STEPS, tasks=TASKS),
    Kind(f"segment and {STEPS} steps of {TASKS} tasks on two threads", steps=STEPS, tasks=TASKS, threads=2),
)


def chain(kind: Kind, nodes: int) -> Run:
    """A run of so many nodes after each other, bound and checked."""
    ours = kind.name != ADD
    names = ["x", *(f"t{i}" for i in range(nodes - 1)), "y"]
    if ours:
        key = register(program(kind))
        made = [
            helper.make_node(OP_TYPE, names[i : i + 1], names[i + 1 : i + 2], domain=DOMAIN, segment=key)
            for i in range(nodes)
        ]
    else:
        made = [helper.make_node("Add", [names[i], "one"], names[i + 1 : i + 2]) for i in range(nodes)]
    element_type = TensorProto.UINT8 if ours else TensorProto.FLOAT
    x, y = (helper.make_tensor_value_info(name, element_type, [SIZE]) for name in ("x", "y"))
    graph = helper.make_graph(made, "chain", [x], [y], [numpy_helper.from_array(np.ones(1, np.float32), "one")])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(DOMAIN, 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    return _bound(model.SerializeToString(), np.arange(SIZE).astype(np.uint8 if ours else np.float32), nodes, kind)


def program(kind: Kind) -> Program:
    """What a segment of this kind does."""
    tensor = Tensor(TensorProto.UINT8, (SIZE,))
    ends = ((2, 0), (3, 0))
    calls = (Call(add_one.address, 1, ends), *[Call(nothing.address, kind.tasks, ends)] * kind.steps)
    return Program((tensor,), (tensor,), kind.arena_bytes, calls)


def _bound(model: bytes, x: NDArray, nodes: int, kind: Kind) -> Run:
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = kind.threads, 3
    attach(options)
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    binding, y = session.io_binding(), ort.OrtValue.ortvalue_from_numpy(np.zeros_like(x))
    binding.bind_ortvalue_input("x", ort.OrtValue.ortvalue_from_numpy(x))
    binding.bind_ortvalue_output("y", y)
    # Past the Python classes, whose checks would drown the difference.
    inner, bound = session._sess, binding._iobinding

    def run() -> None:
        inner.run_with_iobinding(bound, None)

    run()
    np.testing.assert_array_equal(y.numpy(), x + x.dtype.type(nodes))
    run.__dict__["keeps"] = (session, binding, x)
    return run


@click.command()
@click.option("--time", "seconds", type=float, default=20.0, show_default=True, help="Seconds for everything.")
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS / "kernels_bridge.json")
def main(seconds: float, out: Path) -> None:
    """Measure what a segment's node costs."""
    watch = EnvironmentWatch()
    runs = [chain(kind, nodes) for kind in KINDS for nodes in (1, LONG)]
    schedules = [plan_turn(warm_up(run, limit_ns=200_000_000).call_ns, settle_ns=500_000) for run in runs]
    values = measure_rounds(runs, schedules, rounds=400, budget_ns=int(seconds * 1e9))
    medians = [np.median(value, axis=1) for value in values]  # of each round
    results = []
    for index, kind in enumerate(KINDS):
        single, many = medians[2 * index : 2 * index + 2]
        more = single - medians[0]
        node = (many - single) / (LONG - 1)
        results.append(
            {
                **asdict(kind),
                "run_of_one_node_us": float(np.median(single)) / 1e3,
                "more_than_add_us": _spread(more),
                "per_node_in_a_chain_us": _spread(node),
                "per_node_more_than_add_us": _spread(node - (medians[1] - medians[0]) / (LONG - 1)),
            }
        )
        click.echo(
            f"{kind.name}: a run {results[-1]['run_of_one_node_us']:.2f} us, {np.median(more) / 1e3:+.3f} against Add; "
            f"in a chain {np.median(node) / 1e3:.3f} us a node"
        )
    record = {"rounds": len(medians[0]), "results": results, "environment": asdict(watch.environment())}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(record, default=str) + "\n", encoding="utf-8")


def _spread(nanoseconds: NDArray) -> dict[str, float]:
    low, middle, high = np.quantile(nanoseconds / 1e3, (0.25, 0.5, 0.75))
    return {"median": float(middle), "p25": float(low), "p75": float(high)}


if __name__ == "__main__":
    main()
