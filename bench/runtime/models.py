"""Whole models: edgebig's runtime on int8 against onnxruntime on the same int8 model, and on the float model.

`python bench/runtime/models.py fashion=fashion.int8.onnx --float fashion=fashion.onnx` checks the answers, measures all
sessions interleaved with bound memory, on one thread and on two, then two threads against one, and the time to build a
session for the first time and from the cache, and writes `bench/results/runtime_fashion.json`. Several models may be
given; --data, --batch and --dim are for all of them.
"""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from edgebig import bench_models, load_model
from edgebig.bench.inputs import make_feed
from edgebig.cli.options import data_option, sizes_options
from edgebig.graph.interface import input_specs
from edgebig.records.measurement import BenchOptions, MeasurementRecord
from edgebig.runtime import InferenceSession
from edgebig.runtime.contest import bound, sqnr
from edgebig.timing.comparison import compare_rounds
from edgebig.timing.rounds import measure_rounds
from edgebig.timing.schedule import SPIN_NS, plan_turn
from edgebig.timing.warmup import warm_up

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parent / "results"
RUNTIMES = ("ort", "edgebig")
# In dB, to onnxruntime without rewriting (quantized nodes in float): below it, answers are others and nothing is timed.
LEAST_SQNR = 20.0
BUILDS = 3

Feed = dict[str, NDArray[Any]]


def named(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, Path]:
    """NAME=PATH, each an existing file."""
    pairs = [value.partition("=") for value in values]
    for name, _, path in pairs:
        if not name or not Path(path).is_file():
            raise click.BadParameter(f"{name}={path}: give NAME=PATH of a file that exists.", context, parameter)
    return {name: Path(path).resolve() for name, _, path in pairs}


def options_of(threads: int, *, rewrite: bool = True) -> Any:
    """Options of a quiet session."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 4
    if not rewrite:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return options


def check_answers(path: Path, feed: Feed, threads: int) -> dict[str, float]:
    """How far both runtimes' answers are from those of quantized nodes computed in float, in dB: the worst output.

    Raises:
        click.ClickException: Ours are too far off for its speed to mean anything.
    """
    cpu = ["CPUExecutionProvider"]
    sessions = {
        "exact": onnxruntime.InferenceSession(path, options_of(threads, rewrite=False), providers=cpu),
        "ort": onnxruntime.InferenceSession(path, options_of(threads), providers=cpu),
        "edgebig": InferenceSession(path, options_of(threads)),
    }
    answers = {name: session.run(None, feed) for name, session in sessions.items()}
    found = {
        name: min(float(sqnr(a, b)) for a, b in zip(answers["exact"], answers[name], strict=True)) for name in RUNTIMES
    }
    if found["edgebig"] < LEAST_SQNR:
        raise click.ClickException(f"{path.name}: answers are {found['edgebig']:.1f} dB off; nothing was measured.")
    return {name: min(value, 999.0) for name, value in found.items()}


def build_times(path: Path, feed: Feed, threads: int) -> dict[str, Any]:
    """Sessions built in processes of their own: ours with an empty cache, then ours and onnxruntime's in turn."""
    shapes = json.dumps({name: (array.shape, str(array.dtype)) for name, array in feed.items()})

    def build(runtime: str) -> dict[str, float]:
        command = [sys.executable, str(HERE / "build_time.py"), runtime, str(path), str(threads), shapes]
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        return dict(json.loads(result.stdout.splitlines()[-1]))

    times: dict[str, Any] = {"first": build("edgebig"), "from_cache": [], "ort": []}
    for _ in range(BUILDS):
        times["from_cache"].append(build("edgebig"))
        times["ort"].append(build("ort"))
    return times


def two_against_one(path: Path, feed: Feed, seconds: float) -> dict[str, Any]:
    """Ours on two threads against ours on one, interleaved."""
    sessions = [InferenceSession(path, options_of(threads)) for threads in (1, 2)]
    runs = [bound(session, feed, session.run(None, feed)) for session in sessions]
    turns = [plan_turn(warm_up(run).call_ns, settle_ns=SPIN_NS) for run in runs]
    values = measure_rounds(runs, turns, rounds=200, budget_ns=int(seconds * 1e9), seed=0)
    return asdict(compare_rounds(values[0], values[1]))


def report(threads: int, record: MeasurementRecord, answers: dict[str, float], builds: dict[str, Any]) -> None:
    """Print what was found, one line per session."""
    click.echo(f"{threads} thread(s); answers to exact: " + ", ".join(f"{k} {v:.1f} dB" for k, v in answers.items()))
    for model in record.models:
        ratios = [
            f"{words} {found.speedup:.2f} [{found.low:.2f}, {found.high:.2f}]"
            for words, found in (("against first", model.comparison), ("against itself in ort", model.same_model))
            if found is not None
        ]
        click.echo(f"  {model.name:<40} p50 {model.summary.p50 / 1e3:10.1f} us  {'; '.join(ratios)}")
    cached, ort = (float(np.median([t["build_s"] for t in builds[name]])) for name in ("from_cache", "ort"))
    click.echo(
        f"  built in {builds['first']['build_s']:.1f} s first, {cached:.2f} s from the cache, {ort:.2f} s by ort"
    )


@click.command()
@click.argument("models", metavar="NAME=INT8.onnx...", nargs=-1, required=True, callback=named)
@click.option("--float", "floats", metavar="NAME=FLOAT.onnx", multiple=True, callback=named, help="The float model.")
@data_option(required=False)
@sizes_options
@click.option("--threads", type=int, multiple=True, default=(1, 2), show_default=True)
@click.option("--time", "seconds", type=float, default=15.0, show_default=True, help="Seconds for each measurement.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=RESULTS, help="Folder of the results.")
def main(
    models: dict[str, Path],
    floats: dict[str, Path],
    data: str | None,
    batch: int | None,
    dims: dict[str, int],
    threads: tuple[int, ...],
    seconds: float,
    out: Path,
) -> None:
    """Measure int8 models in both runtimes, against their float models."""
    for name, path in models.items():
        result: dict[str, Any] = {"name": name, "int8": path.name, "threads": {}}
        paths = [floats[name], path] if name in floats else [path]
        for count in threads:
            options = BenchOptions(batch=batch, dims=dims, threads=count, time=seconds, runtimes=RUNTIMES)
            feed = make_feed(input_specs(load_model(path)), data, options)[0]
            with tempfile.TemporaryDirectory() as folder:
                os.environ["EDGEBIG_CACHE"] = folder
                builds = build_times(path, feed, count)
                answers = check_answers(path, feed, count)
                record = bench_models(paths, data=data, options=options)
                found = {"builds": builds, "answers_db": answers, "measurement": record.to_dict()}
                if count == 2:
                    found["two_threads_against_one"] = two_against_one(path, feed, seconds)
            click.echo(name)
            report(count, record, answers, builds)
            result["threads"][str(count)] = found
        target = out / f"runtime_{name}.json"
        target.write_text(json.dumps(result) + "\n", encoding="utf-8")
        click.echo(f"wrote {target}")


if __name__ == "__main__":
    main()
