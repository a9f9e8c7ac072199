"""Compile and measure ahead of time, so that the first session is built as quickly as the next ones."""

from collections.abc import Sequence

from edgebig.errors import UsageError
from edgebig.graph.load import ModelLike, resolve_model
from edgebig.records.runtime import RuntimeRecord
from edgebig.runtime.accelerate import accelerate
from edgebig.runtime.bridge import BridgeError, supported, unregister
from edgebig.runtime.cache import Cache
from edgebig.runtime.session import threads_by_default
from edgebig.runtime.specialise import Shapes, dynamic_inputs


def prepare(
    model: ModelLike, *, shapes: Sequence[Shapes] = (), threads: int = 0, cache: Cache | None = None
) -> tuple[RuntimeRecord, ...]:
    """Fill the cache for a model: what `InferenceSession` will need is compiled and measured now.

    Args:
        model: A path, or a model in memory.
        shapes: Sets of input shapes, for models with dynamic axes: each a dict from the name of an input to its shape.
        threads: Within an operator, as the session will have; 0: as many as onnxruntime takes by itself.
        cache: Where to; by default the user's cache folder.

    Returns:
        What was done, per set of shapes.

    Raises:
        UsageError: The model has dynamic axes and no shapes are given.
        InvalidModelError: The model cannot be read, or contradicts the shapes.
        BridgeError: Kernels cannot run in onnxruntime here.
    """
    reason = supported()
    if reason is not None:
        raise BridgeError(f"Numba kernels cannot run inside onnxruntime: {reason}")
    loaded = resolve_model(model)
    dynamic = dynamic_inputs(loaded)
    if dynamic and not shapes:
        raise UsageError(f"inputs {list(dynamic)} have dynamic axes; give the shapes that will arrive")
    count = threads or threads_by_default()
    records = []
    for given in shapes or ({},):
        found = accelerate(loaded, given, threads=count, cache=cache or Cache())
        records.append(found.record)
        for key in found.keys:
            unregister(key)
    return tuple(records)
