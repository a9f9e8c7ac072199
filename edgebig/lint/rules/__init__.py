"""The rules, in the order in which they are checked and repaired. A new one is a file here and a line below."""

from edgebig.lint.rule import Rule
from edgebig.lint.rules import (
    casts,
    float_edge,
    float_pair,
    float_weight,
    gemm_layout,
    int32_bias,
    integer_dtype,
    loads,
    mixed_concat,
    not_fused,
    operator_form,
    precision,
    residual_pair,
    saturation,
    shapes,
    shared_pair,
    stored,
    unsupported_op,
    useless_pair,
    versions,
    weight_scales,
    zero_point,
)

__all__ = ["RULES"]

RULES: tuple[Rule, ...] = (
    # What decides whether the file is read at all, and what others build on.
    versions.OLD_RULE,
    versions.NEW_RULE,
    loads.RULE,
    unsupported_op.RULE,
    operator_form.RULE,
    operator_form.CONVOLUTION_RULE,
    float_weight.RULE,
    useless_pair.RULE,
    float_pair.RULE,
    # What the pairs say.
    integer_dtype.RULE,
    zero_point.RULE,
    int32_bias.RULE,
    weight_scales.AXIS_RULE,
    weight_scales.PER_TENSOR_RULE,
    gemm_layout.RULE,
    saturation.RULE,
    mixed_concat.RULE,
    # Where they stand.
    not_fused.RULE,
    float_edge.RULE,
    residual_pair.RULE,
    shared_pair.RULE,
    shapes.RULE,
    precision.RULE,
    casts.RULE,
    # What is left over.
    stored.UNUSED_RULE,
    stored.DUPLICATE_RULE,
    stored.VARINT_RULE,
)
