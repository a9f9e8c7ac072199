"""The scheme that is fastest for this model on this target, of those that lose little: measured, not assumed.

No scheme suits every model: static int8 gains on convolutions, dynamic int8 on products with few rows and on recurrent
layers, and on some models nothing gains. So the mixtures that make sense are written and measured against the float
model, interleaved, and their losses compared on held-out samples.
"""

import dataclasses
import math
from dataclasses import dataclass

from edgebig.bench import bench_models
from edgebig.errors import InvalidModelError
from edgebig.graph.load import describe_source
from edgebig.quantize.checks import check_quantizable
from edgebig.quantize.draft import Draft
from edgebig.quantize.job import Job
from edgebig.quantize.schemes.mixture import DYNAMIC, STATIC, WEIGHTS, Parts, find_parts, mix
from edgebig.quantize.schemes.static import Calibrated, calibrate
from edgebig.records.measurement import BenchOptions
from edgebig.records.quantize import SchemeTrial
from edgebig.timing.comparison import SLOWER

# Seconds in which all candidates are measured together.
SECONDS = 4.0
# What is worth one decibel of fidelity, and from where on more of them are worth nothing.
DECIBEL_OF_SPEED, ENOUGH_DB = 1.1, 50.0
# A mixture that leaves much more of the weights in float than another is no answer.
LEAST_COVERAGE = 0.8
# Below it a model's outputs are mostly noise.
COLLAPSED_DB = 5.0


@dataclass(frozen=True)
class _Candidate:
    draft: Draft
    trial: SchemeTrial


def auto(job: Job) -> Draft:
    """See `edgebig.quantize.schemes.Scheme`."""
    parts = find_parts(job)
    if job.samples is None:
        return _without_samples(job, parts)
    calibrated = calibrate(job, parts.tables | parts.recurrent)
    drafts = _drafts(job, calibrated, parts)
    if not drafts:
        check_quantizable(job.original, calibrated.engine.plan.placement, calibrated.engine.plan.candidates)
        raise InvalidModelError(f"{describe_source(job.original)} has nothing that could be quantized.")
    candidates = _measured(job, drafts)
    chosen = _choose(candidates)
    trials = tuple(
        dataclasses.replace(candidate.trial, chosen=candidate is chosen, reason=_reason(candidate, chosen))
        for candidate in candidates
    )
    return dataclasses.replace(chosen.draft, trials=trials, notes=(*chosen.draft.notes, *_notes(chosen)))


def _without_samples(job: Job, parts: Parts) -> Draft:
    """Dynamic int8 where there are products or recurrent layers, and integer weights for the rest."""
    products = DYNAMIC if parts.dynamic_products or parts.recurrent else WEIGHTS
    draft = mix(job, None, parts, products)
    if not any(row.quantized for row in draft.nodes):
        raise InvalidModelError(
            f"{describe_source(job.original)} has nothing that could be quantized without samples. Give --data."
        )
    return draft


def _drafts(job: Job, calibrated: Calibrated, parts: Parts) -> list[Draft]:
    """The mixtures that make sense; two that come out the same are one."""
    choices: list[tuple[Calibrated | None, str]] = [(calibrated, STATIC)]
    if job.runs_here:
        choices += [(calibrated, DYNAMIC), (None, DYNAMIC)] if parts.dynamic_products else []
        choices += [(calibrated, WEIGHTS), (None, WEIGHTS)] if parts.stored_products else []
    drafts: list[Draft] = []
    seen: set[tuple[str, ...]] = set()
    for static_part, products in choices:
        draft = mix(job, static_part, parts, products)
        key = tuple(row.precision for row in draft.nodes)
        if key not in seen and any(row.quantized for row in draft.nodes):
            seen.add(key)
            drafts.append(draft)
    most = max((_coverage(draft) for draft in drafts), default=0.0)
    return [draft for draft in drafts if _coverage(draft) >= LEAST_COVERAGE * most]


def _coverage(draft: Draft) -> float:
    """Share of the weights that have left float."""
    total = sum(row.weights for row in draft.nodes)
    return sum(row.weights for row in draft.nodes if row.quantized) / total if total else 0.0


def _measured(job: Job, drafts: list[Draft]) -> list[_Candidate]:
    candidates = []
    speedups: list[tuple[float | None, str]] = [(None, "")] * len(drafts)
    if job.runs_here:
        record = bench_models(
            [job.original, *(draft.model for draft in drafts)],
            data=[job.sample],
            options=BenchOptions(threads=job.options.threads or 1, time=SECONDS),
        )
        found = [model.comparison for model in record.models[1:]]
        speedups = [(row.speedup, row.verdict) if row else (None, "") for row in found]
    for draft, (speedup, verdict) in zip(drafts, speedups, strict=True):
        compared = job.compare(draft.model)
        levels = [row.sqnr_db for row in compared.outputs if row.sqnr_db is not None]
        trial = SchemeTrial(
            scheme=draft.scheme,
            speedup=speedup,
            slower=verdict == SLOWER,
            loss=compared.loss,
            sqnr_db=min(levels, default=None),
        )
        candidates.append(_Candidate(draft, trial))
    return candidates


def _choose(candidates: list[_Candidate]) -> _Candidate:
    """Of those that are sound and not slower than float, the one with the best of speed and fidelity."""
    sound = [found for found in candidates if not _collapsed(found.trial)] or candidates
    return max([found for found in sound if not found.trial.slower] or sound, key=_score)


def _score(candidate: _Candidate) -> float:
    """Decibels, up to where nobody can tell; a tenth more speed is worth one."""
    trial = candidate.trial
    level = ENOUGH_DB if trial.sqnr_db is None else min(trial.sqnr_db, ENOUGH_DB)
    return level + math.log(_speed(candidate), DECIBEL_OF_SPEED)


def _collapsed(trial: SchemeTrial) -> bool:
    return trial.loss is None or (trial.sqnr_db is not None and trial.sqnr_db < COLLAPSED_DB)


def _speed(candidate: _Candidate) -> float:
    return candidate.trial.speedup or 1.0


def _reason(candidate: _Candidate, chosen: _Candidate) -> str:
    if candidate is chosen:
        return "chosen"
    if _collapsed(candidate.trial):
        return "its outputs are mostly noise"
    if candidate.trial.slower:
        return "slower than float"
    return "slower" if _speed(candidate) < _speed(chosen) else "loses more for little speed"


def _notes(chosen: _Candidate) -> tuple[str, ...]:
    if not chosen.trial.slower:
        return ()
    return (
        f"no scheme runs faster than float here: {chosen.trial.scheme} runs {chosen.trial.speedup:.2f} times as fast, "
        f"and is smaller",
    )
