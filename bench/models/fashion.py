"""Ours against the peer: a float model, its int8 by edgebig, and its int8 by onnxruntime's own `quantize_static`.

`python bench/models/fashion.py` exports models/fashion_mobilenet, makes both int8 models from the same samples, checks
their answers on samples that neither has seen and on the task, measures all of them interleaved, and writes a JSON
file into `bench/results/`. Another float model is given as a file, with its samples. Further models, such as a pruned
one of the same interface, are added with --also.
"""

import json
import tempfile
from dataclasses import asdict
from pathlib import Path

import click
import peer

from edgebig import bench_models, export_model, load_model, optimize_model, quantize_model, save_model
from edgebig.data.samples import open_samples
from edgebig.evaluate import load_task, task_score
from edgebig.evaluate.output_loss import OutputLoss
from edgebig.graph.interface import input_specs
from edgebig.records.measurement import BenchOptions, MeasurementRecord
from edgebig.timing.comparison import compare_rounds

ROOT = Path(__file__).resolve().parent.parent.parent
RESULTS = ROOT / "bench" / "results"
REFERENCE = "fashion_mobilenet"
# A model whose answers differ from the float model's on more samples than this is no int8 version of it.
MOST_DISAGREEMENT = 0.10


def export_reference(folder: Path) -> Path:
    """Export the reference model of this repository, and clean its graph up."""
    data = ROOT / "models" / REFERENCE / "calibration.npz"
    exported, _ = export_model(REFERENCE)
    optimized, _ = optimize_model(exported, data=data)
    return save_model(optimized, folder / f"{REFERENCE}.onnx")[0]


def make_models(model: Path, data: str, also: tuple[Path, ...], folder: Path) -> dict[str, Path]:
    """Quantize with both tools on the same samples; the last fourth is left for judging."""
    calibration, _ = open_samples(data, input_specs(load_model(model))).split()
    paths = {"float": model, "int8 peer": folder / "peer.onnx", "int8 edgebig": folder / "edgebig.onnx"}
    peer.quantize(model, calibration, paths["int8 peer"])
    save_model(quantize_model(model, data=calibration)[0], paths["int8 edgebig"])
    return paths | {path.stem: path for path in also}


def judge(paths: dict[str, Path], data: str, task: str | None) -> dict[str, dict[str, object]]:
    """The loss of every model against the float one on samples kept apart, and its score on the task.

    Raises:
        click.ClickException: A model's answers are too far off for its speed to mean anything.
    """
    _, held_out = open_samples(data, input_specs(load_model(paths["float"]))).split()
    loss = OutputLoss(load_model(paths["float"]), held_out)
    labelled = load_task(task) if task else None
    rows: dict[str, dict[str, object]] = {}
    for name, path in paths.items():
        model = load_model(path)
        found = loss.of(model)
        if found > MOST_DISAGREEMENT:
            raise click.ClickException(f"{name}: {loss.loss} {found:.3f} to the float model; nothing was measured.")
        score = task_score(model, labelled) if labelled else None
        rows[name] = {"loss": loss.loss, "to_float": found, "score": score, "bytes": path.stat().st_size}
    return rows


def report(names: list[str], answers: dict[str, dict[str, object]], record: MeasurementRecord) -> None:
    """Print one line per model."""
    for name, found in zip(names, record.models, strict=True):
        answer, comparison = answers[name], found.comparison
        ratio = f"{comparison.speedup:.3f} [{comparison.low:.3f}, {comparison.high:.3f}]" if comparison else "-"
        click.echo(
            f"{name:<14} {answer['bytes']:>9} bytes, {answer['loss']} {answer['to_float']:.4f}, "
            f"score {answer['score']}, p50 {found.summary.p50 / 1e3:.1f} us, {ratio}"
        )


@click.command()
@click.argument("model", type=click.Path(path_type=Path, exists=True), required=False)
@click.option("--data", help="Samples, as for edgebig; of the reference model by default.")
@click.option("--task", help="A task, as for edgebig evaluate.")
@click.option("--also", type=click.Path(path_type=Path, exists=True), multiple=True, help="More models to measure.")
@click.option("--batch", type=int, multiple=True, default=(1, 32), show_default=True)
@click.option("--threads", type=int, default=1, show_default=True)
@click.option("--time", "seconds", type=float, default=15.0, show_default=True, help="Seconds for each batch size.")
@click.option("--out", type=click.Path(path_type=Path), help="Default: bench/results/<model>.json")
def main(
    model: Path | None,
    data: str | None,
    task: str | None,
    also: tuple[Path, ...],
    batch: tuple[int, ...],
    threads: int,
    seconds: float,
    out: Path | None,
) -> None:
    """Measure MODEL (by default the reference model), its int8 by both tools, and further models."""
    if model is not None and data is None:
        raise click.UsageError("--data is needed with a model of your own.")
    with tempfile.TemporaryDirectory() as folder:
        if model is None:
            model, task = export_reference(Path(folder)), task or REFERENCE
        data = data or str(ROOT / "models" / REFERENCE / "calibration.npz")
        paths = make_models(model, data, also, Path(folder))
        answers, measured, against_peer = judge(paths, data, task), {}, {}
        for size in batch:
            options = BenchOptions(batch=size, threads=threads, time=seconds)
            record = bench_models(list(paths.values()), data=data, options=options)
            measured[str(size)] = record.to_dict()
            click.echo(f"batch {size}")
            report(list(paths), answers, record)
            against_peer[str(size)] = asdict(compare_rounds(record.models[1].values, record.models[2].values))
            click.echo(
                "int8 edgebig against int8 peer: {speedup:.3f} [{low:.3f}, {high:.3f}]".format(
                    **against_peer[str(size)]
                )
            )
    result = {
        "peer": peer.NAME,
        "task": task,
        "names": list(paths),
        "answers": answers,
        "edgebig_against_peer": against_peer,
        "batch": measured,
    }
    target = out or RESULTS / f"{model.stem}.json"
    target.write_text(json.dumps(result) + "\n", encoding="utf-8")
    click.echo(f"wrote {target}")


if __name__ == "__main__":
    main()
