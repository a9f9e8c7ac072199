"""Watch torch trace a module: which axis it fixes, and at which line of the user's code."""

import logging
import re
import sys
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_SHAPES = "torch.fx.experimental.symbolic_shapes"
# They write pages where a line is wanted; what matters of it is in the error that follows.
_NOISY = ("torch.onnx", "torch.export", "torch._dynamo", "torch._export", "torch.fx", "onnxscript", "onnx_ir")


@dataclass(frozen=True)
class FixedAxis:
    """A dynamic axis that the code allows only one size.

    Attributes:
        input: The input's position.
        axis: The axis.
        value: The size.
        line: Where, as "file.py:12: code", or None where the code is not the user's.
    """

    input: int
    axis: int
    value: int
    line: str | None


@dataclass
class Watch:
    """What was seen.

    Attributes:
        fixed: Axes that were fixed, each at the first line that did it.
        warnings: torch's warnings that a trace may hold for this example only.
    """

    fixed: list[FixedAxis] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


class _Listener(logging.Handler):
    """Reads the shape engine's messages while the user's code that caused them is still on the stack."""

    def __init__(self, watch: Watch) -> None:
        super().__init__(logging.INFO)
        self.watch = watch
        self.places: dict[str, tuple[int, int]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        arguments = [str(a) for a in record.args] if isinstance(record.args, tuple) else []
        if record.msg.startswith("create_symbol") and len(arguments) > 2:
            place = re.search(r"\[(\d+)\]\.size\(\)\[(\d+)\]$", arguments[2])
            if place:
                self.places[arguments[0]] = (int(place[1]), int(place[2]))
        elif "[guard added]" in record.msg and len(arguments) > 1:
            fixed = re.fullmatch(r"Eq\((\w+), (\d+)\)", arguments[1])
            place_of = self.places.get(fixed[1]) if fixed else None
            if fixed and place_of and place_of not in [(seen.input, seen.axis) for seen in self.watch.fixed]:
                line = user_line(traceback.extract_stack(sys._getframe()))
                self.watch.fixed.append(FixedAxis(*place_of, int(fixed[2]), line))


@contextmanager
def watching() -> Iterator[Watch]:
    """Watch what torch does inside the block, and keep its logs and warnings off the screen."""
    watch = Watch()
    listener = _Listener(watch)
    shapes = logging.getLogger(_SHAPES)
    loggers = [logging.getLogger(name) for name in _NOISY]
    levels = [(logger, logger.level) for logger in loggers]
    before = (shapes.handlers, shapes.level, shapes.propagate)
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    # The listener alone: torch's own handlers would print what it reads.
    shapes.handlers, shapes.propagate = [listener], False
    shapes.setLevel(logging.INFO)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield watch
    finally:
        shapes.handlers, shapes.level, shapes.propagate = before
        for logger, level in levels:
            logger.setLevel(level)
    watch.warnings += _trace_warnings(caught)


def user_line(frames: Sequence[traceback.FrameSummary]) -> str | None:
    """The innermost line of code that belongs neither to torch nor to edgebig, as "file.py:12: code"."""
    for frame in reversed(frames):
        path = Path(frame.filename)
        libraries = "site-packages" in path.parts or "dist-packages" in path.parts or "edgebig" in path.parts
        if path.is_file() and not libraries and not path.is_relative_to(Path(logging.__file__).parent.parent):
            return f"{path.name}:{frame.lineno}: {frame.line or ''}".rstrip(": ")
    return None


def first_line(error: BaseException) -> str:
    """The first line of an error's text that says something."""
    return next((line.strip() for line in str(error).split("\n") if line.strip()), type(error).__name__)


def describe_fixed(watch: Watch, names: Sequence[str], axes: Mapping[tuple[int, int], str]) -> list[str]:
    """The fixed axes for people.

    Args:
        watch: What was seen.
        names: The inputs' names, by position.
        axes: (position, axis) -> the axis' name, of those that should be dynamic.
    """
    lines = []
    for seen in watch.fixed:
        if (seen.input, seen.axis) in axes:
            where = f" by {seen.line}" if seen.line else " by the module's code"
            name = axes[seen.input, seen.axis]
            lines.append(f"axis {seen.axis} ({name!r}) of {names[seen.input]!r} is fixed at {seen.value}{where}")
    return lines


def _trace_warnings(caught: Sequence[warnings.WarningMessage]) -> list[str]:
    lines = []
    for warning in caught:
        if warning.category.__name__ == "TracerWarning":
            text = str(warning.message).split(". ")[0].split("\n")[0]
            lines.append(f"{Path(warning.filename).name}:{warning.lineno}: {text}")
    return list(dict.fromkeys(lines))
