"""What `edgebig diagnose` finds in models that stock settings broke, and whether the repair it names holds.

`python bench/quantize/diagnose.py FLOAT.onnx --data SAMPLES` quantizes the model in ways that are known to go wrong
(onnxruntime's own defaults for static int8, its percentile calibration cutting too much, samples scaled by 255, dynamic
int8 with one scale per weight), diagnoses each file on other samples than it was calibrated on, and then does what
diagnose says with the tool that made the file: the nodes it names are left out of quantization. The error before, the
error that diagnose promised, and the error that came of it go into a JSON file in `bench/results/`.
"""

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantType,
    quantize_dynamic,
    quantize_static,
)

from edgebig import diagnose_models, load_model, save_model
from edgebig.data.samples import Samples, open_samples
from edgebig.diagnose import DiagnoseOptions
from edgebig.evaluate.compare import compare_models
from edgebig.graph.interface import input_specs
from edgebig.targets.cpu_features import machine_facts

RESULTS = Path(__file__).resolve().parent.parent / "results"
Quantizer = Callable[[Path, Path, Samples, list[str]], None]


class Reader(CalibrationDataReader):
    """Hands samples, times a factor, to onnxruntime's calibrator."""

    def __init__(self, samples: Samples, factor: float = 1.0) -> None:
        self.feeds = iter(samples)
        self.factor = factor

    def get_next(self) -> dict[str, np.ndarray] | None:
        feed = next(self.feeds, None)
        if feed is None or self.factor == 1.0:
            return feed
        return {name: (array * self.factor).astype(array.dtype) for name, array in feed.items()}


def static(**settings: Any) -> Quantizer:
    """`quantize_static` with settings; `factor` scales the samples."""
    factor = settings.pop("factor", 1.0)

    def quantize(model: Path, output: Path, samples: Samples, exclude: list[str]) -> None:
        quantize_static(model, output, Reader(samples, factor), nodes_to_exclude=exclude, **settings)

    return quantize


def dynamic(model: Path, output: Path, samples: Samples, exclude: list[str]) -> None:
    """`quantize_dynamic`, int8 weights with one scale each."""
    quantize_dynamic(model, output, weight_type=QuantType.QInt8, nodes_to_exclude=exclude)


WAYS: dict[str, Quantizer] = {
    "static, defaults": static(),
    "static, percentile 99": static(
        per_channel=True,
        calibrate_method=CalibrationMethod.Percentile,
        extra_options={"CalibPercentile": 99.0},
    ),
    "static, samples times 255": static(per_channel=True, factor=255.0),
    "dynamic, per tensor": dynamic,
}


def excluded(command: str) -> list[str]:
    """The node names of a command line."""
    return [word.strip("'") for word in command.split(" --exclude ")[1:]]


def error_of(original: Path, changed: Path, samples: Samples) -> dict[str, float | None]:
    """SQNR and loss of the worst output."""
    rows = compare_models(original, changed, samples, threads=1).outputs
    worst = max(rows, key=lambda row: float("inf") if row.loss is None else row.loss)
    return {"loss": worst.loss, "sqnr_db": worst.sqnr_db}


def study(model: Path, way: str, calibration: Samples, held_out: Samples, folder: Path) -> dict[str, Any]:
    """Quantize in one way, diagnose, and repair with the same tool."""
    broken, repaired = folder / "broken.onnx", folder / "repaired.onnx"
    WAYS[way](model, broken, calibration, [])
    started = time.perf_counter()
    record = diagnose_models(model, broken, data=held_out, options=DiagnoseOptions(threads=1))
    found: dict[str, Any] = {
        "seconds": time.perf_counter() - started,
        "matched": record.matched,
        "unmatched": len(record.unmatched),
        "error": record.judged.error,
        "healthy": record.healthy,
        "first_wrong": record.first_wrong,
        "story": record.story,
        "causes": sorted({cause.kind for layer in record.layers for cause in layer.causes}),
        "remedies": [
            {"what": item.what, "error": item.result.error, "loss": item.result.loss, "helps": item.helps}
            for item in record.remedies
        ],
        "before": error_of(model, broken, held_out),
    }
    exclusion = next((item for item in record.remedies if "--exclude" in item.command), None)
    if exclusion is not None:
        names = excluded(exclusion.command)
        WAYS[way](model, repaired, calibration, names)
        found["excluded"] = len(names)
        found["after exclusion by the same tool"] = error_of(model, repaired, held_out)
        found["bytes"] = {"broken": broken.stat().st_size, "repaired": repaired.stat().st_size}
    return found


@click.command()
@click.argument("model", type=click.Path(path_type=Path, exists=True))
@click.option("--data", required=True, help="Samples; a half calibrates, the other is diagnosed on.")
@click.option("--samples", "limit", default=64, help="Use so many samples.")
@click.option("--way", "ways", multiple=True, type=click.Choice(list(WAYS)), help="Only these ways.")
@click.option("--name", help="Name of the result; the model's by default.")
def main(model: Path, data: str, limit: int, ways: tuple[str, ...], name: str | None) -> None:
    """Study one model."""
    specs = input_specs(load_model(model))
    halves = open_samples(data, specs, batch_size=8, limit=limit).split(2)
    record: dict[str, Any] = {"model": model.name, "machine": machine_facts(), "samples": limit, "ways": {}}
    with tempfile.TemporaryDirectory() as folder:
        plain = save_model(load_model(model), Path(folder) / "float.onnx")[0]
        onnx.checker.check_model(str(plain))
        for way in ways or tuple(WAYS):
            record["ways"][way] = found = study(plain, way, *halves, Path(folder))
            click.echo(f"{way}: error {found['error']}, {found['story'][-1]}")
    path = RESULTS / f"quantize_diagnose_{name or model.stem}.json"
    path.write_text(json.dumps(record) + "\n")
    click.echo(f"Written: {path}")


if __name__ == "__main__":
    main()
