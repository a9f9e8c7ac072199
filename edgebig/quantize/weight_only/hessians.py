"""Second moments of what layers read, streamed over the samples."""

from collections.abc import Iterable, Sequence
from contextlib import ExitStack

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from edgebig.data.feeds import Feed
from edgebig.errors import InvalidDataError
from edgebig.graph.edit import expose_outputs
from edgebig.graph.session import Session
from edgebig.progress import track
from edgebig.quantize.weight_only.gptq import Array


def observe_hessians(
    model: ir.Model, names: Sequence[str], samples: Iterable[Feed], *, threads: int, description: str
) -> dict[str, Array]:
    """X^T X / n of named values, whose last axis counts inputs.

    Products are taken in float32, feed by feed, and summed in float64; nothing of a feed is kept.

    Args:
        model: The model; it stays as it is.
        names: Values of its top-level graph, or inputs of it.
        samples: The feeds.
        threads: Threads within an operator; 0 leaves the choice to onnxruntime.
        description: What the progress bar says.

    Returns:
        Name -> [inputs, inputs].

    Raises:
        InvalidDataError: No rows were seen, or an activation overflowed.
    """
    given = {value.name for value in model.graph.inputs}
    computed = [name for name in names if name not in given]
    sums: dict[str, Array | float] = dict.fromkeys(names, 0.0)
    rows = dict.fromkeys(names, 0)
    with ExitStack() as stack:
        session: Session | None = None
        if computed:
            part = expose_outputs(model, computed)
            RemoveUnusedNodesPass()(part)
            session = stack.enter_context(Session(part, threads=threads))
        for feed in track(samples, description):
            values = {name: feed[name] for name in names if name in given} | (session.run(feed) if session else {})
            for name, value in values.items():
                x = value.reshape(-1, value.shape[-1]).astype(np.float32)
                # What overflows is found below, once, instead of a warning for each feed.
                with np.errstate(invalid="ignore", over="ignore"):
                    sums[name] = sums[name] + (x.T @ x).astype(np.float64)
                rows[name] += len(x)
    hessians: dict[str, Array] = {}
    for name, total in sums.items():
        if not rows[name]:
            raise InvalidDataError(f"the samples give no values of {name!r}; GPTQ needs some for every layer.")
        hessians[name] = np.asarray(total) / rows[name]
        if not np.isfinite(hessians[name]).all():
            raise InvalidDataError(f"{name!r} overflows on the samples; GPTQ cannot weigh it. Use another method.")
    return hessians
