"""What came out of a recipe, for people: a table for the terminal, a page with charts."""

from pathlib import Path

from rich.table import Table

from edgebig.records.compress import CompressRecord, FinishedStep
from edgebig.records.evaluation import EvaluationsRecord
from edgebig.records.measurement import MeasurementRecord, ModelMeasurement
from edgebig.records.prune import PruneRecord
from edgebig.report.html import write_report
from edgebig.report.rows import LayerRow, ModelRow


def model_rows(record: CompressRecord) -> list[ModelRow]:
    """One row per model that was scored or measured; else one per model that was made. The first is the reference."""
    evaluations, measurements = _evaluations(record), _measurements(record)
    errors = _difference_errors(record)
    made = [step for step in record.steps if step.model_bytes is not None]
    judged = [step for step in made if step.name in evaluations or step.name in measurements]
    return [_row(step, evaluations, measurements, errors) for step in judged or made]


def layer_rows(record: CompressRecord) -> list[LayerRow]:
    """The sparsity of every layer of every pruned model."""
    rows = []
    for step in record.steps:
        if step.use == "prune":
            pruned = PruneRecord.from_dict(step.record)
            rows += [
                LayerRow(model=step.name, layer=layer.name, sparsity=layer.sparsity, weights=layer.weights)
                for layer in pruned.layers
            ]
    return rows


def summary_table(record: CompressRecord) -> Table:
    """The models side by side: size, metric, latency and its ratio to the first, with intervals."""
    rows = model_rows(record)
    measured = _measurements(record)
    table = Table(box=None, pad_edge=False, header_style="bold")
    metric = next((row.metric for row in rows if row.value is not None), None)
    table.add_column("model")
    for column in ("KB", *([metric] if metric else []), *(["p50 ms", "speed-up [99 %]"] if measured else [])):
        table.add_column(column, justify="right")
    for row in rows:
        cells = [row.name, f"{row.bytes / 1000:,.0f}"]
        if metric:
            error = "" if row.standard_error is None else f" ± {row.standard_error:.4f}"
            cells.append("" if row.value is None else f"{row.value:.4f}{error}")
        if measured:
            cells += _latency_cells(measured.get(row.name))
        table.add_row(*cells)
    return table


def write_summary(record: CompressRecord, path: Path) -> None:
    """Write the page: the table, charts of accuracy against size and latency, and the sparsity of the layers.

    Raises:
        OutputError: The file exists or cannot be written.
        MissingDependencyError: The extra `report` is not installed.
    """
    facts: dict[str, str] = {}
    for step in record.steps:
        if step.use == "bench":
            measurement = MeasurementRecord.from_dict(step.record)
            machine = measurement.environment.machine
            facts["processor"] = machine.cpu_model
            facts["threads"] = str(measurement.settings.threads)
            facts["onnxruntime"] = ", ".join(v for k, v in measurement.environment.packages.items() if "runtime" in k)
            shapes = (f"{name} {list(bound.shape)}" for name, bound in measurement.settings.inputs.items())
            facts["input"] = ", ".join(shapes)
    write_report(path, record.recipe, model_rows(record), layers=layer_rows(record), facts=facts, force=True)


def _row(
    step: FinishedStep,
    evaluations: dict[str, ModelRow],
    measurements: dict[str, ModelMeasurement],
    errors: dict[str, float | None],
) -> ModelRow:
    scored, measured = evaluations.get(step.name), measurements.get(step.name)
    comparison = measured.comparison if measured else None
    return ModelRow(
        name=step.name,
        bytes=step.model_bytes or 0,
        metric=scored.metric if scored else "score",
        value=scored.value if scored else None,
        standard_error=scored.standard_error if scored else None,
        higher_is_better=scored.higher_is_better if scored else True,
        difference_error=errors.get(step.name),
        latency_ms=[value / 1e6 for turn in measured.values for value in turn] if measured else (),
        speedup=comparison.speedup if comparison else None,
        speedup_interval=(comparison.low, comparison.high) if comparison else None,
    )


def _latency_cells(measured: ModelMeasurement | None) -> list[str]:
    if measured is None:
        return ["", ""]
    against = measured.comparison
    ratio = "1.00" if against is None else f"{against.speedup:.2f} [{against.low:.2f}, {against.high:.2f}]"
    return [f"{measured.summary.p50 / 1e6:.3f}", ratio]


def _evaluations(record: CompressRecord) -> dict[str, ModelRow]:
    found: dict[str, ModelRow] = {}
    for step in record.steps:
        if step.use == "evaluate":
            for model in EvaluationsRecord.from_dict(step.record).models:
                name = Path(model.model.name).stem
                found[name] = ModelRow(
                    name=name,
                    bytes=model.model.bytes or 0,
                    metric=model.metric,
                    value=model.value,
                    standard_error=model.standard_error,
                    higher_is_better=model.higher_is_better,
                )
    return found


def _difference_errors(record: CompressRecord) -> dict[str, float | None]:
    errors: dict[str, float | None] = {}
    for step in record.steps:
        if step.use == "evaluate":
            for difference in EvaluationsRecord.from_dict(step.record).differences:
                errors[Path(difference.model).stem] = difference.standard_error
    return errors


def _measurements(record: CompressRecord) -> dict[str, ModelMeasurement]:
    found: dict[str, ModelMeasurement] = {}
    for step in record.steps:
        if step.use == "bench":
            found |= {Path(m.file).stem: m for m in MeasurementRecord.from_dict(step.record).models}
    return found
