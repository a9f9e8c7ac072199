"""Likely causes: each detector in a file of its own, named here in the order of how telling they are."""

from collections.abc import Callable, Mapping

import onnx_ir as ir

from edgebig.diagnose.causes import (
    bad_scale,
    bias_scale,
    clipped_range,
    dead_range,
    flat_softmax,
    mask_range,
    mean_shift,
    mixed_concat,
    outlier_channel,
    saturation,
    weight_axis,
    weight_changed,
    weight_range,
    wide_head,
)
from edgebig.diagnose.causes.context import Context
from edgebig.diagnose.causes.preprocessing import detect_inputs
from edgebig.records.diagnose import Cause

Detector = Callable[[Context, ir.Node], Cause | None]

DETECTORS: Mapping[str, Detector] = {
    bad_scale.KIND: bad_scale.detect,
    mask_range.KIND: mask_range.detect,
    weight_axis.KIND: weight_axis.detect,
    weight_changed.KIND: weight_changed.detect,
    mixed_concat.KIND: mixed_concat.detect,
    clipped_range.KIND: clipped_range.detect,
    dead_range.KIND: dead_range.detect,
    wide_head.KIND: wide_head.detect,
    weight_range.KIND: weight_range.detect,
    outlier_channel.KIND: outlier_channel.detect,
    saturation.KIND: saturation.detect,
    bias_scale.KIND: bias_scale.detect,
    flat_softmax.KIND: flat_softmax.detect,
    mean_shift.KIND: mean_shift.detect,
}

__all__ = ["DETECTORS", "Context", "causes_of", "detect_inputs"]


def causes_of(context: Context, layer: ir.Node) -> tuple[Cause, ...]:
    """All causes that fit a layer, most telling first."""
    found = (detect(context, layer) for detect in DETECTORS.values())
    return tuple(cause for cause in found if cause is not None)
