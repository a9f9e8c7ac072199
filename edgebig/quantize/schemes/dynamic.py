"""int8 weights, and activations quantized on every run: no samples needed, and no range can be wrong."""

from functools import partial

from edgebig.errors import InvalidModelError
from edgebig.graph.edit import working_copy
from edgebig.graph.load import describe_source
from edgebig.quantize.coverage import float_rows
from edgebig.quantize.draft import Draft, with_changes
from edgebig.quantize.dynamic import candidates, write_dynamic
from edgebig.quantize.job import Job
from edgebig.quantize.weight_bits import portability_notes, weight_rule


def dynamic(job: Job, left: frozenset[str] = frozenset()) -> Draft:
    """See `edgebig.quantize.schemes.Scheme`.

    Args:
        job: The request.
        left: Names of nodes that stay in float, besides those the user wants there.
    """
    facts = job.prepared.facts
    result = working_copy(job.prepared.model)
    found = candidates(result.graph, facts)
    rows = float_rows(result.graph, facts, found)
    rule, bits = weight_rule(job.options.weight_bits, facts.target)
    nodes = [node for node, reason in found.items() if not reason and (node.name or "") not in job.excluded | left]
    if not nodes:
        reasons = sorted({f"{node.op_type}: {reason}" for node, reason in found.items() if reason})[:4]
        raise InvalidModelError(
            f"{describe_source(job.original)} has nothing to quantize dynamically. "
            f"{'; '.join(reasons) or 'It has no MatMul, Gemm, LSTM, GRU or RNN'}."
        )
    changes = write_dynamic(result, nodes, rule=rule)
    return Draft(
        model=result,
        nodes=with_changes(rows, changes),
        scheme="int8-dynamic",
        weight_bits=bits,
        rewrite=partial(dynamic, job),
        notes=portability_notes(rule),
    )
