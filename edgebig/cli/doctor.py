"""`edgebig doctor`: what is installed, what loads, and what mends the rest."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click
from rich.console import RenderableType
from rich.text import Text

from edgebig.cli.options import json_option
from edgebig.cli.output import check_json_target, plain_table, show

if TYPE_CHECKING:
    from edgebig.records.doctor import DoctorRecord


@click.command("doctor")
@json_option
@click.option("--force", is_flag=True, help="Replace the --json file if it exists.")
@click.option("--clear-cache", is_flag=True, help="First empty the cache of compiled kernels and what was measured.")
@click.pass_context
def command(context: click.Context, json_target: str | None, force: bool, clear_cache: bool) -> None:
    """Show what is installed, and the line that mends what is not.

    Execution providers are really tried, each in a process of its own, and so are edgebig's kernels. Exits with 1 where
    the core cannot run.
    """
    from edgebig.bench import kernel_state
    from edgebig.bench.doctor import examine

    check_json_target(json_target, force=force)
    if clear_cache:
        before = kernel_state.clear_cache()
        click.echo(f"Cleared {before.folder}: {before.entries} entries, {before.bytes / 1e6:.1f} MB.\n", err=True)
    record = examine()
    show(record, lambda: _render(record), json_target)
    if not record.usable:
        context.exit(1)


def _render(record: "DoctorRecord") -> Sequence[RenderableType]:
    machine, runtime = record.machine, record.runtime
    clock = machine.governor or "clock governor unknown"
    facts = [
        ["edgebig", f"{record.edgebig}, Python {record.python}, {record.os}"],
        ["processor", f"{machine.cpu_model} ({machine.architecture}), {machine.usable_cores} cores usable, {clock}"],
        ["memory", f"{machine.memory_bytes / 1e9:.1f} GB"],
        ["int8", record.int8],
        ["onnxruntime", f"{runtime.version or 'missing'} ({', '.join(runtime.distributions) or 'no package'})"],
        ["loads", f"models up to opset {runtime.newest_opset}, IR version {runtime.newest_ir}"],
    ]
    facts += _kernel_facts(record)
    sets = [[s.name, {True: "yes", False: "no", None: "?"}[s.present], s.meaning] for s in record.instruction_sets]
    loads = [[p.name, "yes" if p.loads else "no", _reason(p.reason, p.mend)] for p in runtime.providers]
    packages = [
        [p.name, p.installed or "-", p.extra or "core", p.mend or ""]
        for p in record.packages
        if not (p.extra in ("cpu", "gpu") and p.installed is None and runtime.version)
    ]
    problems = [Text(f"Problem: {p.what}\n  {p.mend}", style="red") for p in record.problems]
    return [
        plain_table(None, ["this machine", "state"], facts),
        "",
        plain_table(None, ["instructions", "here", "meaning"], sets),
        "",
        plain_table(None, ["provider", "loads", "why not"], loads),
        "",
        plain_table(None, ["package", "installed", "for", "to install"], packages),
        "",
        *(problems or [Text("No problems found.", style="green")]),
    ]


def _kernel_facts(record: "DoctorRecord") -> list[list[str]]:
    kernels, cache, facts = record.kernels, record.cache, []
    if kernels is not None:
        words = f"run, compiled for {kernels.processor}, products by {', '.join(kernels.products)}"
        facts.append(["kernels", words if kernels.reason is None else f"cannot run: {kernels.reason}"])
    if cache is not None:
        size = f"{cache.bytes / 1e6:.1f} of {cache.limit_bytes / 1e6:.0f} MB"
        facts.append(["cache", f"{cache.entries} entries, {size}, in {cache.folder}"])
    return facts


def _reason(reason: str | None, mend: str | None) -> str:
    return "; ".join(part for part in (reason, mend) if part)
