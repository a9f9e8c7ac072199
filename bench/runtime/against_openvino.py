"""edgebig's runtime and onnxruntime against OpenVINO, on the same int8 files.

`python bench/runtime/against_openvino.py NAME=INT8.onnx` checks the answers, then measures all three interleaved: one
thread, one stream, latency mode, inputs set once. OpenVINO reads QDQ models; it is no dependency of ours:
`pip install openvino`. Writes `bench/results/runtime_openvino.json`.
"""

import importlib
import json
import platform
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from edgebig import load_model
from edgebig.bench.environment import EnvironmentWatch
from edgebig.bench.inputs import make_feed
from edgebig.cli.options import data_option, sizes_options
from edgebig.graph.interface import input_specs
from edgebig.records.measurement import BenchOptions
from edgebig.runtime import InferenceSession
from edgebig.runtime.contest import bound, sqnr
from edgebig.timing.comparison import compare_rounds
from edgebig.timing.rounds import measure_rounds
from edgebig.timing.schedule import plan_turn
from edgebig.timing.statistics import summarise
from edgebig.timing.warmup import warm_up

RESULTS = Path(__file__).resolve().parent.parent / "results"
# OpenVINO rounds elsewhere than onnxruntime; what is further off than this is another computation.
LEAST_SQNR = 15.0
CPU = ["CPUExecutionProvider"]


def openvino_run(path: Path, feed: dict[str, NDArray], outputs: int) -> tuple[Any, list[NDArray]]:
    """A call that runs the model in OpenVINO on one thread, and its answers."""
    openvino = importlib.import_module("openvino")
    core = openvino.Core()
    model = core.read_model(str(path))
    model.reshape({name: list(array.shape) for name, array in feed.items()})
    settings = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"}
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    for name, array in feed.items():
        request.set_tensor(name, openvino.Tensor(array, shared_memory=True))
    request.infer()
    return request.infer, [request.get_output_tensor(i).data.copy() for i in range(outputs)]


def compare(name: str, path: Path, feed: dict[str, NDArray], seconds: float) -> dict[str, Any]:
    """Measure one model in the three runtimes and print it.

    Raises:
        click.ClickException: OpenVINO's answers are others.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    ours, stock = InferenceSession(path, options), onnxruntime.InferenceSession(path, options, providers=CPU)
    expected = stock.run(None, feed)
    infer, answers = openvino_run(path, feed, len(expected))
    far = min(float(sqnr(a, b)) for a, b in zip(expected, answers, strict=True))
    if far < LEAST_SQNR:
        raise click.ClickException(f"{name}: OpenVINO's answers are {far:.1f} dB off; nothing was measured.")
    runs = [infer, bound(stock, feed, expected), bound(ours, feed, ours.run(None, feed))]
    turns = [plan_turn(warm_up(run).call_ns) for run in runs]
    values = measure_rounds(runs, turns, rounds=200, budget_ns=int(seconds * 1e9))
    found = {key: compare_rounds(values[0], values[i]) for i, key in ((1, "onnxruntime"), (2, "edgebig"))}
    medians = [float(np.median(v)) / 1e6 for v in values]
    ratio, names = found["edgebig"], ("openvino", "onnxruntime", "edgebig")
    click.echo(
        f"{name:<28} openvino {medians[0]:8.3f} ms, onnxruntime {medians[1]:8.3f}, edgebig {medians[2]:8.3f}; "
        f"edgebig over openvino {ratio.speedup:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]"
    )
    summaries = {key: asdict(summarise(v)) for key, v in zip(names, values, strict=True)}
    return {
        "name": name,
        "file": path.name,
        "openvino_sqnr_db": min(far, 999.0),
        "summaries": summaries,
        "over_openvino": {key: asdict(value) for key, value in found.items()},
    }


@click.command()
@click.argument("models", metavar="NAME=INT8.onnx...", nargs=-1, required=True)
@data_option(required=False)
@sizes_options
@click.option("--time", "seconds", type=float, default=15.0, show_default=True, help="Seconds for each model.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), default=RESULTS / "runtime_openvino.json")
def main(
    models: tuple[str, ...], data: str | None, batch: int | None, dims: dict[str, int], seconds: float, out: Path
) -> None:
    """Measure int8 models in OpenVINO, onnxruntime and edgebig."""
    watch, results = EnvironmentWatch(), []
    for name, _, given in (model.partition("=") for model in models):
        path = Path(given)
        options = BenchOptions(batch=batch, dims=dims, threads=1)
        try:
            feed = make_feed(input_specs(load_model(path)), data, options)[0]
        except Exception as e:
            raise click.ClickException(f"{name}: {e}") from e
        results.append(compare(name, path, feed, seconds))
    version = importlib.import_module("openvino").__version__
    facts = json.loads(json.dumps(watch.environment(), default=lambda value: asdict(value)))
    kept = {"openvino": version, "python": platform.python_version(), "results": results, "environment": facts}
    out.write_text(json.dumps(kept) + "\n", encoding="utf-8")
    click.echo(f"wrote {out}")


if __name__ == "__main__":
    main()
