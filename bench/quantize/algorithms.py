"""What each accuracy algorithm brings on real models: static int8 without any, with each alone, and by effort.

`python bench/quantize/algorithms.py NAME=FLOAT.onnx:CALIBRATION.npz[:TEST.npz] ...` observes ranges on the calibration
samples (every fourth feed is held out for the algorithms' own judging), and compares outputs on test samples that no
algorithm has seen. Without TEST.npz the last quarter of the calibration samples is kept for that. It writes
bench/results/quantize_algorithms.json. SQNR is the mean over samples of 10 log10(sum y^2 / sum (y - yq)^2).
"""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig import load_model
from edgebig.data.samples import open_samples
from edgebig.evaluate.output_loss import OutputLoss
from edgebig.graph.interface import input_specs
from edgebig.graph.session import Session
from edgebig.quantize.algorithms.improve import Setting, improve
from edgebig.quantize.algorithms.output_error import output_error
from edgebig.quantize.algorithms.presets import Switches, Use, switches_for
from edgebig.quantize.engine import StaticChoice, StaticEngine
from edgebig.quantize.prepare import prepare
from edgebig.quantize.weight_bits import weight_rule
from edgebig.targets import targets
from edgebig.targets.cpu_features import cpu_model, has_vnni

RESULTS = Path(__file__).resolve().parent.parent / "results"
TARGET = "ort-cpu"
CASES: Mapping[str, Switches] = {
    "none": Switches(),
    "equalize": Switches(equalize=Use.ALWAYS),
    "smooth_quant": Switches(smooth_quant=Use.ALWAYS),
    "weight_mse": Switches(weight_mse=Use.ALWAYS),
    "bias_correction": Switches(bias_correction=Use.ALWAYS),
    "gptq": Switches(bias_correction=Use.ALWAYS, gptq=Use.ALWAYS),
    "adaround": Switches(bias_correction=Use.ALWAYS, adaround=Use.ALWAYS),
    "default effort": switches_for("default"),
}
Arrays = dict[str, NDArray]


def read(text: str) -> tuple[str, Path, Arrays, Arrays]:
    """NAME=MODEL:CALIBRATION[:TEST] as a name, the model's path, and the samples."""
    name, _, rest = text.partition("=")
    parts = rest.split(":")
    if not name or len(parts) not in (2, 3):
        raise click.UsageError(f"{text!r} is not NAME=MODEL:CALIBRATION[:TEST].")
    calibration = dict(np.load(parts[1]))
    if len(parts) == 3:
        return name, Path(parts[0]), calibration, dict(np.load(parts[2]))
    first = next(iter(calibration.values()))
    kept = len(first) - len(first) // 4
    split = ({key: array[part] for key, array in calibration.items()} for part in (slice(kept), slice(kept, None)))
    return name, Path(parts[0]), *split


def outputs(model: ir.Model | Path, feeds: list[Arrays]) -> NDArray[np.float64]:
    """The first output on all feeds, [samples, numbers]."""
    with Session(model, threads=1) as session:
        arrays = [next(iter(session.run(feed).values())) for feed in feeds]
    return np.concatenate([array.reshape(len(array), -1) for array in arrays]).astype(np.float64)


def distances(reference: NDArray, found: NDArray) -> dict[str, float]:
    """SQNR and agreement of the largest entries."""
    noise = np.square(reference - found).sum(-1)
    sqnr = 10 * np.log10(np.square(reference).sum(-1) / np.maximum(noise, 1e-30))
    agreement = (reference.argmax(-1) == found.argmax(-1)).mean()
    return {"sqnr_db": round(float(sqnr.mean()), 2), "same_largest": round(float(agreement), 4)}


def measure(path: Path, calibration: Arrays, test: Arrays, batch: int, skip: tuple[str, ...]) -> dict[str, Any]:
    """All cases of one model, but for some."""
    model, target = load_model(path), targets.get(TARGET)()
    specs = input_specs(model)
    observed, held_out = open_samples(calibration, specs, batch_size=batch).split()
    sample = next(iter(open_samples(calibration, specs, batch_size=1)))
    feeds = list(open_samples(test, specs, batch_size=batch))
    reference = outputs(path, feeds)
    engine = StaticEngine(prepare(model, sample, target))
    larger = sum(a.nbytes for a in next(iter(observed)).values()) / sum(a.nbytes for a in sample.values())
    began = time.perf_counter()
    sizes = {name: int(size * larger) for name, size in engine.bytes_per_sample.items()}
    engine.calibrate(observed, sizes, budget=1 << 30, threads=1)
    seconds = time.perf_counter() - began
    judge = OutputLoss(model, held_out, threads=1)
    setting = Setting(
        observed=observed,
        judge=lambda changed: output_error(judge, changed),
        ranges=lambda other: other.ranges("mse"),
        larger=larger,
        threads=1,
    )
    start = StaticChoice(ranges=engine.ranges("mse"), rule=weight_rule("auto", target)[0])
    rows = {}
    for case, switches in CASES.items():
        if case in skip:
            continue
        began = time.perf_counter()
        found = improve(engine, start, setting, switches)
        rows[case] = distances(reference, outputs(found.engine.write(found.choice).model, feeds)) | {
            "held_out_error": round(found.loss, 6),
            "seconds": round(time.perf_counter() - began, 1),
            "steps": [
                {"algorithm": row.algorithm, "kept": row.kept, "places": len(row.where), "reason": row.reason}
                for row in found.reports
            ],
        }
        click.echo(f"{case:<16} {rows[case]['sqnr_db']:.2f} dB, held-out error {found.loss:.5f}")
    return {"test_samples": len(reference), "calibration_seconds": round(seconds, 1), "cases": rows}


@click.command()
@click.argument("models", nargs=-1, required=True)
@click.option("--batch", type=int, default=32, show_default=True, help="Samples in a feed.")
@click.option("--skip", type=click.Choice(list(CASES)), multiple=True, help="Cases to leave out.")
@click.option("--add", is_flag=True, help="Keep the other models that the file holds.")
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS / "quantize_algorithms.json")
def main(models: tuple[str, ...], batch: int, skip: tuple[str, ...], add: bool, out: Path) -> None:
    """Measure MODELS: NAME=FLOAT.onnx:CALIBRATION.npz[:TEST.npz]."""
    result: dict[str, Any] = {"cpu": cpu_model(), "vnni": has_vnni(), "target": TARGET, "ranges": "mse", "models": {}}
    if add and out.is_file():
        result["models"] = json.loads(out.read_text(encoding="utf-8"))["models"]
    for text in models:
        name, path, calibration, test = read(text)
        click.echo(name)
        result["models"][name] = measure(path, calibration, test, batch, skip)
        out.write_text(json.dumps(result) + "\n", encoding="utf-8")
    click.echo(f"wrote {out}")


if __name__ == "__main__":
    main()
