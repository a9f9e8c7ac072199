"""The passes of `edgebig optimize`, in order. A new one is a file of its own and a line here."""

from collections.abc import Sequence
from dataclasses import dataclass

from edgebig.optimize.eliminate_identities import EliminateIdentities
from edgebig.optimize.eliminate_noops import EliminateNoops
from edgebig.optimize.fold_constants import FoldConstants
from edgebig.optimize.fold_pad_into_pool import FoldPadIntoPool
from edgebig.optimize.freeze_inputs import FreezeInputs
from edgebig.optimize.infer_missing_shapes import InferMissingShapes
from edgebig.optimize.library_passes import (
    ClearNotes,
    SimplifyShapes,
    fix_names,
    fold_pad_into_conv,
    fuse_clips,
    inline_functions,
    lift_constants,
    merge_equal_nodes,
    remove_unused,
)
from edgebig.optimize.raise_opset import RaiseOpset
from edgebig.passes.base import Pass
from edgebig.passes.fold_affine_after import FoldAffineAfter
from edgebig.passes.fold_affine_before import FoldAffineBefore
from edgebig.passes.merge_initializers import MergeInitializers


@dataclass(frozen=True)
class Steps:
    """Passes in three groups.

    Attributes:
        first: Run once, before the others.
        repeated: Run round after round until nothing changes.
        last: Run once, at the end.
    """

    first: tuple[Pass, ...]
    repeated: tuple[Pass, ...]
    last: tuple[Pass, ...]

    def without(self, names: Sequence[str]) -> "Steps":
        """The same without the passes of these names."""
        groups = (self.first, self.repeated, self.last)
        return Steps(*(tuple(step for step in group if step.name not in names) for group in groups))


def optimize_steps(*, opset: int, freeze_inputs: bool) -> Steps:
    """All passes.

    Args:
        opset: The operator set that older models are raised to.
        freeze_inputs: Whether initializers that are also inputs become constants.
    """
    return Steps(
        first=(inline_functions(), FreezeInputs(always=freeze_inputs), RaiseOpset(opset)),
        repeated=(
            InferMissingShapes(),
            EliminateNoops(),
            FoldConstants(),
            SimplifyShapes(),
            fuse_clips(),
            fold_pad_into_conv(),
            FoldPadIntoPool(),
            FoldAffineAfter(),
            FoldAffineBefore(),
            EliminateIdentities(),
            lift_constants(),
            merge_equal_nodes(),
            remove_unused(),
        ),
        # Equal initializers are merged last: a shared weight can take no scale.
        last=(MergeInitializers(), ClearNotes(), fix_names()),
    )
