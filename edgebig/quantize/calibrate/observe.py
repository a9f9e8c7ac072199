"""Statistics of intermediate tensors over samples, in bounded memory.

The float model runs with the tensors as its outputs, as many at once as fit the budget; each batch's values go into
the statistics and are forgotten. More tensors than fit mean more passes over the samples. A tensor that is an output
cannot be optimised away or fused into, so onnxruntime gives the value that the graph defines.
"""

from collections.abc import Mapping, Sequence

import onnx_ir as ir

from edgebig.data.samples import Samples
from edgebig.errors import InvalidDataError
from edgebig.graph.edit import expose_outputs
from edgebig.graph.session import Session
from edgebig.progress import track
from edgebig.quantize.calibrate.statistics import TensorStatistics


def observe(
    model: ir.Model,
    samples: Samples,
    statistics: Mapping[str, TensorStatistics],
    sizes: Mapping[str, int],
    *,
    budget: int,
    threads: int = 0,
) -> int:
    """Gather the statistics of tensors.

    Args:
        model: The float model.
        samples: The feeds.
        statistics: Tensor name -> what is gathered; inputs of the model may be among them.
        sizes: Tensor name -> its bytes on one feed.
        budget: Bytes that the tensors of one pass may take together.
        threads: Threads within an operator; 0 leaves the choice to onnxruntime.

    Returns:
        How often the samples were gone through.

    Raises:
        InvalidDataError: The samples hold no feeds, or a tensor holds NaN or infinity on them.
        InvalidModelError: onnxruntime cannot run the model.
    """
    inputs = {value.name or "" for value in model.graph.inputs}
    groups = tensor_groups({name: sizes[name] for name in statistics if name not in inputs}, budget)
    given = [name for name in statistics if name in inputs]
    for index, group in enumerate(groups or [()]):
        what = "observing ranges" + (f", pass {index + 1} of {len(groups)}" if len(groups) > 1 else "")
        # Without tensors to compute the model need not run: the samples themselves are all there is to see.
        with Session(expose_outputs(model, group or [model.graph.outputs[0].name or ""]), threads=threads) as session:
            for feed in track(samples, what, samples.feeds):
                values = session.run(feed) if group else {}
                values |= {name: feed[name] for name in given if index == 0}
                for name, array in values.items():
                    statistics[name].add(array)
    unseen = [name for name, found in statistics.items() if not found.seen]
    if unseen:
        raise InvalidDataError(f"samples {samples.source} give no values in {len(unseen)} tensors, e.g. {unseen[0]!r}")
    return max(len(groups), 1)


def tensor_groups(sizes: Mapping[str, int], budget: int) -> list[Sequence[str]]:
    """Divide tensors, in order, into groups that fit the budget; one that is larger alone is a group of its own."""
    groups: list[list[str]] = []
    room = 0
    for name, size in sizes.items():
        if not groups or size > room:
            groups.append([])
            room = budget
        groups[-1].append(name)
        room -= size
    return list(groups)
