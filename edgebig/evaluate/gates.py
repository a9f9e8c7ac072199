"""Quality gates: what a score or a comparison must reach."""

from edgebig.errors import QualityGateError
from edgebig.records.comparison import ComparisonRecord
from edgebig.records.evaluation import EvaluationsRecord


def check_scores(
    record: EvaluationsRecord,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    max_drop: float | None = None,
) -> None:
    """Hold the scores against what was asked for; a value that is not finite passes no gate.

    Args:
        record: The scores.
        minimum: No model's value may be below it.
        maximum: No model's value may be above it (for metrics where lower is better).
        max_drop: No further model may be worse than the first by more than this.

    Raises:
        QualityGateError: A gate is missed; the message lists each miss.
    """
    misses = []
    for model in record.models:
        name, shown = model.model.name, f"{model.metric} {_shown(model.value)}"
        if minimum is not None and not (model.value is not None and model.value >= minimum):
            misses.append(f"{name}: {shown} is below --min {minimum}")
        if maximum is not None and not (model.value is not None and model.value <= maximum):
            misses.append(f"{name}: {shown} is above --max {maximum}")
        drop = record.models[0].score - model.score
        if max_drop is not None and model is not record.models[0] and not drop <= max_drop:
            misses.append(f"{name}: {shown} is worse than the first model's by {drop:.6g}, above --max-drop {max_drop}")
    if misses:
        raise QualityGateError("quality gate missed. " + "; ".join(misses) + ".")


def check_comparison(record: ComparisonRecord, *, max_loss: float | None = None) -> None:
    """Hold the worst output's loss against a budget; NaN or infinity in an output passes no budget.

    Raises:
        QualityGateError: The loss is above the budget; the message names the output.
    """
    if max_loss is None:
        return
    for row in record.outputs:
        if row.loss is None:
            raise QualityGateError(f"quality gate missed: output {row.output!r} of the changed model holds NaN or inf.")
        if row.loss > max_loss:
            raise QualityGateError(
                f"quality gate missed: output {row.output!r} has {row.loss_name} {row.loss:.6g}, "
                f"above --max-loss {max_loss}."
            )


def _shown(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.6g}"
