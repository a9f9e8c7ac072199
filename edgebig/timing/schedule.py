"""How often to call what is measured, from what one call takes."""

from dataclasses import dataclass
from math import ceil

# Reading the clock costs under 0.1 microseconds: at most half a percent of a value this long.
VALUE_NS = 20_000
# A block of one callable's values; short, so that many rounds fit and slow drifts hit all callables alike.
BLOCK_NS = 5_000_000
MOST_VALUES = 25
# The first calls after another callable's turn find the caches filled with its data.
SETTLE_NS = 3_000_000
# The threads of an onnxruntime session go on spinning for about this long after their last run.
SPIN_NS = 60_000_000
# A call this many times longer than the time to settle needs none: the disturbance is lost in it.
_NEGLIGIBLE = 20


@dataclass(frozen=True)
class Schedule:
    """One callable's turn in a round.

    Attributes:
        settle: Calls that are not measured, first.
        values: How many values are measured.
        loops: How many calls make one value; 1 unless a call is too short for the clock.
    """

    settle: int
    values: int
    loops: int


def plan_turn(call_ns: float, *, settle_ns: int = SETTLE_NS) -> Schedule:
    """Choose the turn of a callable.

    Args:
        call_ns: What a call takes, in nanoseconds.
        settle_ns: How long the turn before may disturb this one.
    """
    call_ns = max(call_ns, 1.0)
    loops = max(1, ceil(VALUE_NS / call_ns))
    values = min(MOST_VALUES, max(1, round(BLOCK_NS / (loops * call_ns))))
    settle = 0 if call_ns > _NEGLIGIBLE * settle_ns else ceil(settle_ns / call_ns)
    return Schedule(settle, values, loops)
