"""Compare two models' outputs on the same samples, without labels."""

from pathlib import Path
from typing import Any

from edgebig.bench import bench_models
from edgebig.data.samples import open_samples
from edgebig.evaluate.distance import OutputDistance
from edgebig.evaluate.model_file import open_model
from edgebig.evaluate.output_loss import AUTO, OutputLoss
from edgebig.graph.interface import input_specs
from edgebig.graph.load import ModelLike
from edgebig.graph.provenance import package_versions
from edgebig.records.comparison import ComparisonRecord
from edgebig.records.measurement import BenchOptions
from edgebig.targets.cpu_features import cpu_model


def compare_models(
    reference: ModelLike,
    changed: ModelLike,
    data: str | Path | Any,
    *,
    loss: str = AUTO,
    threads: int = 0,
    limit: int | None = None,
    time: float = 0.0,
    as_defined: bool = False,
) -> ComparisonRecord:
    """Run both models on the same samples, and measure how far their outputs are apart and, if asked, their latency.

    Args:
        reference: The original, or its path.
        changed: The model compared with it, or its path; it must have the same inputs and outputs by name.
        data: What `edgebig.data.samples.open_samples` takes.
        loss: A name out of `edgebig.metrics.pair.pair_losses`, or "auto": what fits each output.
        threads: Threads within an operator; 0 leaves the choice to onnxruntime.
        limit: At most this many samples (of arrays) or feeds.
        as_defined: Whether the changed model's outputs are those that ONNX defines (see `OutputLoss`).
        time: Seconds for measuring both models' latency on the first sample, interleaved; 0 leaves it out.

    Raises:
        InvalidModelError, InvalidDataError, UsageError: A model, the samples or the loss do not work.
    """
    options = BenchOptions(threads=threads, time=time) if time else None
    first, second = open_model(reference), open_model(changed)
    samples = open_samples(data, input_specs(first.graph), limit=limit)
    open_samples(data, input_specs(second.graph), limit=limit)  # refuses samples that the second model cannot take
    judge = OutputLoss(first.source, samples, loss=loss, threads=threads, as_defined=as_defined)
    distances = [OutputDistance(name, loss_name) for name, loss_name in judge.losses.items()]
    feeds = 0
    for original, outputs in judge.pairs(second.source):
        feeds += 1
        for distance in distances:
            distance.add(original[distance.output], outputs[distance.output])
    rows = tuple(distance.result() for distance in distances)
    losses = [row.loss for row in rows]
    return ComparisonRecord(
        reference=first.file,
        changed=second.file,
        data=samples.source,
        feeds=feeds,
        outputs=rows,
        loss=None if None in losses else max(loss for loss in losses if loss is not None),
        latency=bench_models([reference, changed], data=data, options=options) if options else None,
        versions=package_versions(),
        cpu=cpu_model(),
    )
