"""One readable module per segment: a function for each distinct step, in the words of the kernels' own specs."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from textwrap import fill

from edgebig.kernels.dense import Conv
from edgebig.kernels.numbers import Numbered
from edgebig.kernels.sparse import SparseConv
from edgebig.kernels.step import Step
from edgebig.runtime.plan import Plan


@dataclass(frozen=True)
class Generated:
    """The module of a segment.

    Attributes:
        name: Of the module.
        source: Its text.
        functions: Per step of the plan, the name of its function.
        texts: Per function, all that its code follows from: functions of equal texts are the same in all modules.
    """

    name: str
    source: str
    functions: tuple[str, ...]
    texts: Mapping[str, str]


def generate(plan: Plan, title: str) -> Generated:
    """Write the module of a plan.

    Args:
        plan: The steps.
        title: What the segment is, for the docstring.

    Returns:
        Steps of the same spec share a function; the text depends on the specs alone, so equal segments are built once.
    """
    names: dict[Step, str] = {}
    steps = [without_constants(planned.step) for planned in plan.steps]
    for step in steps:
        if step not in names:
            names[step] = f"{type(step).__name__.lower()}_{len(names) + 1}"
    parts = [_head(plan, title, tuple(names)), *(_function(step, name) for step, name in names.items())]
    parts.append("STEPS = (\n" + "".join(f"    {name},\n" for name in names.values()) + ")\n")
    source = "\n\n".join(parts)
    digest = hashlib.sha256(source.encode()).hexdigest()[:12]
    texts = {name: f"{type(step).__module__}.{_expression(step)}{step.operands}" for step, name in names.items()}
    return Generated(f"segment_{digest}", source, tuple(names[step] for step in steps), texts)


def without_constants(step: Step) -> Step:
    """The spec without what only its constants depend on, so that more steps share their code.

    The zero point of an image is in the bias; the code of a dense kernel needs it for the padding alone.
    """
    if isinstance(step, Numbered):
        return step.without_numbers()
    if isinstance(step, Conv | SparseConv) and not any(step.pads):
        return replace(step, x_zero_point=0)
    return step


def _head(plan: Plan, title: str, steps: Sequence[Step]) -> str:
    tensors = [
        "Inputs: " + "; ".join(f"{port.dtype}{list(port.shape)}" for port in plan.inputs),
        "Outputs: " + "; ".join(f"{port.dtype}{list(port.shape)}" for port in plan.outputs),
        f"{len(plan.steps)} steps, {len(steps)} distinct.",
    ]
    text = [f'"""{title}. Written by edgebig: changes are lost.', "", *(fill(line, 115) for line in tensors), '"""', ""]
    imports = {f"from {type(x).__module__} import {type(x).__name__}" for step in steps for x in _specs(step)}
    return "\n".join(
        [*text, "from math import inf", "", *sorted(imports), "from edgebig.runtime.bridge.operands import operand"]
    )


def _specs(step: Step) -> list[object]:
    """The dataclasses that a spec's repr names."""
    found: list[object] = [step]
    for value in vars(step).values():
        if hasattr(value, "__dataclass_fields__"):
            found += _specs(value)
    return found


def _function(step: Step, name: str) -> str:
    arguments = "".join(f"        operand(call, {i}),  # {operand}\n" for i, operand in enumerate(step.operands))
    return (
        f"_{name} = {_expression(step)}.build()\n\n\n"
        f"def {name}(call, task):\n"
        f"    _{name}(\n{arguments}        task,\n    )\n"
    )


def _expression(step: Step) -> str:
    return repr(step)
