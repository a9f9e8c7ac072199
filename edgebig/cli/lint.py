"""`edgebig lint`: what a target refuses, does not fuse, or slows down, and the repair."""

from pathlib import Path

import click

from edgebig.cli.options import FILE, RegistryChoice, data_option, json_option
from edgebig.cli.output import check_json_target, progress, show
from edgebig.errors import QualityGateError, UsageError
from edgebig.files import check_output
from edgebig.records.lint import LintOptions


def _targets() -> tuple[str, ...]:
    from edgebig.targets import targets

    return targets.names()


DEFAULTS = LintOptions()


@click.command("lint")
@click.argument("model", type=FILE)
@click.option(
    "--target",
    type=RegistryChoice("target", _targets),
    default=DEFAULTS.target,
    show_default=True,
    help="Where the model shall run: ort-cpu (this processor's kind), ort-cpu-vnni, ort-cpu-avx2, ort-cpu-arm64, "
    "ort-cuda, tensorrt-10, tensorrt-11, openvino, qnn.",
)
@click.option("--runtime-version", metavar="VERSION", help="Version of the target's runtime that must read the file.")
@data_option(required=False)
@click.option("--samples", type=click.IntRange(min=1), help="Use at most this many samples.")
@click.option("--fix", is_flag=True, help="Rewrite what can be rewritten without changing results; needs -o.")
@click.option("-o", "--output", type=FILE, help="The .onnx file to write, with --fix.")
@click.option("--force", is_flag=True, help="Replace the output if it exists.")
@click.option("--seed", type=click.IntRange(min=0), default=DEFAULTS.seed, show_default=True, help="Of random inputs.")
@json_option
def command(
    model: Path,
    target: str,
    runtime_version: str | None,
    data: str | None,
    samples: int | None,
    fix: bool,
    output: Path | None,
    force: bool,
    seed: int,
    json_target: str | None,
) -> None:
    """Show what a target refuses, ignores or slows down, and repair it.

    Every finding says what is there, what the target makes of it and what to do. With samples the saturation of 8-bit
    sums on processors without VNNI is computed on real activations. A repaired model is run against MODEL, on the
    samples or on random inputs. Exit code 3: the target refuses the model.
    """
    options = LintOptions(target=target, runtime_version=runtime_version, fix=fix, samples=samples, seed=seed)
    if fix != (output is not None):
        raise UsageError("--fix needs -o FILE for the repaired model." if fix else "-o FILE goes with --fix.")
    if output is not None:
        check_output(output, force=force, inputs=[model])
    check_json_target(json_target, force=force, inputs=[model])
    from edgebig.cli.lint_tables import lint_tables
    from edgebig.graph.save import save_model
    from edgebig.lint import lint_model

    with progress():
        result, record = lint_model(model, data=data, options=options)
        if output is not None:
            save_model(result, output, force=force)
    show(record, lambda: lint_tables(record, output), json_target)
    if record.refused:
        raise QualityGateError(f"{target} refuses the model: {record.refused} of the findings above say why.")
