"""What this processor can do at most: products per second of each kind, and bandwidth of each level of memory.

`python bench/kernels/peak.py` runs loops of nothing but one dot product, and loops of nothing but loads, on one thread.
The figures are the best of many rounds: ceilings that kernels are measured against.
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np
from interleaved import RESULTS
from numba import njit

from edgebig.bench.environment import EnvironmentWatch
from edgebig.kernels import dots
from edgebig.kernels.dots import Dot
from edgebig.kernels.vector import F32, I32, I64, Loop, at, const, fill, intrinsic_of, load, store, vector_of
from edgebig.timing.clock import time_calls

CHAINS = 12
TURNS = 200_000
READ_BYTES = 64 << 20
# Sizes that lie in one level of the caches of most processors, and in none.
READS = {"16 KB": 1 << 14, "256 KB": 1 << 18, "4 MB": 1 << 22, "256 MB": 1 << 28}


def multiplications(dot: Dot) -> Callable[[int], None]:
    """`TURNS` times `CHAINS` products that do not wait for each other."""
    kind = vector_of(F32 if dot.real else I32, dot.lanes)

    def body(b: Any, place: Any) -> None:
        bits = vector_of(I32, dot.lanes)
        *sums, factor = (load(b, at(b, place, 64 * i), kind) for i in range(CHAINS + 1))
        loop = Loop(b, const(TURNS), sums)
        # Each chain multiplies its own sum: a product that all share would be computed once.
        ends = loop.end([dot.emit(b, one, b.bitcast(one, bits), b.bitcast(factor, bits)) for one in loop.values])
        for i, end in enumerate(ends):
            store(b, end, at(b, place, 64 * i))

    return _callable(body)


def reads(size: int) -> Callable[[int], None]:
    """`READ_BYTES` bytes read from `size` bytes, again and again."""
    kind = vector_of(I64, 4)

    def body(b: Any, place: Any) -> None:
        again = Loop(b, const(max(1, READ_BYTES // size)), [fill(I64, 4, 0)] * 8)
        loop = Loop(b, const(size), again.values, step=256)
        start = b.add(place, loop.index)
        ends = loop.end([b.xor(one, load(b, at(b, start, 32 * i), kind)) for i, one in enumerate(loop.values)])
        for i, end in enumerate(again.end(ends)):
            store(b, end, at(b, place, 32 * i))

    return _callable(body)


def _callable(body: Callable[..., None]) -> Callable[[int], None]:
    work = intrinsic_of(1, body)

    @njit
    def run(place: int) -> None:
        work(place)

    return run


def best_ns(run: Callable[[int], None], buffer: np.ndarray, rounds: int) -> float:
    """The shortest time of a call."""
    address = buffer.ctypes.data
    run(address)
    return float(min(time_calls(lambda: run(address), 1) for _ in range(rounds)))


@click.command()
@click.option("--rounds", default=60, show_default=True, help="Calls of each loop; the best counts.")
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS / "kernels_peak.json")
def main(rounds: int, out: Path) -> None:
    """Measure all instructions this processor has, and all levels of memory."""
    watch = EnvironmentWatch()
    found: dict[str, dict[str, float]] = {"giga_operations_per_second": {}, "giga_bytes_per_second": {}}
    for dot in dots.available():
        nanoseconds = best_ns(multiplications(dot), np.zeros(4096, np.int32), rounds)
        rate = TURNS * CHAINS * dot.lanes * dot.group * 2 / nanoseconds
        found["giga_operations_per_second"][dot.name] = rate
        click.echo(f"{dot.name:<14} {rate:8.1f} GOPS")
    for name, size in READS.items():
        nanoseconds = best_ns(reads(size), np.ones(size, np.uint8), max(5, rounds // 4))
        rate = max(READ_BYTES, size) / nanoseconds
        found["giga_bytes_per_second"][name] = rate
        click.echo(f"read {name:<9} {rate:8.1f} GB/s")
    facts = json.loads(json.dumps(watch.environment(), default=lambda value: asdict(value)))
    out.write_text(json.dumps({"environment": facts, **found}) + "\n", encoding="utf-8")
    click.echo(f"wrote {out}")


if __name__ == "__main__":
    main()
