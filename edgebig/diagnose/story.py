"""The findings in a few sentences."""

from collections.abc import Iterator

from edgebig.records.diagnose import DiagnoseRecord, LayerDiagnosis, Remedy

# A layer whose own SQNR is below this goes wrong by itself.
WRONG_DB = 15.0
_SHOWN = 3


def tell(record: DiagnoseRecord) -> Iterator[str]:
    """Sentences: what is lost, where it begins, why, and what repairs it."""
    yield _loss(record)
    yield from (f"{_capital(finding.kind)}: {finding.text}." for finding in record.findings)
    if record.healthy:
        yield "No remedy was looked for: the quantized model is close to the float one."
        return
    yield from _beginning(record)
    yield from _causes(record)
    helping = [remedy for remedy in record.remedies if remedy.helps]
    for remedy in helping or record.remedies[:1]:
        yield _remedy(record, remedy)
    if not helping:
        yield (
            "The error is spread over many layers, and leaving a few of them in float does not take it back: "
            "quantize again, with scales per channel and samples like these."
        )


def _loss(record: DiagnoseRecord) -> str:
    found = record.judged
    if found.error is None:
        return f"The quantized model gives NaN or infinity on {record.feeds} feeds."
    text = f"On {record.feeds} feeds the outputs are off by {found.error:.1%} (root mean square)"
    if record.loss_name != "relative-error" and found.loss is not None:
        text += f", {record.loss_name} {found.loss:.4g}"
    if record.float_score is not None and found.score is not None:
        text += f"; the task's score is {found.score:.4g}, that of the float model {record.float_score:.4g}"
    return text + "."


def _beginning(record: DiagnoseRecord) -> Iterator[str]:
    inputs = [row.tensor for row in record.tensors if not row.layer]
    if record.first_wrong in inputs:
        yield f"It is wrong from input {record.first_wrong} on: the integers cannot hold what these samples have there."
    elif record.first_wrong is not None:
        yield f"It first goes wrong at {record.first_wrong}: what that layer reads is still fine, its result is not."
    wrong = [layer for layer in record.layers if layer.own_sqnr_db is not None and layer.own_sqnr_db < WRONG_DB]
    inherited = sum(
        row.sqnr_db is not None and row.sqnr_db < WRONG_DB and (row.own_sqnr_db is None or row.own_sqnr_db >= WRONG_DB)
        for row in record.tensors
    )
    if wrong:
        text = (
            f"{_layers(len(wrong))} wrong by {'itself' if len(wrong) == 1 else 'themselves'} (below {WRONG_DB:.0f} dB)"
        )
        yield f"{text}; {inherited} other tensors only inherit it."


def _causes(record: DiagnoseRecord) -> Iterator[str]:
    """One sentence per kind of cause, with the layer that answers for most."""
    kinds: dict[str, list[LayerDiagnosis]] = {}
    for layer in record.layers:
        if layer.causes:
            kinds.setdefault(layer.causes[0].kind, []).append(layer)
    for kind, layers in sorted(kinds.items(), key=lambda item: -len(item[1]))[:_SHOWN]:
        first = layers[0]
        more = f" (and {len(layers) - 1} more)" if len(layers) > 1 else ""
        yield f"{_capital(kind)} at {first.layer}{more}: {first.causes[0].text}."


def _remedy(record: DiagnoseRecord, remedy: Remedy) -> str:
    before, after = record.judged, remedy.result
    first = "NaN" if before.error is None else f"{before.error:.1%}"
    second = "NaN" if after.error is None else f"{after.error:.1%}"
    text = f"Tried: {remedy.what} brings the error from {first} to {second}"
    if record.loss_name != "relative-error" and before.loss is not None and after.loss is not None:
        text += f", {record.loss_name} from {before.loss:.4g} to {after.loss:.4g}"
    if before.score is not None and after.score is not None:
        text += f", the score from {before.score:.4g} to {after.score:.4g}"
    return text + "."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _layers(count: int) -> str:
    return "One layer goes" if count == 1 else f"{count} layers go"
