"""Calibration of a ResNet-50 at 224x224: time and peak memory against the number of samples, and against onnxruntime.

`python bench/quantize/calibration.py` runs every case in a process of its own and writes
`bench/results/quantize_calibration.json`. A case's time is that of the whole calibration: building the session, going
through the samples, choosing ranges. "plain" runs the float model over the same samples, nothing else. Images are made
when their turn comes, so that memory is the calibrator's own. The ratio of gathering the statistics to the plain run is
that of neighbours: in each round both go over the same samples, one after the other.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from resnet50 import images, write_resnet50

ROOT = Path(__file__).resolve().parent.parent.parent
RESULT = ROOT / "bench" / "results" / "quantize_calibration.json"
HISTOGRAM_METHODS = ("percentile", "entropy", "mse")
# onnxruntime's histogram methods keep every intermediate tensor of every sample; they get this much.
PEER_LIMIT_BYTES = 8 << 30
BUDGET = 10**9


class _Clock:
    """Adds up the seconds, wall's and processor's, of the blocks that it is entered for."""

    def __init__(self) -> None:
        self.wall = self.cpu = 0.0

    def __enter__(self) -> "_Clock":
        self._began = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall += time.perf_counter() - self._began[0]
        self.cpu += time.process_time() - self._began[1]

    def __isub__(self, other: "_Clock") -> "_Clock":
        self.wall -= other.wall
        self.cpu -= other.cpu
        return self


def plain(model: Path, samples: int, batch: int, threads: int) -> dict[str, object]:
    """Run the float model over the samples."""
    from edgebig.graph.session import Session

    aside = _Clock()
    with _Clock() as running, Session(model, threads=threads) as session:
        for feed in timed_images(samples, batch, aside):
            session.run(feed)
    running -= aside
    return {"running_s": running.wall, "running_cpu_s": running.cpu}


def timed_images(samples: int, batch: int, aside: _Clock) -> Iterator[dict[str, NDArray]]:
    """The images; making them is timed apart."""
    made = iter(images(samples, batch))
    while True:
        with aside:
            feed = next(made, None)
        if feed is None:
            return
        yield feed


def ours(model: Path, samples: int, batch: int, threads: int) -> dict[str, object]:
    """Observe, and choose ranges by every method from the same statistics."""
    from edgebig import load_model
    from edgebig.data.samples import open_samples
    from edgebig.graph.interface import input_specs
    from edgebig.quantize.engine import StaticEngine
    from edgebig.quantize.prepare import prepare
    from edgebig.targets import targets

    loaded = load_model(model)
    first = next(images(1, 1))
    engine = StaticEngine(prepare(loaded, first, targets.get("ort-cpu")()))
    aside = _Clock()

    def feeds() -> Iterator[dict[str, NDArray]]:
        return timed_images(samples, batch, aside)

    whole = replace(
        open_samples([first], input_specs(loaded)), source="images", feeds=-(-samples // batch), _open=feeds
    )
    sizes = {name: size * batch for name, size in engine.bytes_per_sample.items()}
    with _Clock() as observing:
        engine.calibrate(whole, sizes, budget=BUDGET, threads=threads, use_cache=False)
    observing -= aside
    with _Clock() as choosing:
        ranges = {method: engine.ranges(method) for method in HISTOGRAM_METHODS}
    counted = sum(int(known.histogram.counts.sum()) for known in engine.statistics.values() if known.histogram)
    return {
        "tensors": len(ranges["mse"]),
        "running_s": observing.wall,
        "running_cpu_s": observing.cpu,
        "choosing_s": choosing.wall,
        "values": counted,
    }


def peer(model: Path, samples: int, batch: int, threads: int, *, method: str) -> dict[str, object]:
    """onnxruntime's calibrator, as its `quantize_static` makes it by default."""
    from onnxruntime.quantization import CalibrationMethod
    from onnxruntime.quantization.calibrate import CalibrationDataReader, create_calibrator

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._feeds = images(samples, batch)

        def get_next(self) -> dict[str, NDArray] | None:
            return next(self._feeds, None)

    if method != "MinMax":
        resource.setrlimit(resource.RLIMIT_AS, (PEER_LIMIT_BYTES, PEER_LIMIT_BYTES))
    with tempfile.TemporaryDirectory() as folder:
        calibrator = create_calibrator(
            model,
            augmented_model_path=str(Path(folder) / "augmented.onnx"),
            calibrate_method=getattr(CalibrationMethod, method),
        )
        calibrator.collect_data(Reader())
        return {"tensors": len(list(calibrator.compute_data().keys()))}


CASES = {
    "plain": plain,
    "ours": ours,
    "onnxruntime MinMax": lambda *args: peer(*args, method="MinMax"),
    "onnxruntime Percentile": lambda *args: peer(*args, method="Percentile"),
}


def run_case(case: str, model: Path, samples: int, batch: int, threads: int) -> dict[str, object]:
    """Run a case in a process of its own."""
    command = [sys.executable, __file__, "--case", case, "--model", str(model), "--samples", str(samples)]
    command += ["--batch", str(batch), "--threads", str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"ended by signal {-done.returncode}"])[-1]
        return {"case": case, "samples": samples, "failed": reason[:300]}
    row = {"case": case, "samples": samples, **json.loads(done.stdout.splitlines()[-1])}
    texts = [f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in row.items()]
    click.echo(", ".join(texts))
    return row


def summary(rows: list[dict[str, object]]) -> dict[str, object]:
    """The goals' figures."""
    own = sorted((r for r in rows if r["case"] == "ours" and "failed" not in r), key=lambda r: r["samples"])
    pairs = [(a, b) for a, b in pairwise(rows) if (a["case"], b["case"]) == ("plain", "ours") and "failed" not in b]
    peaks = {row["samples"]: row["peak_rss_mb"] for row in own}
    counts = sorted(peaks)
    return {
        "peak_rss_mb": max(row["peak_rss_mb"] for row in own),
        "peak_growth": peaks[counts[-1]] / peaks[counts[0]] - 1,
        "from_samples": counts[0],
        "to_samples": counts[-1],
        "ratio_to_plain": float(np.median([b["running_s"] / a["running_s"] for a, b in pairs])),
        "cpu_ratio_to_plain": float(np.median([b["running_cpu_s"] / a["running_cpu_s"] for a, b in pairs])),
    }


@click.command()
@click.option("--counts", default="64,512", show_default=True, help="Numbers of samples.")
@click.option("--peer-count", type=int, default=64, show_default=True)
@click.option("--rounds", type=int, default=3, show_default=True, help="Of the smallest number of samples.")
@click.option("--batch", type=int, default=1, show_default=True)
@click.option("--threads", type=int, default=1, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=RESULT, show_default=True)
@click.option("--case", type=click.Choice(list(CASES)), hidden=True)
@click.option("--model", type=click.Path(path_type=Path), hidden=True)
@click.option("--samples", type=int, hidden=True)
def main(
    counts: str,
    peer_count: int,
    rounds: int,
    batch: int,
    threads: int,
    out: Path,
    case: str | None,
    model: Path | None,
    samples: int | None,
) -> None:
    """Measure calibration."""
    if case is not None and model is not None and samples is not None:
        began = time.perf_counter()
        found = CASES[case](model, samples, batch, threads)
        found |= {"wall_s": time.perf_counter() - began, "cpu_s": time.process_time()}
        click.echo(json.dumps(found | {"peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3}))
        return
    from edgebig.bench.environment import EnvironmentWatch

    watch = EnvironmentWatch()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "resnet50.onnx"
        write_resnet50(path)
        numbers = sorted(int(text) for text in counts.split(","))
        rows = [
            run_case(name, path, count, batch, threads)
            for count in [numbers[0]] * (rounds - 1) + numbers
            for name in ("plain", "ours")
        ]
        peers = [name for name in CASES if name.startswith("onnxruntime")]
        rows += [run_case(name, path, peer_count, batch, threads) for name in peers]
    result = {"batch": batch, "threads": threads, "budget": BUDGET, **summary(rows), "rows": rows}
    result["peer_limit_bytes"] = PEER_LIMIT_BYTES
    result["environment"] = asdict(watch.environment())
    out.write_text(json.dumps(result) + "\n", encoding="utf-8")
    click.echo(json.dumps(summary(rows)))


if __name__ == "__main__":
    main()
