"""What `edgebig lint` prints for people: one paragraph per rule, not one line per node."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import RenderableType
from rich.markup import escape
from rich.padding import Padding

from edgebig.records.lint import Finding, LintRecord, Severity

STYLES = {
    Severity.REFUSED: "bold red",
    Severity.NOT_FUSED: "bold yellow",
    Severity.SLOWER: "bold yellow",
    Severity.LOSES_ACCURACY: "bold magenta",
    Severity.NOTE: "bold",
}
EXAMPLES = 3
NAME_WIDTH = 40


def lint_tables(record: LintRecord, output: Path | None) -> Sequence[RenderableType]:
    """Findings by rule, repairs, and the verdict.

    Args:
        record: What was found.
        output: The file written, where one was.
    """
    parts: list[RenderableType] = []
    for findings in _grouped(record.findings):
        parts += [*_group(findings, repaired=output is not None), ""]
    parts += _repairs(record)
    parts.append(_verdict(record))
    if output is None and (fixable := sum(found.fixable for found in record.findings)):
        parts.append(f"{fixable} of them can be repaired without changing results: --fix -o FILE")
    parts += [f"Note: {escape(note)}." for note in record.notes]
    return [*parts, f"Written: {escape(str(output))}"] if output is not None else parts


def _grouped(findings: Sequence[Finding]) -> list[list[Finding]]:
    groups: dict[tuple[str, str, str, bool], list[Finding]] = {}
    for found in findings:
        groups.setdefault((found.rule, found.text, found.advice, found.fixable), []).append(found)
    return list(groups.values())


def _group(findings: Sequence[Finding], *, repaired: bool) -> list[RenderableType]:
    first = findings[0]
    where = "the file" if not first.node else "1 node" if len(findings) == 1 else f"{len(findings)} nodes"
    style = STYLES[first.severity]
    head = f"[{style}]{first.severity.value}[/] ({where}): {escape(first.text)} \\[{first.rule}]"
    lines: list[RenderableType] = [head]
    for found in findings[:EXAMPLES]:
        line = ": ".join(filter(None, (_short(found.node), found.detail)))
        if line:
            lines.append(_indented(escape(line)))
    if len(findings) > EXAMPLES:
        lines.append(_indented(f"... and {len(findings) - EXAMPLES} more; --json lists them"))
    mends = " (--fix does it)" if first.fixable and not repaired else ""
    lines.append(_indented(f"[bold]do[/]: {escape(first.advice)}{mends}"))
    return lines


def _indented(text: str) -> RenderableType:
    return Padding(text, (0, 0, 0, 4), expand=False)


def _repairs(record: LintRecord) -> list[RenderableType]:
    lines: list[RenderableType] = []
    for done in record.repairs:
        proof = "outputs not compared" if done.error is None else f"outputs differ by {done.error:.2g} of their scale"
        lines.append(f"[bold green]repaired[/] {done.count}x: {escape(done.what)}; {proof} \\[{done.rule}]")
    for rule, reason in record.left_out.items():
        lines.append(f"[bold]not repaired[/] \\[{rule}], for the result would differ: {escape(reason)}")
    if record.repairs and record.feeds:
        kind = "random inputs" if record.data == "random" else record.data
        lines.append(f"Compared on {record.feeds} feeds of {escape(kind)}.")
    return [*lines, ""] if lines else []


def _verdict(record: LintRecord) -> str:
    version = f" {record.runtime_version}" if record.runtime_version else ""
    where = f"{record.target} ({escape(record.target_description)}; {record.runtime}{version})"
    if not record.findings:
        return f"Nothing to object to in {record.nodes} nodes for {where}."
    counts = [
        f"{count} {severity.value}"
        for severity in Severity
        if (count := sum(found.severity is severity for found in record.findings))
    ]
    return f"{record.nodes} nodes for {where}: {', '.join(counts)}."


def _short(name: str) -> str:
    return name if len(name) <= NAME_WIDTH else "..." + name[3 - NAME_WIDTH :]
