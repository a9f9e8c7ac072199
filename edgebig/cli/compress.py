"""`edgebig compress`: run a recipe."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgebig.cli.options import FILE, data_option, json_option, output_option
from edgebig.cli.output import check_json_target, progress, show

if TYPE_CHECKING:
    from rich.console import RenderableType

    from edgebig.records.compress import CompressRecord


@click.command("compress")
@click.argument("model", required=False, type=FILE)
@click.option("--recipe", type=FILE, required=True, help="The recipe, a TOML file (models/*/recipe.toml are examples).")
@output_option
@data_option(required=False)
@click.option("--task", help="A task for evaluate steps; default: what the recipe says.")
@click.option("--report", type=FILE, help="Write a page (.html) with tables and charts of what came out.")
@click.option("--work-dir", type=FILE, help="Where the steps' results lie, to resume from. Default: OUTPUT.work")
@click.option("--fresh", is_flag=True, help="Do every step anew, also those that are done.")
@json_option
def command(
    model: Path | None,
    recipe: Path,
    output: Path,
    force: bool,
    data: str | None,
    task: str | None,
    report: Path | None,
    work_dir: Path | None,
    fresh: bool,
    json_target: str | None,
) -> None:
    """Run a recipe: the whole way, step by step, resumable.

    MODEL is the .onnx file to start from, where the recipe exports none. The recipe is checked as a whole before work
    starts. After a kill, or a change of the recipe, the same command does only what is missing or changed.
    """
    from edgebig.files import check_output
    from edgebig.pipeline import compress_model
    from edgebig.pipeline.summary import write_summary

    check_json_target(json_target, force=force)
    if report is not None:
        check_output(report, force=force)
    with progress():
        record = compress_model(
            recipe,
            output,
            model=model,
            data=data,
            task=task,
            work_folder=work_dir,
            fresh=fresh,
            force=force,
            announce=lambda line: click.echo(line, err=True),
        )
        if report is not None:
            write_summary(record, report)
    show(record, lambda: _render(record, output, report), json_target)


def _render(record: "CompressRecord", output: Path, report: Path | None) -> "Sequence[RenderableType]":
    from edgebig.pipeline.summary import summary_table

    lines: list[RenderableType] = [summary_table(record), f"\nResult: {output}"]
    if report is not None:
        lines.append(f"Report: {report}")
    return lines
