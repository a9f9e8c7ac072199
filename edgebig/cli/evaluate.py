"""`edgebig evaluate`: score models on a task."""

from pathlib import Path

import click

from edgebig.cli.options import FILE, json_option
from edgebig.cli.output import check_json_target, progress, show


@click.command("evaluate")
@click.argument("models", metavar="MODEL...", nargs=-1, required=True, type=FILE)
@click.option(
    "--task",
    required=True,
    metavar="TASK",
    help="A name under models/, package.module:function or path/file.py:function returning (feeds, labels, metric).",
)
@click.option("--min", "minimum", type=float, help="Exit with 3 if a model's value is below this.")
@click.option("--max", "maximum", type=float, help="Exit with 3 if a model's value is above this.")
@click.option(
    "--max-drop", type=click.FloatRange(min=0), help="Exit with 3 if a model is worse than the first by more than this."
)
@click.option("--threads", type=click.IntRange(min=0), default=0, help="Threads; 0 (default): onnxruntime's choice.")
@json_option
@click.option("--force", is_flag=True, help="Replace the --json file if it exists.")
def command(
    models: tuple[Path, ...],
    task: str,
    minimum: float | None,
    maximum: float | None,
    max_drop: float | None,
    threads: int,
    json_target: str | None,
    force: bool,
) -> None:
    """Score models on a task.

    Several models are compared with the first over the same samples. After each value stands its standard error; that
    of a difference is paired, so it is smaller than the models' own.
    """
    from edgebig.cli.score_tables import score_tables
    from edgebig.evaluate.gates import check_scores
    from edgebig.evaluate.score import evaluate_models

    check_json_target(json_target, force=force)
    if max_drop is not None and len(models) < 2:
        raise click.UsageError("--max-drop compares with the first model: name at least two.")
    with progress():
        record = evaluate_models(models, task, threads=threads)
    show(record, lambda: score_tables(record, models), json_target)
    check_scores(record, minimum=minimum, maximum=maximum, max_drop=max_drop)
