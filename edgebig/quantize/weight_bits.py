"""How many bits weights get: what the target's kernels can add up without saturating, or what the user says.

Without VNNI, x86 kernels multiply eight-bit activations and weights with vpmaddubsw, which adds two products in 16
bits and saturates: 255 * (a + b) must stay below 2^15, so a + b within 128. Seven bits ensure that for any a and b;
bounding the sums themselves ensures it too and keeps nearly all of the eighth bit.
"""

from edgebig.quantize.formats.qdq import WeightRule
from edgebig.records.quantize import AUTO
from edgebig.targets import Target

SATURATES = "products of 8-bit weights may saturate on x86 processors without VNNI; weight bits 7 are safe on all"


def weight_rule(weight_bits: str, target: Target) -> tuple[WeightRule, str]:
    """The rule for weights, and the rule in words.

    Args:
        weight_bits: "7", "8" or "auto".
        target: Where the result will run.
    """
    saturates = target.weight_bits < 8
    if weight_bits == "7":
        return WeightRule(7, pair_sums=False), "7"
    if weight_bits == AUTO and saturates:
        return WeightRule(8, pair_sums=True), "8, sums of neighbours within 128 (no VNNI here)"
    return WeightRule(8, pair_sums=False), "8"


def portability_notes(rule: WeightRule) -> tuple[str, ...]:
    """What to know about running the result on other processors."""
    return (SATURATES,) if rule.bits == 8 and not rule.pair_sums else ()
