"""Weights of 4 and 8 bits against onnxruntime's MatMulNBits, with float activations and with activations of 8 bits.

`python bench/kernels/nbits.py` measures 1 and 8 rows, weights of 4096 x 4096 and 4096 x 11008. One row is bound by
memory, so the bytes of our packed weights are given with the time, beside the bandwidth of loads alone from as many.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np
from interleaved import RESULTS, Case, bound, measure, node_model
from peak import READ_BYTES, best_ns, reads

from edgebig.bench.environment import EnvironmentWatch
from edgebig.kernels.nbits import FLOAT, INT8, MatMulNBits

INNER = 4096
LEVELS = {FLOAT: 0, INT8: 4}


def make_case(step: MatMulNBits) -> Case:
    """A comparison with random tensors."""
    rng = np.random.default_rng(step.rows)
    shape, blob = (step.columns, step.blocks), step.block_size * step.bits // 8
    x = rng.standard_normal((step.rows, step.inner), np.float32)
    constants = {
        "B": rng.integers(0, 256, (*shape, blob), dtype=np.uint8),
        "scales": rng.uniform(0.005, 0.015, shape).astype(np.float32),
    }
    if step.has_zero_points:
        width = -(-step.blocks * step.bits // 8)
        constants["zero_points"] = rng.integers(0, 256, (step.columns, width), dtype=np.uint8)
    packed = step.constants(*constants.values())
    y, answer = (np.zeros((step.rows, step.columns), np.float32) for _ in range(2))
    sizes = {"K": step.inner, "N": step.columns, "bits": step.bits, "block_size": step.block_size}
    level = LEVELS[step.accuracy]
    model = node_model(
        "MatMulNBits", {"x": x}, constants, y, domain="com.microsoft", accuracy_level=level, **sizes
    )  # fmt: skip
    points = ", zero points" if step.has_zero_points else ""
    name = f"{step.rows} x {INNER} x {step.columns}, {step.bits} bits / {step.block_size}{points}, {step.accuracy}"
    return Case(name, step, (x, *packed.values(), y), bound(model, {"x": x}, answer), answer)


def read_rate(size: int) -> float:
    """GB/s of loads alone, from as many bytes, again and again."""
    size = size // 256 * 256
    return max(READ_BYTES // size, 1) * size / best_ns(reads(size), np.ones(size, np.uint8), 9)


@click.command()
@click.option("--time", "seconds", type=float, default=3.0, show_default=True, help="Seconds for each product.")
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS / "kernels_nbits.json")
def main(seconds: float, out: Path) -> None:
    """Measure all products."""
    watch = EnvironmentWatch()
    steps = [
        MatMulNBits(rows, INNER, columns, bits, block_size, points, accuracy)
        for columns in (4096, 11008)
        for bits, block_size, points in ((4, 32, False), (4, 32, True), (4, 128, False), (8, 32, False))
        if columns == 4096 or (bits, block_size, points) == (4, 32, False)
        for accuracy in (INT8, FLOAT)
        for rows in (1, 8)
    ]
    results: list[dict[str, Any]] = []
    for step in steps:
        case = make_case(step)
        result = measure(case, seconds)
        size = case.operands[1].nbytes
        rates = {"used": size / result["ours"]["p50"], "loads_alone": read_rate(size)}
        click.echo(f"    {size / 1e6:.1f} MB at {rates['used']:.1f} GB/s; loads alone {rates['loads_alone']:.1f} GB/s")
        results.append(result | {"weight_bytes": size, "giga_bytes_per_second": rates})
    facts = json.loads(json.dumps(watch.environment(), default=lambda value: asdict(value)))
    out.write_text(json.dumps({"environment": facts, "cases": results}) + "\n", encoding="utf-8")
    click.echo(f"wrote {out}")


if __name__ == "__main__":
    main()
