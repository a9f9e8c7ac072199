"""One request to quantize: the float model, the samples, and what is asked of the result."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.data.feeds import Feed
from edgebig.data.samples import DEFAULT_BATCH, Samples, open_samples
from edgebig.errors import UsageError
from edgebig.evaluate.compare import compare_models
from edgebig.evaluate.output_loss import OutputLoss
from edgebig.graph.interface import input_specs
from edgebig.graph.load import ModelLike, resolve_model
from edgebig.quantize.calibrate.memory import tensor_budget
from edgebig.quantize.exclude import excluded_names
from edgebig.quantize.prepare import Prepared, prepare
from edgebig.records.comparison import ComparisonRecord
from edgebig.records.quantize import QuantizeOptions, parse_size
from edgebig.targets import targets

DataLike = str | Path | Mapping[str, NDArray] | Sequence[Feed] | Samples
# One feed in so many is held out of the observation, to measure the loss on.
HELD_OUT = 4
OWN = "ort-cpu"  # onnxruntime on this machine's processor
ITEM = 4  # bytes of a float32


@dataclass(frozen=True)
class Job:
    """What every scheme starts from.

    Attributes:
        original: The user's float model; nobody changes it.
        prepared: The same, ready to be quantized.
        options: What is asked.
        excluded: Names of the nodes that the user wants in float.
        sample: One sample; None where there are none.
        samples: All of them, in batches; None where there are none.
        observed: Those to observe on; None likewise.
        held_out: Those to measure the loss on; None likewise.
        larger: How many times the bytes of `sample` one batch has.
        budget: Bytes that may be held of observed tensors.
    """

    original: ir.Model
    prepared: Prepared
    options: QuantizeOptions
    excluded: frozenset[str]
    sample: Feed | None
    samples: Samples | None
    observed: Samples | None
    held_out: Samples | None
    larger: float
    budget: int

    @cached_property
    def judge(self) -> OutputLoss:
        """Judges changed models by the float model's outputs on the held-out samples."""
        held_out = self.needed(self.held_out)
        return OutputLoss(self.original, held_out, threads=self.options.threads, as_defined=not self.runs_here)

    def compare(self, model: ir.Model) -> ComparisonRecord:
        """How far a model's outputs are from the float model's on the held-out samples."""
        held_out = self.needed(self.held_out)
        threads = self.options.threads
        return compare_models(self.original, model, held_out, threads=threads, as_defined=not self.runs_here)

    @property
    def runs_here(self) -> bool:
        """Whether this machine computes as the target does; else models are judged as ONNX defines them."""
        target, here = self.prepared.facts.target, targets.get(OWN)()
        return (target.providers[:1], target.saturating_pairs, target.activation_dtype) == (
            here.providers[:1],
            here.saturating_pairs,
            here.activation_dtype,
        )

    def needed(self, samples: Samples | None) -> Samples:
        """Samples that the request cannot do without.

        Raises:
            UsageError: There are none.
        """
        if samples is None:
            raise UsageError(
                f"scheme {self.options.scheme!r} as asked for needs samples: give --data. int8-dynamic, int8-weight, "
                f"int4-weight and fp16 do without, but for a loss budget and GPTQ."
            )
        return samples

    @property
    def same_samples(self) -> bool:
        """Whether there is one feed only, so that the loss is measured on what was observed."""
        return self.held_out is not None and self.held_out is self.observed


def open_job(model: ModelLike, data: DataLike | None, options: QuantizeOptions) -> Job:
    """Read the model and open the samples.

    Args:
        model: The float model, or its path.
        data: Samples (see `edgebig.data.samples.open_samples`), or None.
        options: What is asked.

    Raises:
        InvalidModelError: The model cannot be read or run, or is quantized already.
        InvalidDataError: The samples do not fit.
        UsageError: An unknown target or node.
    """
    target = targets.get(options.target)()
    budget = parse_size(options.ram_budget)
    original = resolve_model(model)
    specs = input_specs(original)
    if data is None:
        prepared = prepare(original, None, target)
        excluded = frozenset(excluded_names(prepared.model.graph, options.exclude))
        return Job(original, prepared, options, excluded, None, None, None, None, 1.0, budget)
    single = open_samples(data, specs, batch_size=1, limit=options.samples)
    sample = next(iter(single))
    prepared = prepare(original, sample, target)
    excluded = frozenset(excluded_names(prepared.model.graph, options.exclude))
    samples = open_samples(data, specs, batch_size=_batch(single.feeds, prepared, budget), limit=options.samples)
    observed, held_out = samples.split(HELD_OUT)
    larger = _bytes(next(iter(samples))) / max(_bytes(sample), 1)
    return Job(original, prepared, options, excluded, sample, samples, observed, held_out, larger, budget)


def _batch(samples: int | None, prepared: Prepared, budget: int) -> int:
    """Samples in a feed: few enough for the budget, and for a held-out part that is no larger than it need be."""
    activations = sum(math.prod(shape) * ITEM for shape in prepared.facts.shapes.values())
    feeds = DEFAULT_BATCH if samples is None else samples // (2 * HELD_OUT)
    return max(1, min(DEFAULT_BATCH, feeds, tensor_budget(budget) // max(activations, 1)))


def _bytes(feed: Feed) -> int:
    return sum(array.nbytes for array in feed.values())
