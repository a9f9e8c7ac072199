"""How far a changed model's outputs are from the original's: the judge that pruning and quantization work against.

The original runs once over the samples and its outputs are kept (the graph's outputs alone); every changed model runs
over the same samples and is compared feed by feed, without labels.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.data.samples import Samples
from edgebig.errors import InvalidDataError, InvalidModelError
from edgebig.graph.session import Session
from edgebig.metrics.pair import check_loss, choose_loss, guarded_loss, pair_losses
from edgebig.progress import track

AUTO = "auto"


class OutputLoss:
    """Judge changed models by the outputs of the original.

    Args:
        reference: The original model.
        samples: The feeds to compare on; they must give the same feeds each time they are gone through.
        loss: A name out of `edgebig.metrics.pair.pair_losses` for all outputs, or "auto": what fits each output.
        threads: Threads within an operator; 0 leaves the choice to onnxruntime.
        as_defined: Whether changed models are run as ONNX defines them (see `edgebig.graph.session.Session`): for
            targets whose integer kernels are not this processor's.

    Raises:
        UnknownNameError: No such loss.
        UsageError: The named loss cannot judge one of the outputs.
        InvalidModelError: The original cannot be run, or none of its outputs is a tensor.
        InvalidDataError: The samples hold no feeds.
    """

    def __init__(
        self,
        reference: ir.Model | Path,
        samples: Samples,
        *,
        loss: str = AUTO,
        threads: int = 0,
        as_defined: bool = False,
    ) -> None:
        if loss != AUTO:
            pair_losses.get(loss)
        self._samples = samples
        self._threads = threads
        self._as_defined = as_defined
        self._reference = _run_all(reference, samples, threads)
        self._losses = {
            name: choose_loss(arrays) if loss == AUTO else check_loss(loss, name, arrays)
            for name, arrays in self._reference.items()
        }

    @property
    def loss(self) -> str:
        """The name of the loss in use; the names, joined by "+", where outputs have different ones."""
        return "+".join(dict.fromkeys(self._losses.values()))

    @property
    def losses(self) -> Mapping[str, str]:
        """The name of the loss by output."""
        return dict(self._losses)

    def of(self, model: ir.Model | Path) -> float:
        """The loss of the worst output: 0 is equal; infinity where an output holds NaN or infinity."""
        return max(self.per_output(model).values())

    def per_output(self, model: ir.Model | Path) -> dict[str, float]:
        """The loss by output name, each the mean over all feeds weighted by their size.

        Args:
            model: The changed model; it must take the original's inputs and give its outputs, by name.

        Raises:
            InvalidModelError: An output is missing, or the model cannot be run.
            InvalidDataError: The samples gave another number of feeds than they gave the original.
        """
        means = {name: _WeightedMean() for name in self._reference}
        for original, changed in self.pairs(model):
            for name, mean in means.items():
                value = guarded_loss(self._losses[name], original[name], changed[name])
                mean.add(value, original[name].size)
        return {name: mean.value for name, mean in means.items()}

    def pairs(self, model: ir.Model | Path) -> Iterator[tuple[dict[str, NDArray], dict[str, NDArray]]]:
        """Run a changed model and yield, feed by feed, the original's outputs and its own, by name.

        Raises:
            InvalidModelError, InvalidDataError: As `per_output`.
        """
        feeds = 0
        for changed in _outputs(
            model, self._samples, self._threads, tuple(self._reference), as_defined=self._as_defined
        ):
            if feeds == self._feeds:
                raise self._unsteady()
            yield {name: arrays[feeds] for name, arrays in self._reference.items()}, changed
            feeds += 1
        if feeds != self._feeds:
            raise self._unsteady()

    def _unsteady(self) -> InvalidDataError:
        return InvalidDataError(
            f"samples {self._samples.source} gave {self._feeds} feeds at first and another number now; "
            f"they must be the same each time they are read"
        )

    @property
    def _feeds(self) -> int:
        return len(next(iter(self._reference.values())))


@dataclass
class _WeightedMean:
    total: float = 0.0
    weight: int = 0

    def add(self, value: float, weight: int) -> None:
        weight = max(weight, 1)  # an empty output still counts: the changed model may put something there
        self.total += value * weight
        self.weight += weight

    @property
    def value(self) -> float:
        return self.total / self.weight


def _run_all(model: ir.Model | Path, samples: Samples, threads: int) -> dict[str, list[NDArray]]:
    """All tensor outputs of the model by name, one array per feed."""
    kept: dict[str, list[NDArray]] = {}
    for outputs in _outputs(model, samples, threads, None):
        for name, array in outputs.items():
            if isinstance(array, np.ndarray):
                kept.setdefault(name, []).append(array)
    if not kept:
        raise InvalidDataError(f"samples {samples.source}: no feeds, or the model gives no tensors: nothing to compare")
    return kept


def _outputs(
    model: ir.Model | Path,
    samples: Samples,
    threads: int,
    names: Sequence[str] | None,
    *,
    as_defined: bool = False,
) -> Iterator[dict[str, NDArray]]:
    with Session(model, threads=threads, as_defined=as_defined) as session:
        if missing := [name for name in names or () if name not in session.output_names]:
            raise InvalidModelError(
                f"{session.name} has no output {missing[0]!r}, which the original has. "
                f"Its outputs: {', '.join(session.output_names)}."
            )
        for feed in track(samples, "comparing outputs", samples.feeds):
            yield session.run(feed, names)
