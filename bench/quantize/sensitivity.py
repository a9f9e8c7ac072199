"""What it costs to learn how sensitive every layer is, and what a loss budget then keeps in float.

`python bench/quantize/sensitivity.py MODEL.onnx --data SAMPLES` measures the damage of quantizing each layer alone to
static int8: once under a limit of cost and once on all samples, both from the changed node on; and, for some layers,
by running the whole model. It compares ranks and values, counts the cost in runs of the float model over the samples
(by multiply-accumulates and by processor time, which other programs do not change), meets a few loss budgets, and
writes a JSON file into `bench/results/`. MODEL is models/minilm_l6 by default, exported first.
"""

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np
import onnx_ir as ir
from scipy.stats import spearmanr

from edgebig import export_model, load_model, optimize_model, save_model
from edgebig.bench.environment import EnvironmentWatch
from edgebig.data.samples import Samples, open_samples
from edgebig.errors import QualityGateError
from edgebig.evaluate.output_loss import OutputLoss
from edgebig.graph.interface import input_specs
from edgebig.graph.partial_run import PartialRun
from edgebig.graph.session import Session
from edgebig.quantize.engine import StaticChoice, StaticEngine
from edgebig.quantize.prepare import prepare
from edgebig.quantize.sensitivity import layer_costs, layer_sensitivities, meet_budget
from edgebig.quantize.sensitivity.damage import RelativeError
from edgebig.quantize.weight_bits import weight_rule
from edgebig.records.sensitivity import LayerSensitivity, SensitivityCost
from edgebig.targets import targets

ROOT = Path(__file__).resolve().parent.parent.parent
REFERENCE = ROOT / "models" / "minilm_l6"
# Every so many layers one is also measured by running the whole model.
EVERY = 6
# Budgets, as parts of the loss with all layers in integers.
BUDGETS = (0.5, 0.2)
Write = Callable[..., ir.Model]


@dataclass
class Case:
    """A model to be quantized."""

    model: ir.Model
    engine: StaticEngine
    samples: Samples
    layers: list[str]
    write: Write


def load_case(path: Path, data: str, batch: int, calibration: str) -> Case:
    """Read a model, and observe the ranges of its tensors."""
    model = load_model(path)
    samples = open_samples(data, input_specs(model), batch_size=batch)
    target = targets.get("ort-cpu")()
    engine = StaticEngine(prepare(model, next(iter(samples)), target))
    engine.calibrate(samples, engine.bytes_per_sample, budget=1 << 30, threads=1)
    ranges, rule = engine.ranges(calibration), weight_rule("auto", target)[0]
    layers = [unit.node.name or "" for unit in engine.plan.placement.units if unit.weighted is not None]

    def write(**choice: frozenset[str]) -> ir.Model:
        return engine.write(StaticChoice(ranges=ranges, rule=rule, **choice)).model

    return Case(model, engine, samples, layers, write)


def measure(case: Case, passes: float) -> tuple[tuple[LayerSensitivity, ...], dict[str, object]]:
    """Measure all layers; what it took in processor time, the writing of models left out and apart."""
    writing = 0.0

    def changed(layer: str) -> ir.Model:
        nonlocal writing
        began = time.process_time()
        model = case.write(only=frozenset([layer]))
        writing += time.process_time() - began
        return model

    began = time.process_time()
    run = PartialRun(case.engine.prepared.model, case.samples, threads=1)
    rows, cost = layer_sensitivities(run, changed, case.layers, passes=passes)
    seconds = time.process_time() - began - writing
    return rows, {"cpu_seconds": seconds, "writing_cpu_seconds": writing, "kept_bytes": run.kept_bytes} | costs(cost)


def costs(cost: SensitivityCost) -> dict[str, object]:
    """The cost as the record states it."""
    return {"passes_by_macs": cost.passes_by_macs, "passes_by_time_in_record": cost.passes_by_time}


def pass_seconds(case: Case) -> float:
    """Processor time of one run of the float model over the samples, the best of three."""
    with Session(case.model, threads=1) as session:
        times = []
        for _ in range(3):
            began = time.process_time()
            for feed in case.samples:
                session.run(feed)
            times.append(time.process_time() - began)
    return min(times)


def whole_runs(case: Case, rows: tuple[LayerSensitivity, ...]) -> list[dict[str, object]]:
    """The damage of some layers by running the whole model, beside that from the changed node on."""
    loss = OutputLoss(case.model, case.samples, threads=1)
    found = []
    for row in rows[::EVERY]:
        damage = RelativeError()
        for reference, outputs in loss.pairs(case.write(only=frozenset([row.layer]))):
            damage.add(reference, outputs)
        found.append({"layer": row.layer, "whole": damage.value, "partial": row.damage})
    return found


def budgets(case: Case, rows: tuple[LayerSensitivity, ...]) -> list[dict[str, object]]:
    """What some budgets keep in float."""
    judge = OutputLoss(case.model, case.samples, loss="relative-error", threads=1)
    worst = judge.of(case.write())
    found: list[dict[str, object]] = []
    for part in BUDGETS:
        try:
            budget = meet_budget(
                lambda excluded: case.write(excluded=excluded),
                case.layers,
                lambda: (rows, None),
                judge,
                part * worst,
                costs=layer_costs(case.engine.plan.nodes),
            )
        except QualityGateError as error:
            found.append({"max_loss": part * worst, "error": str(error)})
            continue
        record = budget.record
        found.append(
            {
                "max_loss": record.max_loss,
                "loss_before": record.loss_before,
                "loss": record.loss,
                "evaluations": record.evaluations,
                "float_layers": record.float_layers,
                "float_macs_share": record.float_macs_share,
            }
        )
    return found


def export_reference(folder: Path) -> Path:
    """Export the reference model of this repository, and clean its graph up."""
    exported, _ = export_model(REFERENCE.name)
    optimized, _ = optimize_model(exported, data=str(REFERENCE / "calibration.npz"))
    return save_model(optimized, folder / f"{REFERENCE.name}.onnx")[0]


@click.command()
@click.argument("model", required=False, type=click.Path(exists=True, path_type=Path))
@click.option("--data", default=str(REFERENCE / "calibration.npz"), show_default=True, help="Samples.")
@click.option("--batch", default=4, show_default=True, help="Samples per feed.")
@click.option("--calibration", default="minmax", show_default=True, help="How ranges are chosen.")
@click.option("--passes", default=6.0, show_default=True, help="The limit of cost.")
@click.option("--out", type=click.Path(path_type=Path), help="The JSON file.")
def main(model: Path | None, data: str, batch: int, calibration: str, passes: float, out: Path | None) -> None:
    """Measure, print, write."""
    watch = EnvironmentWatch()
    with tempfile.TemporaryDirectory() as folder:
        case = load_case(model or export_reference(Path(folder)), data, batch, calibration)
        one_pass = pass_seconds(case)
        limited, took = measure(case, passes)
        exhaustive, took_all = measure(case, float("inf"))
        ranked = spearmanr([row.damage for row in limited], [row.damage for row in exhaustive]).statistic
        result = {
            "model": model.stem if model else REFERENCE.name,
            "layers": len(case.layers),
            "samples": sum(next(iter(feed.values())).shape[0] for feed in case.samples),
            "feeds": case.samples.feeds,
            "calibration": calibration,
            "pass_cpu_seconds": one_pass,
            "limited": took | {"limit": passes, "passes_by_cpu_time": float(np.divide(took["cpu_seconds"], one_pass))},
            "exhaustive": took_all | {"passes_by_cpu_time": float(np.divide(took_all["cpu_seconds"], one_pass))},
            "spearman": float(ranked),
            "rows": [
                asdict(row) | {"on_all_feeds": full.damage} for row, full in zip(limited, exhaustive, strict=True)
            ],
            "whole_runs": whole_runs(case, exhaustive),
            "budgets": budgets(case, limited),
            "environment": asdict(watch.environment()),
        }
    out = out or ROOT / "bench" / "results" / f"quantize_sensitivity_{result['model']}.json"
    out.write_text(json.dumps(result) + "\n", encoding="utf-8")
    click.echo(
        f"{result['model']}: {len(case.layers)} layers, {result['samples']} samples; "
        f"{took['passes_by_macs']:.2f} passes by work, {took['cpu_seconds'] / one_pass:.2f} by time "
        f"({took['cpu_seconds']:.1f} s), rank agreement {ranked:.3f}; on all samples {took_all['passes_by_macs']:.2f} "
        f"passes by work, {took_all['cpu_seconds'] / one_pass:.2f} by time"
    )


if __name__ == "__main__":
    main()
