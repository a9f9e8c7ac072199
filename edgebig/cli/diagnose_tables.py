"""What `edgebig diagnose` shows."""

from collections.abc import Sequence

from rich.console import RenderableType
from rich.text import Text

from edgebig.cli.output import plain_table
from edgebig.records.diagnose import DiagnoseRecord, LayerDiagnosis

_NAME = 22


def diagnose_tables(record: DiagnoseRecord) -> Sequence[RenderableType]:
    """The layers, worst first; the story; the command to paste."""
    columns = ["layer", "op", "own dB", "dB", "takes back", "cause"]
    table = plain_table(None, columns, map(_row, record.layers), right="own dB|dB|takes back")
    counted = f"{record.matched} tensors compared on {record.feeds} feeds of {record.data}"
    if record.unmatched:
        shown = ", ".join(record.unmatched[:3])
        more = ", ..." if len(record.unmatched) > 3 else ""
        counted += f"; {len(record.unmatched)} have no counterpart (fused or renamed): {shown}{more}"
    together = [
        f"{layer.layer} was put back together with {', '.join(name for name in layer.together if name != layer.layer)}."
        for layer in record.layers[:1]
        if len(layer.together) > 1
    ]
    lines = [Text(sentence) for sentence in (counted + ".", *together)]
    parts: list[RenderableType] = [
        Text("Layers by what putting them back to float takes back of the error", style="bold"),
        table,
        "",
        *lines,
        "",
        *(Text(sentence) for sentence in record.story),
    ]
    if record.command:
        parts += ["", Text("Repair", style="bold"), *_command_lines(record.command)]
    return parts


def _command_lines(command: str) -> list[RenderableType]:
    """A command line over several lines that can be pasted as they are."""
    pieces = command.split(" --")
    lines = [pieces[0], *(f"  --{piece}" for piece in pieces[1:])]
    return [Text(f"{line} \\" if line is not lines[-1] else line, overflow="ignore", no_wrap=True) for line in lines]


def _row(layer: LayerDiagnosis) -> list[str]:
    return [
        _short(layer.layer),
        layer.op_type,
        _decibels(layer.own_sqnr_db),
        _decibels(layer.sqnr_db),
        "-" if layer.recovered is None else f"{layer.recovered:.0%}",
        ", ".join(cause.kind for cause in layer.causes) or "-",
    ]


def _short(name: str) -> str:
    """A name that leaves room for the other columns; its end tells more than its beginning."""
    return name if len(name) <= _NAME else "..." + name[3 - _NAME :]


def _decibels(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
