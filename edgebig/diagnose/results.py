"""What was found, as the rows of a record."""

from collections.abc import Mapping, Sequence

import onnx_ir as ir

from edgebig.diagnose.damage import Judgement, finite, judged, recovered
from edgebig.diagnose.inspected import label
from edgebig.diagnose.remedies import Candidate
from edgebig.diagnose.statistics import TensorFacts
from edgebig.diagnose.suspects import Suspects
from edgebig.records.diagnose import Cause, LayerDiagnosis, TensorError


def layer_rows(
    suspects: Suspects,
    candidates: Sequence[Candidate],
    base: Judgement,
    causes: Mapping[ir.Node, tuple[Cause, ...]],
) -> tuple[LayerDiagnosis, ...]:
    """The layers that were put back to float, those that take back most first."""
    rows = []
    for item in sorted(candidates, key=lambda item: item.judgement.error):
        pairs = suspects.inspected.layers[item.layer]
        rows.append(
            LayerDiagnosis(
                layer=label(item.layer),
                op_type=item.layer.op_type,
                quantized=suspects.inspected.quantized_layers[item.layer],
                tensor=pairs[0].name,
                own_sqnr_db=finite(suspects.own_db(item.layer)),
                sqnr_db=finite(suspects.cumulative_db(item.layer)),
                together=tuple(sorted(label(layer) for layer in item.together)),
                restored=judged(item.judgement),
                recovered=recovered(base, item.judgement),
                causes=causes[item.layer],
            )
        )
    return tuple(rows)


def tensor_rows(suspects: Suspects) -> tuple[TensorError, ...]:
    """All tensors that hold floats, in the order of computation."""
    found = ((value, suspects.facts.get(value.name or "")) for value in suspects.inspected.matching.pairs)
    return tuple(_tensor_row(value, facts) for value, facts in found if facts is not None)


def _tensor_row(value: ir.Value, facts: TensorFacts) -> TensorError:
    giver, grid = value.producer(), facts.grid
    return TensorError(
        tensor=facts.name,
        layer="" if giver is None else label(giver),
        own_sqnr_db=finite(facts.own.sqnr_db),
        sqnr_db=finite(facts.cumulative.sqnr_db),
        cosine=finite(facts.cumulative.cosine),
        bias=finite(facts.cumulative.mean_shift),
        clipped=facts.clipped_share,
        low=finite(facts.low),
        high=finite(facts.high),
        grid_low=None if grid is None else finite(grid.low),
        grid_high=None if grid is None else finite(grid.high),
        not_finite=facts.cumulative.broken,
    )
