"""Which algorithms run: by effort, and each on its own switch."""

import dataclasses
from collections.abc import Mapping
from enum import Enum

from edgebig.errors import UsageError


class Use(Enum):
    """Whether an algorithm runs.

    Attributes:
        NEVER: It does not.
        WHERE_BETTER: It does, and its result is kept where the held-out loss does not get worse.
        ALWAYS: It does, and its result is kept: the user says so.
    """

    NEVER = "never"
    WHERE_BETTER = "where better"
    ALWAYS = "always"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Switches:
    """Which algorithms run, in the order in which they do.

    Attributes:
        equalize: Cross-layer equalisation: channels between convolutions are scaled to one size.
        smooth_quant: SmoothQuant: the same for what matrices read.
        weight_mse: Weight scales by the smallest error, instead of the largest weight.
        bias_correction: Biases make up for the shift of the outputs' means by the rounding of weights.
        gptq: Rounding with feedback, at the same scales.
        adaround: Rounding up or down, learned by gradient descent; of each layer the better of this and what it was.
    """

    equalize: Use = Use.NEVER
    smooth_quant: Use = Use.NEVER
    weight_mse: Use = Use.NEVER
    bias_correction: Use = Use.NEVER
    gptq: Use = Use.NEVER
    adaround: Use = Use.NEVER


_DEFAULT = Switches(
    equalize=Use.WHERE_BETTER,
    smooth_quant=Use.WHERE_BETTER,
    weight_mse=Use.WHERE_BETTER,
    bias_correction=Use.WHERE_BETTER,
    gptq=Use.WHERE_BETTER,
)
EFFORTS: Mapping[str, Switches] = {
    "fast": Switches(),
    "default": _DEFAULT,
    "max": dataclasses.replace(_DEFAULT, adaround=Use.WHERE_BETTER),
}


def switches_for(effort: str, asked: Mapping[str, bool | None] | None = None) -> Switches:
    """The switches of an effort, with those that the user has set.

    Args:
        effort: "fast", "default" or "max".
        asked: Switch name -> on, off, or None for what the effort says.

    Raises:
        UsageError: No such effort or switch.
    """
    if effort not in EFFORTS:
        raise UsageError(f"effort is {effort!r}; allowed: {', '.join(EFFORTS)}")
    known = [field.name for field in dataclasses.fields(Switches)]
    unknown = [name for name in asked or {} if name not in known]
    if unknown:
        raise UsageError(f"there is no algorithm {unknown[0]!r}; known: {', '.join(known)}")
    given = {name: Use.ALWAYS if on else Use.NEVER for name, on in (asked or {}).items() if on is not None}
    return dataclasses.replace(EFFORTS[effort], **given)
