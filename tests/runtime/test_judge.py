"""Segments that gain too little are tried without the steps that onnxruntime does faster; the better one is kept."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest

from edgebig.runtime import Cache, InferenceSession
from edgebig.runtime import judge as judging
from edgebig.runtime.accelerate import find_segments, name_nodes
from edgebig.runtime.bridge import program as programs
from edgebig.runtime.contest import Verdict
from edgebig.runtime.program import build_program
from edgebig.runtime.slow_steps import Unit, slow_units
from edgebig.runtime.specialise import specialise
from tests.runtime.nets import feeds_of, net, quantized, stock

NET = """test (float[1, 3, 10, 10] x, float[8, 3, 3, 3] w1, float[8, 8, 3, 3] w2, float[8, 8, 1, 1] w3) => (float[1, 8, 6, 6] y) {
  a = Conv(x, w1)
  b = Relu(a)
  c = Conv(b, w2)
  d = Relu(c)
  y = Conv(d, w3)
}"""  # noqa: E501


@pytest.fixture(scope="module")
def model() -> bytes:
    return quantized(net(NET))


def named_conv(nodes: Sequence[ir.Node], number: int) -> ir.Node:
    return [node for node in nodes if node.op_type == "Conv"][number]


def pretend(monkeypatch: pytest.MonkeyPatch, speedups: Sequence[float], slow: Callable[..., object]) -> list[float]:
    """Contests give these speedups, in turn; returns those still to come."""
    coming = list(speedups)

    def measure(*_: object) -> Verdict:
        speed = coming.pop(0)
        return Verdict(speed > 1, speed, speed, speed, f"{speed:.2f} times")

    monkeypatch.setattr(judging, "measure_models", measure)
    monkeypatch.setattr(judging, "slow_units", slow)
    return coming


def second_conv(_model: ir.Model, nodes: Sequence[ir.Node], *_: object) -> list[list[Unit]]:
    """The second convolution with its quantization is slow."""
    conv = named_conv(nodes, 1)
    unit = Unit({conv: None})
    following = conv
    while following.op_type != "QuantizeLinear":
        (following,) = (use.node for use in following.outputs[0].uses())
        unit.nodes[following] = None
    return [[unit]]


def session_of(model: bytes, cache: Cache) -> InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return InferenceSession(model, options, cache=cache)


@pytest.mark.parametrize("whole", [0.9, 1.05])
def test_a_segment_is_cut_where_that_wins(
    model: bytes, whole: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Cache(tmp_path)
    coming = pretend(monkeypatch, [whole, 1.3, 1.2], second_conv)
    session = session_of(model, cache)
    assert coming == []  # the segment, the cut one, the model
    (record,) = session.records
    (segment,) = record.segments
    assert record.kept
    assert segment.kept
    assert segment.speedup == 1.3
    assert "without" in segment.reason
    assert segment.ops["Conv"] == 2
    assert [node.op for node in record.left if node.reason == "onnxruntime runs it faster here"].count("Conv") == 1
    assert "onnxruntime runs faster" in session.explain()
    feed = feeds_of(net(NET))[0]
    (expected,), (got,) = stock(model, feed), session.run(None, feed)
    assert np.abs(expected - got).max() <= 0.02 * np.abs(expected).max()
    pretend(monkeypatch, [], second_conv)  # nothing is measured again
    (again,) = session_of(model, cache).records
    assert again.from_cache
    assert [s.nodes for s in again.segments] == [segment.nodes]


@pytest.mark.parametrize(("speeds", "kept"), [([1.1, 1.1, 1.1], True), ([0.9, 0.95], False), ([1.3, 1.3], True)])
def test_a_cut_that_does_not_win_is_forgotten(
    model: bytes, speeds: list[float], kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(programs._programs)
    coming = pretend(monkeypatch, speeds, second_conv)
    session = session_of(model, Cache(tmp_path))
    assert coming == []
    (segment,) = session.records[0].segments
    assert segment.kept == kept
    assert "without" not in segment.reason
    assert segment.ops["Conv"] == 3
    assert len(programs._programs) == before + kept


def test_what_onnxruntime_does_faster_is_found(model: bytes, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    special = specialise(ir.from_proto(onnx.ModelProto.FromString(model)), {})
    name_nodes(special)
    ((segment,), _) = find_segments(special, 1)
    program = build_program(segment.plan, cache, "test")
    arguments = (special, segment.nodes, segment.plan, program)
    monkeypatch.setattr("edgebig.runtime.slow_steps._stock_time", lambda *_: 0.0)
    kinds = slow_units(*arguments)
    found = {node for kind in kinds for unit in kind for node in unit.nodes if node.op_type == "Conv"}
    assert named_conv(segment.nodes, 1) in found
    monkeypatch.setattr("edgebig.runtime.slow_steps._stock_time", lambda *_: 1e12)
    assert slow_units(*arguments) == []
    monkeypatch.undo()
    assert all(unit.ns > 0 for kind in slow_units(*arguments) for unit in kind)


def test_every_node_gets_a_name_of_its_own() -> None:
    made = specialise(ir.from_proto(net(NET)), {})
    for node in made.graph:
        node.name = "same"
    made.graph[0].name = None
    name_nodes(made)
    assert len({node.name for node in made.graph}) == len(made.graph)
