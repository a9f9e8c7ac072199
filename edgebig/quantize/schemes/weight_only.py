"""Weights in 8 or 4 bits, activations in float: smaller files, and faster where reading the weights takes the time."""

from functools import partial

from edgebig.errors import InvalidModelError
from edgebig.graph.edit import working_copy
from edgebig.graph.load import describe_source
from edgebig.graph.opset import raise_opset
from edgebig.quantize.coverage import float_rows
from edgebig.quantize.draft import Draft, with_changes
from edgebig.quantize.job import Job
from edgebig.quantize.weight_only import WeightOnlySettings, candidates, required_opset, write_weight_only
from edgebig.records.quantize import AUTO, NBITS

GPTQ = "gptq"


def weight_only(job: Job, left: frozenset[str] = frozenset(), *, bits: int) -> Draft:
    """See `edgebig.quantize.schemes.Scheme`.

    Args:
        job: The request.
        left: Names of nodes that stay in float, besides those the user wants there.
        bits: 8 or 4.
    """
    settings = settings_of(job, bits)
    result = working_copy(job.prepared.model)
    needed = required_opset(result.graph, settings)
    if job.prepared.facts.opset < needed:
        raise_opset(result, needed)
    found = candidates(result.graph, settings)
    rows = float_rows(result.graph, job.prepared.facts, found)
    nodes = [node for node, reason in found.items() if not reason and (node.name or "") not in job.excluded | left]
    samples = job.needed(job.observed) if settings.method == GPTQ else None
    changes = write_weight_only(result, nodes, settings, samples=samples)
    if not changes:
        reasons = sorted({f"{node.op_type}: {reason}" for node, reason in found.items() if reason})[:4]
        raise InvalidModelError(
            f"{describe_source(job.original)} has no weights to quantize. "
            f"{'; '.join(reasons) or 'No operator of it reads constants that could be'}."
        )
    return Draft(
        model=result,
        nodes=with_changes(rows, changes),
        scheme=f"int{bits}-weight",
        weight_bits=f"{bits}, blocks of {settings.block_size}, {settings.method}",
        rewrite=partial(weight_only, job, bits=bits),
    )


def settings_of(job: Job, bits: int) -> WeightOnlySettings:
    """What the user asks of weights; "auto" is GPTQ for 4 bits where there are samples, and rounding otherwise."""
    method = job.options.weight_method
    if method == AUTO:
        method = GPTQ if bits == 4 and job.observed is not None else "hqq" if bits == 4 else "rtn"
    format_ = "qdq" if job.options.format == "qdq" else NBITS
    return WeightOnlySettings(
        bits=bits,
        block_size=job.options.block_size,
        format=format_,
        method=method,
        ram_budget=job.budget,
        threads=job.options.threads,
    )


int8_weight = partial(weight_only, bits=8)
int4_weight = partial(weight_only, bits=4)
