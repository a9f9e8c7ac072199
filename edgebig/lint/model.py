"""Hold a model against a target's rules, and repair what can be repaired without changing results beyond rounding."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.data.feeds import Feed
from edgebig.data.samples import Samples, open_samples
from edgebig.evaluate.random_feeds import random_feeds
from edgebig.graph.edit import working_copy
from edgebig.graph.interface import input_specs
from edgebig.graph.load import ModelLike, all_nodes, describe_source, resolve_model, source_files
from edgebig.graph.provenance import stamp
from edgebig.graph.session import Session
from edgebig.lint.context import Context
from edgebig.lint.repair import Feeds, Repaired, repair
from edgebig.lint.rules import RULES
from edgebig.progress import track
from edgebig.records.lint import Finding, LintOptions, LintRecord, Severity
from edgebig.targets import Target, targets
from edgebig.targets.release import Release, release_for

DataLike = str | Path | Mapping[str, NDArray] | Sequence[Feed] | Samples
RANDOM = "random"
ORDER = {severity: place for place, severity in enumerate(Severity)}


def lint_model(
    model: ModelLike, *, data: DataLike | None = None, options: LintOptions | None = None
) -> tuple[ir.Model, LintRecord]:
    """Find what a target refuses, does not fuse, or slows down in a model, and why.

    Args:
        model: The model, or its path; it stays as it is.
        data: Samples (see `edgebig.data.samples.open_samples`): saturation is then measured on them, and a repaired
            model compared; None: saturation is bounded, and models are compared on random inputs.
        options: The target, and whether to repair.

    Returns:
        The repaired model (a plain copy where nothing was to repair, or nothing was asked for), and what was found.

    Raises:
        InvalidModelError: The model cannot be read.
        UnknownNameError: No such target.
        UsageError: The runtime's version is not known.
        InvalidDataError: The samples do not fit, or no random input runs and a repair would have to be proven.
    """
    options = options or LintOptions()
    target = targets.get(options.target)()
    release = _release(target, options)
    original = resolve_model(model)
    samples = None if data is None else open_samples(data, input_specs(original), limit=options.samples)
    copy = working_copy(original)
    files = source_files(original) if not isinstance(model, ir.Model) else ()
    context = Context(copy, target, release, samples, files[0] if files else None)
    runnable = files[0] if files else original
    if options.fix:
        result = repair(copy, runnable, context, lambda reference: _feeds(original, reference, samples, options.seed))
    else:
        result = Repaired(copy)
    findings = _check(result, context)
    if result.repairs:
        stamp(result.model, "lint", options, inputs=list(files))
    return result.model, _record(original, context, result, findings)


def _release(target: Target, options: LintOptions) -> Release | None:
    if options.runtime_version is not None:
        return release_for(target.releases, options.runtime_version, runtime=target.runtime)
    return target.releases[-1] if target.releases and target.releases_current else None


def _feeds(original: ir.Model, runnable: ir.Model | Path, samples: Samples | None, seed: int) -> Feeds:
    if samples is not None:
        return samples
    return random_feeds(Session(runnable, optimize=False), input_specs(original), seed=seed)


def _check(result: Repaired, context: Context) -> tuple[Finding, ...]:
    seen = context.of(result.model)
    if not result.repairs:
        seen = Context(seen.model, context.target, context.release, context.samples, context.file)
    findings = [found for rule in track(RULES, "checking") for found in rule.check(seen)]
    return tuple(sorted(findings, key=lambda found: ORDER[found.severity]))


def _record(original: ir.Model, context: Context, result: Repaired, findings: tuple[Finding, ...]) -> LintRecord:
    target, release = context.target, context.release
    named = {found.rule for found in findings} | {done.rule for done in result.repairs}
    sources = {rule.name: target.sources.get(rule.source, rule.source) for rule in RULES if rule.name in named}
    notes = (f"outputs are compared from the repair on that made the model run; before it, {result.uncompared}",)
    return LintRecord(
        model=describe_source(original),
        target=target.name,
        target_description=target.description,
        runtime=target.runtime,
        runtime_version=None if release is None else release.version,
        nodes=sum(1 for _ in all_nodes(original)),
        findings=findings,
        repairs=tuple(result.repairs),
        left_out=dict(result.left_out),
        data=_source(result),
        feeds=sum(1 for _ in result.feeds),
        sources=sources,
        notes=notes if result.uncompared else (),
    )


def _source(result: Repaired) -> str:
    if isinstance(result.feeds, Samples):
        return result.feeds.source
    return RANDOM if result.feeds else ""
