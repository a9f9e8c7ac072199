"""Options that several commands share, so that they are spelled and explained in one way."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

FILE = click.Path(path_type=Path)
# Longer lists of names do not fit beside an option's help; the message about an unknown name has them.
LONGEST_METAVAR = 40


class RegistryChoice(click.ParamType):
    """A name out of a registry. An unknown one is a usage error that lists the known ones."""

    name = "name"

    def __init__(self, kind: str, names: Callable[[], tuple[str, ...]]) -> None:
        self.kind = kind
        self.names = names

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        joined = "|".join(self.names())
        return joined if len(joined) <= LONGEST_METAVAR else self.kind.upper().replace(" ", "-")

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value not in self.names():
            self.fail(f"unknown {self.kind} {value!r}. Known: {', '.join(self.names())}.", param, ctx)
        return value


def target_names() -> tuple[str, ...]:
    """Names of all targets, read when somebody asks."""
    from edgebig.targets import targets

    return targets.names()


def output_option(function: F) -> F:
    """`-o/--output FILE`, required, and `--force`."""
    function = click.option("--force", is_flag=True, help="Replace the output if it exists.")(function)
    return click.option("-o", "--output", type=FILE, required=True, help="The .onnx file to write.")(function)


def json_option(function: F) -> F:
    """`--json FILE|-`: the record for machines."""
    return click.option(
        "--json", "json_target", metavar="FILE|-", help="Write the record as JSON to a file, or to standard output."
    )(function)


def data_option(required: bool = True) -> Callable[[F], F]:
    """`--data`: samples."""
    return click.option(
        "--data",
        required=required,
        metavar="SAMPLES",
        help="Samples: an .npz (one array per input), an .npy, a folder of .npz (one feed each), or module:callable.",
    )


def sizes_options(function: F) -> F:
    """`--batch` and `--dim`: sizes of dynamic axes."""
    function = click.option(
        "--dim", "dims", metavar="NAME=SIZE", multiple=True, callback=_sizes, help="Size of a dynamic axis."
    )(function)
    return click.option(
        "--batch", type=click.IntRange(min=1), help="Size of a dynamic first axis. Default: 1, or the samples'."
    )(function)


def _sizes(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, int]:
    pairs = [value.rpartition("=") for value in values]
    for value, (name, _, size) in zip(values, pairs, strict=True):
        if not name or not size.isdecimal() or int(size) < 1:
            raise click.BadParameter(f"{value!r} is not of the form NAME=SIZE, e.g. height=224.", context, parameter)
    return {name: int(size) for name, _, size in pairs}
