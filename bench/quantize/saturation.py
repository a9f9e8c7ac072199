"""What 16-bit saturation does to a stock int8 model on this processor, and what `edgebig lint --fix` makes of it.

`python bench/quantize/saturation.py FLOAT.onnx --data SAMPLES` quantizes the model with onnxruntime's `quantize_static`
(U8S8, per channel, weights of 8 bits), lets lint find what saturates, and repairs it: every weight that could saturate
(no samples), and those that did on the samples. Each file is run as its operators say and as onnxruntime runs it; their
difference is what the processor's arithmetic costs. On processors with VNNI all are equal.
"""

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

from edgebig import bench_models, load_model, save_model
from edgebig.data.samples import Samples, open_samples
from edgebig.graph.interface import input_specs
from edgebig.graph.session import Session
from edgebig.lint import lint_model
from edgebig.records.lint import LintOptions
from edgebig.records.measurement import BenchOptions
from edgebig.targets.cpu_features import has_vnni, machine_facts

RESULTS = Path(__file__).resolve().parent.parent / "results"


class Reader(CalibrationDataReader):
    """Hands samples to onnxruntime's calibrator."""

    def __init__(self, samples: Samples) -> None:
        self.feeds = iter(samples)

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.feeds, None)


def outputs(path: Path, samples: Samples, *, optimize: bool) -> np.ndarray:
    """The first output on all samples."""
    with Session(path, threads=1, optimize=optimize) as session:
        return np.concatenate([next(iter(session.run(feed).values())) for feed in samples])


def judged(path: Path, reference: np.ndarray, samples: Samples) -> dict[str, float]:
    """How far the processor's answers are from those the operators say, and from the float model's."""
    written, run = (outputs(path, samples, optimize=optimize) for optimize in (False, True))
    return {
        "sqnr_db_to_as_written": sqnr(written, run),
        "worst_error_over_largest": float(np.abs(written - run).max() / np.abs(written).max()),
        "sqnr_db_to_float": sqnr(reference, run),
        "sqnr_db_to_float_as_written": sqnr(reference, written),
        "top1_agreement_with_float": float((run.argmax(-1) == reference.argmax(-1)).mean()),
    }


def sqnr(reference: np.ndarray, changed: np.ndarray) -> float:
    """10 log10(power of the reference / power of the difference)."""
    noise = float(np.square(reference - changed, dtype=np.float64).sum())
    return 10 * float(np.log10(np.square(reference, dtype=np.float64).sum() / max(noise, 1e-30)))


def lint(path: Path, output: Path, data: Any) -> dict[str, Any]:
    """Find and repair; what was found, and how long that took."""
    options = LintOptions(target="ort-cpu-avx2", fix=True)
    started = time.perf_counter()
    found = lint_model(path, data=data, options=LintOptions(target="ort-cpu-avx2"))[1]
    checking = time.perf_counter() - started
    model, record = lint_model(path, data=data, options=options)
    save_model(model, output)
    return {
        "seconds_to_check": checking,
        "seconds_with_repair": time.perf_counter() - started - checking,
        "saturation": [(item.node, item.detail) for item in found.findings if item.rule == "saturation"],
        "repaired_weights": sum(done.count for done in record.repairs if done.rule == "saturation"),
    }


@click.command()
@click.argument("model", type=click.Path(path_type=Path, exists=True))
@click.option("--data", required=True, help="Samples.")
@click.option("--samples", "limit", default=64, help="Use so many samples.")
@click.option("--name", help="Name of the result; the model's by default.")
def main(model: Path, data: str, limit: int, name: str | None) -> None:
    """Measure one model."""
    samples = open_samples(data, input_specs(load_model(model)), limit=limit)
    record: dict[str, Any] = {"model": model.name, "machine": machine_facts(), "vnni": has_vnni(), "samples": limit}
    with tempfile.TemporaryDirectory() as folder:
        files = {kind: Path(folder) / f"{kind}.onnx" for kind in ("stock", "repaired by bounds", "repaired by samples")}
        quantize_static(
            model,
            files["stock"],
            Reader(samples),
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
        )
        record["lint by bounds"] = lint(files["stock"], files["repaired by bounds"], None)
        record["lint by samples"] = lint(files["stock"], files["repaired by samples"], samples)
        reference = outputs(model, samples, optimize=True)
        record["answers"] = {kind: judged(path, reference, samples) for kind, path in files.items()}
        measured = bench_models([model, *files.values()], data=samples, options=BenchOptions(time=20.0))
        pairs = [row.comparison for row in measured.models[1:]]
        record["speedup_over_float"] = {
            kind: {"ratio": pair.speedup, "low": pair.low, "high": pair.high}
            for kind, pair in zip(files, pairs, strict=True)
            if pair is not None
        }
        record["warnings"] = measured.warnings
    path = RESULTS / f"quantize_saturation_{name or model.stem}.json"
    path.write_text(json.dumps(record) + "\n")
    click.echo(f"Written: {path}")


if __name__ == "__main__":
    main()
