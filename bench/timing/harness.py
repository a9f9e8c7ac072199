"""Can the harness be trusted? Its overhead per call, its false alarms, and the differences it finds.

`python bench/timing/harness.py MODEL.onnx` measures
- the time that the harness adds to a call (an empty function is timed),
- two sessions of the same file against each other, again and again: how often they are called different,
- the same values with one side's times divided by a known factor: how often that difference is found.
"""

import json
from pathlib import Path

import click
import numpy as np

from edgebig.bench import bench_models
from edgebig.records.measurement import BenchOptions
from edgebig.timing.clock import time_calls
from edgebig.timing.comparison import NO_DIFFERENCE, compare_rounds

FACTORS = (1.01, 1.02, 1.03, 1.05)
HERE = Path(__file__).resolve().parent


def empty_call_ns(calls: int) -> float:
    """Median time of one timed call of an empty function."""
    return float(np.median([time_calls(lambda: None, 1) for _ in range(calls)]))


@click.command()
@click.argument("model", type=click.Path(path_type=Path, exists=True))
@click.option("--pairs", default=100, show_default=True, help="Comparisons of the file with itself.")
@click.option("--out", type=click.Path(path_type=Path), default=HERE.parent / "results" / "harness.json")
def main(model: Path, pairs: int, out: Path) -> None:
    """Measure MODEL against itself, PAIRS times, with a new pair of sessions each time."""
    records = [bench_models([model, model], options=BenchOptions(seed=seed)) for seed in range(pairs)]
    found = [record.models[1].comparison for record in records]
    speedups = np.array([comparison.speedup for comparison in found])
    powers = {
        factor: float(
            np.mean(
                [
                    compare_rounds(r.models[0].values, np.array(r.models[1].values) / factor).verdict == "faster"
                    for r in records
                ]
            )
        )
        for factor in FACTORS
    }
    result = {
        "model": model.name,
        "p50_us": [record.models[0].summary.p50 / 1e3 for record in records],
        "empty_call_ns": empty_call_ns(10_000),
        "pairs": pairs,
        "called_different": float(np.mean([comparison.verdict != NO_DIFFERENCE for comparison in found])),
        "speedup_deviation": float(speedups.std()),
        "speedups": speedups.tolist(),
        "difference_found": powers,
        "others_cores": [record.environment.conditions.others_cores for record in records],
        "environment": records[0].to_dict()["environment"],
    }
    out.write_text(json.dumps(result) + "\n", encoding="utf-8")
    for name in ("empty_call_ns", "called_different", "speedup_deviation", "difference_found"):
        click.echo(f"{name}: {result[name]}")


if __name__ == "__main__":
    main()
