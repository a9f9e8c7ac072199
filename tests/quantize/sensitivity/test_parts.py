"""Rounds of halving, finer feeds, what is kept at the cuts, and the record."""

import itertools
import json

import msgspec
import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebig.data.samples import open_samples
from edgebig.graph.edit import working_copy
from edgebig.graph.interface import input_specs
from edgebig.graph.partial_run import PartialRun
from edgebig.graph.partial_run_store import CutStore, cuts_to_keep
from edgebig.graph.session import Session
from edgebig.quantize.dynamic import write_dynamic
from edgebig.quantize.prepare import prepare
from edgebig.quantize.sensitivity import finer_feeds, layer_sensitivities
from edgebig.quantize.sensitivity.damage import RelativeError
from edgebig.quantize.sensitivity.halving import Round, affordable, halving_rounds
from edgebig.quantize.weight_bits import weight_rule
from edgebig.records.sensitivity import BudgetRecord, BudgetRow
from edgebig.targets import targets
from tests.quantize.build import build, normal


def test_rounds() -> None:
    assert halving_rounds([0.5] * 40, 16, 100.0) == [Round(40, 16)]
    assert halving_rounds([0.5] * 40, 16, 10.0) == [Round(40, 4), Round(20, 8), Round(10, 16)]
    assert halving_rounds([0.5] * 40, 16, 8.0) == [Round(40, 2), Round(20, 4), Round(10, 8), Round(5, 16)]
    assert halving_rounds([1.0] * 40, 16, 0.5) == [Round(40, 1)]
    assert affordable([0.5, 0.5], 16, 0.5) == 8 and affordable([0.5, 0.5], 16, -1.0) == 0
    assert affordable([0.0], 16, 0.0) == 16


@given(layers=st.integers(1, 200), feeds=st.integers(1, 100), limit=st.floats(0.1, 50))
def test_rounds_grow_in_feeds_and_shrink_in_layers(layers: int, feeds: int, limit: float) -> None:
    rounds = halving_rounds([0.5] * layers, feeds, limit)
    assert rounds[0].layers == layers and rounds[0].feeds >= 1 and rounds[-1].feeds <= feeds
    for before, after in itertools.pairwise(rounds):
        assert after.layers <= before.layers and after.feeds >= before.feeds
    seen, cost = 0, 0.0
    for entry in rounds:
        cost += entry.layers * 0.5 * (entry.feeds - seen) / feeds
        seen = entry.feeds
    assert cost <= limit or (len(rounds) == 1 and rounds[0].feeds == 1)


def test_batches_are_cut_into_finer_feeds() -> None:
    model = build("g (float[N, 3] a, float[N] b) => (float[N, 3] y) { y = Neg(a) c = Neg(b) }")
    arrays = {"a": normal(20, 3), "b": normal(20)}
    samples = open_samples(arrays, input_specs(model), batch_size=16)
    finer = finer_feeds(samples, model, 7)
    feeds = list(finer)
    assert finer.feeds == len(feeds) == 8 and [len(feed["a"]) for feed in feeds] == [4, 4, 4, 4, 1, 1, 1, 1]
    for name, array in arrays.items():
        np.testing.assert_array_equal(np.concatenate([feed[name] for feed in feeds]), array)
    assert finer_feeds(samples, model, 2) is samples
    fixed = build("g (float[4, 3] a) => (float[4, 3] y) { y = Neg(a) }")
    whole = open_samples({"a": normal(20, 3)}, input_specs(fixed))
    assert finer_feeds(whole, fixed) is whole


def test_which_cuts_are_kept() -> None:
    assert cuts_to_keep([0, 10, 10, 10, 10, 10, 10, 10, 0], 1000) == [1, 2, 3, 4, 5, 6, 7]
    assert cuts_to_keep([0, 10, 10, 10, 10, 10, 10, 10, 0], 30) == [2, 4, 6]
    assert cuts_to_keep([0, 10, 10, 10, 99, 10, 10, 10, 0], 20) == [2, 6]
    assert cuts_to_keep([0, None, None, 0], 30) == [1, 2]
    assert cuts_to_keep([0, 0], 30) == []


def test_the_store_stops_at_its_budget() -> None:
    store = CutStore(100, [1, 2])
    state = {"x": np.zeros(10, np.float32)}
    for feed in range(5):
        store.put(feed, 1, state)
        store.put(feed, 3, state)
    assert store.bytes == 80
    assert store.nearest(1, 2)[0] == 1 and store.nearest(2, 2) == (0, {}) and store.nearest(0, 3)[0] == 1


def test_relative_error() -> None:
    error = RelativeError()
    assert error.value == 0
    error.add({"a": np.array([3.0, 4.0]), "b": np.array([1, 2])}, {"a": np.array([3.0, 4.0]), "b": np.array([1, 3])})
    assert error.value == pytest.approx(0.5**0.5)
    masked = RelativeError()
    masked.add({"a": np.array([3.0, -np.inf])}, {"a": np.array([3.3, 0.0])})
    assert masked.value == pytest.approx(0.1)
    masked.add({"a": np.array([3.0])}, {"a": np.array([np.nan])})
    assert masked.value == float("inf")


def test_any_change_can_be_measured_dynamic_quantization_for_one() -> None:
    arrays = {f"w{index}": normal(32, 32, scale=0.2 * (index + 1), seed=index) for index in range(4)}
    lines = " ".join(f"v{i + 1} = MatMul(v{i}, w{i}) " for i in range(4)).replace("v0", "x").replace("v4", "y")
    model = build(f"g (float[N, 32] x) => (float[N, 32] y) {{ {lines} }}", **arrays)
    samples = open_samples({"x": normal(32, 32, seed=9)}, input_specs(model), batch_size=8)
    target = targets.get("ort-cpu")()
    base = prepare(model, next(iter(samples)), target).model
    layers = [node.name or "" for node in base.graph if node.op_type == "MatMul"]

    def changed(layer: str) -> ir.Model:
        copy = working_copy(base)
        changes = write_dynamic(copy, [n for n in copy.graph if n.name == layer], rule=weight_rule("8", target)[0])
        assert len(changes) == 1
        return copy

    rows, cost = layer_sensitivities(PartialRun(base, samples, threads=1), changed, layers)
    with Session(model, threads=1) as session:
        expected = [session.run(feed)["y"] for feed in samples]
    for row in rows:
        error = RelativeError()
        with Session(changed(row.layer), threads=1) as session:
            for feed, reference in zip(samples, expected, strict=True):
                error.add({"y": reference}, session.run(feed))
        assert row.damage == pytest.approx(error.value, rel=0.02) and row.damage > 1e-3
    assert cost.passes_by_macs is not None and cost.passes_by_macs < 4


def test_the_record_goes_through_json() -> None:
    row = BudgetRow(layer="a", damage=None, feeds=2, kept_float=True, macs_share=0.25, weight_share=0.5, loss_after=0.1)
    record = BudgetRecord(
        loss_name="disagreement", max_loss=0.1, loss_before=None, loss=0.1, evaluations=2, rows=(row, row)
    )
    text = msgspec.json.encode(record)
    assert json.loads(text)["rows"][0]["macs_share"] == 0.25
    assert msgspec.json.decode(text, type=BudgetRecord) == record
    assert record.float_layers == ("a", "a") and record.float_macs_share == 0.5
