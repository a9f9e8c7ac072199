"""Weights in 4 and 8 bits: memory it takes to make them, what they lose, and when they are faster.

`python bench/quantize/weight_only.py` measures a product of one layer for 1 to 128 rows, and the peak memory of
quantizing a synthetic decoder of 3 GB. Real models are added with --model NAME=FLOAT.onnx,
--samples NAME=CALIBRATION.npz and --score NAME=MODULE:CALLABLE, which takes a path of a model and returns its score.
"""

import importlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx_ir as ir
from synthetic_transformer import write_transformer

from edgebig import load_model, save_model
from edgebig.bench.environment import EnvironmentWatch
from edgebig.data.samples import open_samples
from edgebig.graph.interface import input_specs
from edgebig.graph.session import Session
from edgebig.quantize.half import convert_to_half
from edgebig.quantize.weight_only import WeightOnlySettings, quantize_weights
from edgebig.timing.comparison import compare_rounds
from edgebig.timing.rounds import measure_rounds
from edgebig.timing.schedule import plan_turn
from edgebig.timing.warmup import warm_up

RESULTS = Path(__file__).resolve().parent.parent / "results"
SETTLE_NS = 300_000
KINDS: dict[str, dict[str, Any]] = {
    "int8": {"bits": 8},
    "int8 qdq": {"bits": 8, "format": "qdq"},
    "int4": {"bits": 4},
    "int4 qdq": {"bits": 4, "format": "qdq"},
    "int4, activations float": {"bits": 4, "accuracy_level": 0},
    "int8, activations float": {"bits": 8, "accuracy_level": 0},
}
FLOAT16 = "float16"
METHODS: dict[str, dict[str, Any]] = {
    FLOAT16: {},
    "int8": {"bits": 8},
    "int4 rounded": {"bits": 4, "search": False},
    "int4 least squares": {"bits": 4},
    "int4 hqq": {"bits": 4, "method": "hqq"},
    "int4 gptq": {"bits": 4, "method": "gptq", "threads": 1},
}


def layer(inputs: int, outputs: int) -> ir.Model:
    """A model of one product."""
    weight = np.random.default_rng(0).standard_normal((inputs, outputs)).astype(np.float32)
    x = ir.val("x", ir.DataType.FLOAT, ["n", inputs])
    w = ir.val("w", const_value=ir.tensor(weight, name="w"))
    node = ir.node("MatMul", [x, w], num_outputs=1)
    node.outputs[0].name, node.outputs[0].type = "y", ir.TensorType(ir.DataType.FLOAT)
    graph = ir.Graph([x], node.outputs, nodes=[node], initializers=[w], opset_imports={"": 18}, name="layer")
    return ir.Model(graph, ir_version=8)


def speed(inputs: int, outputs: int, rows: int, seconds: float) -> dict[str, Any]:
    """Every kind against the float product, interleaved, on one thread."""
    original = layer(inputs, outputs)
    models = {"float": original}
    models |= {name: quantize_weights(original, settings=WeightOnlySettings(**kind))[0] for name, kind in KINDS.items()}
    sessions = [Session(model, threads=1) for model in models.values()]
    feed = {"x": np.random.default_rng(1).standard_normal((rows, inputs)).astype(np.float32)}
    runs = [_call(session, feed) for session in sessions]
    limit = int(seconds * 1e9 / 8)
    schedules = [plan_turn(warm_up(run, limit_ns=limit).call_ns, settle_ns=SETTLE_NS) for run in runs]
    values = measure_rounds(runs, schedules, rounds=30, budget_ns=int(seconds * 1e9))
    found = {"inputs": inputs, "outputs": outputs, "rows": rows, "microseconds": {}, "against_float": {}}
    for name, times in zip(models, values, strict=True):
        found["microseconds"][name] = round(float(np.median(times)) / 1e3, 1)
        if name != "float":
            found["against_float"][name] = asdict(compare_rounds(values[0], times))
    ratios = ", ".join(f"{name} {entry['speedup']:.2f}" for name, entry in found["against_float"].items())
    click.echo(f"{inputs} x {outputs}, {rows:>3} rows: {ratios}")
    return found


def memory(size: float, folder: Path) -> dict[str, Any]:
    """Peak memory of quantizing the synthetic decoder, each in a process of its own."""
    source = folder / "synthetic.onnx"
    found: dict[str, Any] = {"weight_bytes": write_transformer(source, size * 1e9)}
    for name, settings in {"int4": {"bits": 4}, "int8": {"bits": 8}}.items():
        script = Path(__file__).with_name("quantize_once.py")
        command = [sys.executable, str(script), str(source), str(folder / "small.onnx"), json.dumps(settings)]
        found[name] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        click.echo(
            f"{found['weight_bytes'] / 1e9:.2f} GB to {name}: {found[name]['peak_bytes'] / 1e6:.0f} MB at the peak, "
            f"{found[name]['seconds']:.0f} s, {found[name]['bytes'] / 1e6:.0f} MB"
        )
    return found


def quality(
    path: Path, samples: Path | None, score: Callable[[str], float], folder: Path, methods: tuple[str, ...]
) -> dict[str, Any]:
    """Bytes, score, and seconds of the methods named (all without names)."""
    model = load_model(path)
    found: dict[str, Any] = {"float": {"bytes": path.stat().st_size, "score": score(str(path))}}
    click.echo(f"{path.stem}: float {found['float']['score']:.4f}")
    everything = _weights(model)
    for name, settings in METHODS.items():
        if (settings.get("method") == "gptq" and samples is None) or (methods and name not in methods):
            continue
        feeds = open_samples(samples, input_specs(model)) if samples is not None else None
        start = time.perf_counter()
        if name == FLOAT16:
            result, changes = convert_to_half(model)
        else:
            result, changes = quantize_weights(model, settings=WeightOnlySettings(**settings), samples=feeds)
        seconds = time.perf_counter() - start
        (saved, *_) = save_model(result, folder / "small.onnx", force=True, external_data=False)
        found[name] = {
            "bytes": saved.stat().st_size,
            "score": score(str(saved)),
            "seconds": seconds,
            "share_of_weights": sum(change.weights for change in changes) / everything,
        }
        click.echo(
            f"{path.stem}: {name} {found[name]['score']:.4f}, {saved.stat().st_size / 1e6:.1f} MB, {seconds:.0f} s"
        )
    return found


def _weights(model: ir.Model) -> int:
    """Numbers in all float constants."""
    values = [value.const_value for graph in model.graphs() for value in graph.initializers.values()]
    return sum(int(tensor.size) for tensor in values if tensor is not None and tensor.dtype.is_floating_point())


def _call(session: Session, feed: Mapping[str, np.ndarray]) -> Callable[[], None]:
    inner, inputs = session.inner, dict(feed)
    return lambda: inner.run(None, inputs)


def _pairs(entries: tuple[str, ...]) -> dict[str, str]:
    return dict(entry.split("=", 1) for entry in entries)


@click.command()
@click.option("--model", multiple=True, help="NAME=FLOAT.onnx")
@click.option("--samples", multiple=True, help="NAME=CALIBRATION.npz, for GPTQ")
@click.option("--score", multiple=True, help="NAME=MODULE:CALLABLE, path of a model -> its score")
@click.option("--method", multiple=True, type=click.Choice(list(METHODS)), help="Only these methods.")
@click.option("--size", type=float, default=3.05, show_default=True, help="GB of the synthetic decoder; 0 for none.")
@click.option("--time", "seconds", type=float, default=4.0, show_default=True, help="Seconds per comparison; 0: none.")
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS / "quantize_weight_only.json")
def main(
    model: tuple[str, ...],
    samples: tuple[str, ...],
    score: tuple[str, ...],
    method: tuple[str, ...],
    size: float,
    seconds: float,
    out: Path,
) -> None:
    """Measure, and write the figures; sections that are not asked for stay as the file has them."""
    found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {}
    watch = EnvironmentWatch()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if seconds:
            shapes = ((576, 1536), (2048, 2048))
            found["speed"] = [speed(*shape, rows, seconds) for shape in shapes for rows in (1, 16, 128)]
        if size:
            found["memory"] = memory(size, folder)
        scores, calibration = _pairs(score), _pairs(samples)
        for label, path in _pairs(model).items():
            module, attribute = scores[label].split(":")
            judge = getattr(importlib.import_module(module), attribute)
            given = Path(calibration[label]) if label in calibration else None
            found.setdefault("quality", {}).setdefault(label, {}).update(
                quality(Path(path), given, judge, folder, method)
            )
    found["environment"] = json.loads(json.dumps(watch.environment(), default=asdict))
    out.write_text(json.dumps(found) + "\n", encoding="utf-8")
    click.echo(f"wrote {out}")


if __name__ == "__main__":
    main()
