"""Block-sparse products and convolutions against onnxruntime's dense int8 operators, and against our own dense kernel.

`python bench/kernels/sparse.py` prunes random weights in blocks of 16 outputs x 4 inputs to several densities. Each
result also tells how the same weights fare in our dense kernel, which is what `sparse.pays` decides by. "7 bit" weights
lie in -64..63, "exact 8 bit" ones use the whole range; there x stays below 128, or onnxruntime's sums saturate.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np
from interleaved import RESULTS, Case, bound, called, measure, node_model
from numpy.typing import NDArray

from edgebig.bench.environment import EnvironmentWatch
from edgebig.kernels import dots
from edgebig.kernels.dense import Conv
from edgebig.kernels.epilogue import Requantize
from edgebig.kernels.sparse import SparseConv
from edgebig.timing.comparison import compare_rounds
from edgebig.timing.rounds import measure_rounds
from edgebig.timing.schedule import plan_turn
from edgebig.timing.warmup import warm_up

DENSITIES = (1.0, 0.9, 0.8, 0.7, 0.5, 0.3, 0.2, 0.1)
X_SCALE, Y_SCALE = np.float32(0.02), np.float32(0.03)


def shapes() -> dict[str, dict[str, Any]]:
    """Products of 1024 x 1024 weights, and two convolutions."""
    products = {
        f"{rows} x 1024^2": {"height": rows, "width": 1, "channels": 1024, "filters": 1024} for rows in (1, 8, 64)
    }
    image = {"height": 28, "width": 28}
    return products | {
        "1x1 256-256 28x28": image | {"channels": 256, "filters": 256},
        "3x3 64-64 28x28": image | {"channels": 64, "filters": 64, "kernel": (3, 3), "pads": (1, 1, 1, 1)},
    }


def pruned(shape: tuple[int, ...], density: float, reduced: bool) -> NDArray[np.int8]:
    """Random weights [filters, channels, height, width] of which this share of the blocks is kept."""
    rng = np.random.default_rng(int(100 * density))
    most = 64 if reduced else 128
    kept = rng.random((shape[0] // 16, shape[1] // 4, *shape[2:])) < density
    mask = kept.repeat(16, axis=0).repeat(4, axis=1)
    return (rng.integers(-most, most, shape) * mask).astype(np.int8)


def make_cases(name: str, sizes: dict[str, Any], density: float, reduced: bool) -> tuple[Case, Case]:
    """The sparse kernel, and the dense one, on the same weights, against QLinearConv."""
    rng = np.random.default_rng(1)
    kernel = sizes.get("kernel", (1, 1))
    weights = pruned((sizes["filters"], sizes["channels"], *kernel), density, reduced)
    x = rng.integers(0, 256 if reduced else 128, (1, sizes["height"], sizes["width"], sizes["channels"]))
    x = x.astype(np.uint8)
    scales = ((rng.random(sizes["filters"]) + 0.5) * 0.02 / np.sqrt(weights[0].size * density)).astype(np.float32)
    bias = rng.integers(-9999, 9999, sizes["filters"]).astype(np.int32)
    y_shape = (1, sizes["height"], sizes["width"], sizes["filters"])
    answer = np.zeros(y_shape, np.uint8)
    constants = {
        "sx": np.array(X_SCALE), "zx": np.array(61, np.uint8), "w": weights, "sw": scales,
        "zw": np.zeros(sizes["filters"], np.int8), "sy": np.array(Y_SCALE), "zy": np.array(117, np.uint8), "b": bias,
    }  # fmt: skip
    model = node_model(
        "QLinearConv", {"x": x}, constants, answer, domain="com.microsoft", channels_last=1,
        pads=sizes.get("pads", (0, 0, 0, 0)), kernel_shape=kernel,
    )  # fmt: skip
    peer = bound(model, {"x": x}, answer)
    cases = []
    for kind in (SparseConv, Conv):
        step = kind(dots.best(weights).name, batch=1, x_zero_point=61, output=Requantize(117), **sizes)
        packed = step.constants(weights, bias, X_SCALE * scales / Y_SCALE)
        operands = (x, *packed.values(), np.zeros(y_shape, np.uint8))
        full = f"{name}, {density:.0%} kept, {'7 bit' if reduced else 'exact 8 bit'}"
        cases.append(Case(full, step, operands, peer, answer, most_steps=1))
    return cases[0], cases[1]


def against_dense(sparse: Case, dense: Case, seconds: float) -> dict[str, Any]:
    """How many times as fast as our own dense kernel."""
    runs = [called(case.step, case.operands) for case in (dense, sparse)]
    if not np.array_equal(dense.operands[-1], sparse.operands[-1]):
        raise click.ClickException(f"{sparse.name}: our two kernels differ; nothing was measured.")
    schedules = [plan_turn(warm_up(run).call_ns) for run in runs]
    return asdict(compare_rounds(*measure_rounds(runs, schedules, rounds=60, budget_ns=int(seconds * 1e9))))


@click.command()
@click.option("--time", "seconds", type=float, default=1.5, show_default=True, help="Seconds for each comparison.")
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS / "kernels_sparse.json")
def main(seconds: float, out: Path) -> None:
    """Measure all shapes and densities."""
    watch = EnvironmentWatch()
    results = []
    for name, sizes in shapes().items():
        for reduced in (True, False):
            for density in DENSITIES:
                sparse, dense = make_cases(name, sizes, density, reduced)
                result = measure(sparse, seconds)
                ours = against_dense(sparse, dense, seconds)
                click.echo(f"    our dense kernel: {ours['speedup']:.2f} x [{ours['low']:.2f}, {ours['high']:.2f}]")
                results.append(result | {"density": density, "against_our_dense": ours})
    facts = json.loads(json.dumps(watch.environment(), default=lambda value: asdict(value)))
    out.write_text(json.dumps({"environment": facts, "cases": results}) + "\n", encoding="utf-8")
    click.echo(f"wrote {out}")


if __name__ == "__main__":
    main()
