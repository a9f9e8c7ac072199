"""Statistics of batch norms, re-estimated."""

import numpy as np
import pytest

from edgebig.data.samples import open_samples
from edgebig.graph.edit import expose_outputs, set_array
from edgebig.graph.interface import input_specs
from edgebig.graph.session import Session
from edgebig.prune import prune_model
from edgebig.prune.batch_norm import has_batch_norms, reestimate_batch_norms
from edgebig.records.prune import PruneOptions
from tests.prune.graphs import BATCH_NORMS, RESIDUAL, build, images


def test_statistics_are_those_of_what_each_reads() -> None:
    model, data = build(BATCH_NORMS), images(70)
    data["x"] += 100.0  # a large mean must not cost the variance its digits
    samples = open_samples(data, input_specs(model))
    changed, count = reestimate_batch_norms(model, samples, feeds=samples.feeds or 0, threads=1)
    assert count == 3
    with Session(expose_outputs(changed, ["a", "d", "g"]), threads=1, optimize=False) as session:
        read = session.run(data)
    for name, node in zip("adg", [node for node in changed.graph if node.op_type == "BatchNormalization"], strict=True):
        mean, variance = (np.asarray(node.inputs[i].const_value.numpy()) for i in (3, 4))
        np.testing.assert_allclose(mean, read[name].mean((0, 2, 3), dtype=np.float64), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(variance, read[name].var((0, 2, 3), dtype=np.float64), rtol=1e-4)
    again, _ = reestimate_batch_norms(changed, samples, feeds=samples.feeds or 0, threads=1)
    with Session(changed, threads=1) as one, Session(again, threads=1) as two:
        np.testing.assert_allclose(one.run(data)["y"], two.run(data)["y"], rtol=1e-4, atol=1e-4)


def test_pruning_keeps_them_only_where_they_help() -> None:
    assert has_batch_norms(build(BATCH_NORMS))
    assert not has_batch_norms(build(RESIDUAL))
    # Statistics that fit the samples: pruning without compensation shifts them, and new ones repair some of that.
    model, data = build(BATCH_NORMS), images(256)
    samples = open_samples(data, input_specs(model))
    model, _ = reestimate_batch_norms(model, samples, feeds=samples.feeds or 0, threads=1)
    options = PruneOptions(sparsity=0.5, compensate=False, loss="relative-error", threads=1)
    _, record = prune_model(model, data=data, options=options)
    assert record.batch_norms == 3
    # Statistics that do not fit the samples are part of the model: replacing them would change its outputs.
    odd = build(BATCH_NORMS)
    set_array(odd.graph.initializers["m1"], np.full(32, 2.0, np.float32))
    _, record = prune_model(odd, data=data, options=PruneOptions(sparsity=0.2, loss="relative-error", threads=1))
    assert record.batch_norms == 0
    assert record.loss == pytest.approx(record.trials[0].loss)
