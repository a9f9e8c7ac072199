"""What `edgebig quantize` makes of a model at its defaults, beside onnxruntime's static and dynamic int8.

`python -m bench.quantize.defaults NAME=FLOAT.onnx:CALIBRATION.npz:TEST.npz ...` quantizes each model by all three,
compares outputs on the test samples (SQNR: the mean over samples of 10 log10(sum y^2 / sum (y - yq)^2) of the first
output; top1 where TEST.npz has a `label`), and measures latency, interleaved, in onnxruntime, and of ours in edgebig's
runtime. It writes bench/results/quantize_defaults.json.
"""

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from bench.models import peer
from edgebig import bench_models, load_model, quantize_model, save_model
from edgebig.data.samples import open_samples
from edgebig.graph.interface import input_specs
from edgebig.graph.session import Session
from edgebig.records.measurement import BenchOptions
from edgebig.records.quantize import QuantizeOptions
from edgebig.targets.cpu_features import cpu_model, has_vnni

RESULTS = Path(__file__).resolve().parent.parent / "results" / "quantize_defaults.json"
LABEL = "label"
FLOAT, OURS, STATIC, DYNAMIC = "float", "edgebig", "quantize_static", "quantize_dynamic"
Arrays = dict[str, NDArray]


def make(path: Path, calibration: Arrays, folder: Path) -> tuple[dict[str, Path], dict[str, Any]]:
    """The float model, and what the three make of it; and facts of ours."""
    paths = {FLOAT: path, OURS: folder / "ours.onnx"}
    began = time.perf_counter()
    result, record = quantize_model(path, data=calibration, options=QuantizeOptions(threads=1, cache=False))
    facts = {
        "scheme": record.scheme,
        "calibration": record.calibration,
        "algorithms": [row.algorithm for row in record.algorithms if row.kept],
        "weight_share": round(record.weight_share, 4),
        "multiply_add_share": round(record.multiply_add_share, 4),
        "seconds": round(time.perf_counter() - began, 1),
    }
    save_model(result, paths[OURS])
    samples = open_samples(calibration, input_specs(load_model(path)), batch_size=32)
    for name, work in (
        (STATIC, lambda out: peer.quantize(path, samples, out)),
        (DYNAMIC, lambda out: peer.quantize_dynamically(path, out)),
    ):
        try:
            work(folder / f"{name}.onnx")
            Session(folder / f"{name}.onnx", threads=1)
            paths[name] = folder / f"{name}.onnx"
        except Exception as e:  # a peer may fail on a model in any way; that is a result
            facts[f"{name} failed"] = str(e).strip().split("\n")[0][:200]
    return paths, facts


def answers(path: Path, test: Arrays) -> NDArray[np.float64]:
    """The first output on the test samples, [samples, numbers]."""
    feeds = open_samples(test, input_specs(load_model(path)), batch_size=32)
    with Session(path, threads=1) as session:
        arrays = [next(iter(session.run(feed).values())) for feed in feeds]
    return np.concatenate([array.reshape(len(array), -1) for array in arrays]).astype(np.float64)


def judge(paths: dict[str, Path], test: Arrays) -> dict[str, dict[str, Any]]:
    """Size, SQNR and top1 of each."""
    labels = test.get(LABEL)
    feeds = {name: array for name, array in test.items() if name != LABEL}
    reference = answers(paths[FLOAT], feeds)
    rows: dict[str, dict[str, Any]] = {}
    for name, path in paths.items():
        found = answers(path, feeds)
        rows[name] = {"kb": round(path.stat().st_size / 1000, 1)}
        if name != FLOAT:
            noise = np.square(reference - found).sum(-1)
            levels = 10 * np.log10(np.square(reference).sum(-1) / np.maximum(noise, 1e-30))
            rows[name]["sqnr_db"] = round(float(levels.mean()), 2)
        if labels is not None:
            rows[name]["top1"] = round(float((found.argmax(-1) == labels[: len(found)]).mean()), 4)
    return rows


def speed(paths: dict[str, Path], calibration: Arrays, batch: int, seconds: float) -> dict[str, list[float]]:
    """Speed-up over float, [median, low, high]; of ours in edgebig's runtime as well, under its own name."""
    feed = {name: array[:batch] for name, array in calibration.items()}
    options = BenchOptions(time=seconds)
    rows = bench_models([paths[name] for name in paths], data=[feed], options=options).models
    found = {name: row.comparison for name, row in zip(paths, rows, strict=True) if row.comparison is not None}
    options = BenchOptions(time=seconds, runtimes=("ort", "edgebig"))
    last = bench_models([paths[FLOAT], paths[OURS]], data=[feed], options=options).models[-1]
    if last.comparison is not None:
        found["edgebig in edgebig.runtime"] = last.comparison
    return {name: [round(value, 3) for value in (row.speedup, row.low, row.high)] for name, row in found.items()}


@click.command()
@click.argument("models", nargs=-1, required=True)
@click.option("--seconds", type=float, default=6.0, show_default=True, help="Per measurement.")
@click.option("--batch", type=int, multiple=True, default=(1,), help="Batch sizes to measure.")
@click.option("--add", is_flag=True, help="Keep the other models that the file holds.")
def main(models: tuple[str, ...], seconds: float, batch: tuple[int, ...], add: bool) -> None:
    """Quantize and measure MODELS: NAME=FLOAT.onnx:CALIBRATION.npz:TEST.npz."""
    result: dict[str, Any] = {"cpu": cpu_model(), "vnni": has_vnni(), "models": {}}
    if add and RESULTS.is_file():
        result["models"] = json.loads(RESULTS.read_text(encoding="utf-8"))["models"]
    for text in models:
        name, _, rest = text.partition("=")
        model, samples, test = rest.split(":")
        calibration = dict(np.load(samples))
        with tempfile.TemporaryDirectory() as folder:
            paths, facts = make(Path(model), calibration, Path(folder))
            rows = judge(paths, dict(np.load(test)))
            for size in batch:
                for runner, ratios in speed(paths, calibration, size, seconds).items():
                    rows.setdefault(runner, {})[f"speedup_batch_{size}"] = ratios
        result["models"][name] = {"ours": facts, "rows": rows}
        click.echo(f"{name}: {facts['scheme']}")
        for runner, row in rows.items():
            click.echo(f"  {runner:<28} {row}")
        RESULTS.write_text(json.dumps(result) + "\n", encoding="utf-8")
    click.echo(f"wrote {RESULTS}")


if __name__ == "__main__":
    main()
