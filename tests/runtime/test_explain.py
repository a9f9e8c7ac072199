"""The story of a model in words: from records made up, and of a real session."""

from dataclasses import replace

import numpy as np
import onnx
from onnx import helper

from edgebig.records.runtime import NodeStory, RuntimeRecord, SegmentStory
from edgebig.runtime import Cache, InferenceSession
from edgebig.runtime.explain import tell, tell_shortly
from tests.runtime.models import finish, int8_mlp

SEGMENT = SegmentStory(
    name="segment_1",
    nodes=("a", "b", "c"),
    ops={"Conv": 2, "Relu": 1},
    steps=("Conv: a, c", "Conv: b"),
    kept=True,
    reason="2.00 times as fast as onnxruntime [1.90, 2.10]",
    speedup=2.0,
    low=1.9,
    high=2.1,
    arena_bytes=12_345,
)
LEFT = tuple(NodeStory(name=f"n{i}", op="Loop", reason="no kernel for Loop") for i in range(5))
RECORD = RuntimeRecord(
    model="m.onnx",
    shapes={"x": (1, 3)},
    threads=1,
    segments=(SEGMENT,),
    left=LEFT,
    kept=True,
    reason="1.50 times as fast as onnxruntime [1.40, 1.60]",
    build_seconds=3.21,
)


def test_a_story_of_every_part() -> None:
    lines = tell(RECORD).splitlines()
    assert lines == [
        "m.onnx, x [1, 3], 1 thread: kernels are used: 1.50 times as fast as onnxruntime [1.40, 1.60].",
        "segment_1, kept: 2.00 times as fast as onnxruntime [1.90, 2.10].",
        "  3 nodes (2 Conv, 1 Relu) in 2 steps, 12 KB of activations.",
        "5 nodes left to onnxruntime:",
        "  5: no kernel for Loop (n0, n1, n2, ...)",
        "Built in 3.2 s (measured now).",
    ]


def test_what_was_not_kept_says_why() -> None:
    slow = replace(SEGMENT, kept=False, reason="0.80 times as fast as onnxruntime [0.70, 0.90]")
    record = replace(
        RECORD, segments=(slow,), left=(), kept=False, reason="no segment is faster", threads=2, from_cache=True
    )
    text = tell(record)
    assert "2 threads: onnxruntime's own graph is used: no segment is faster." in text
    assert "segment_1, not kept: 0.80 times as fast" in text
    assert "left to onnxruntime" not in text
    assert text.endswith("(verdicts from the cache).")


def test_the_short_form() -> None:
    assert tell_shortly(RECORD) == "kernels run 3 of 8 nodes, in 1 segment"
    two = replace(RECORD, segments=(SEGMENT, SEGMENT, replace(SEGMENT, kept=False)))
    assert tell_shortly(two) == "kernels run 6 of 14 nodes, in 2 segments"
    assert tell_shortly(replace(RECORD, kept=False, reason="no segment is faster")) == (
        "onnxruntime's own graph is used: no segment is faster"
    )


def test_the_record_keeps_its_json_form() -> None:
    assert RuntimeRecord.from_json(RECORD.to_json()) == RECORD


def test_every_node_of_a_real_model_has_its_place(cache: Cache) -> None:
    model = int8_mlp()
    model.graph.node.append(helper.make_node("CumSum", ["y", "axis"], ["z"], name="running"))
    model.graph.output[0].name = "z"
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.int64(1).reshape(()), "axis"))
    session = InferenceSession(model.SerializeToString(), cache=cache, measure=False)
    (record,) = session.records
    (left,) = record.left
    assert (left.name, left.op) == ("running", "CumSum")
    told = {name for segment in record.segments for name in segment.nodes} | {left.name}
    assert {node.name for node in model.graph.node if node.name and node.op_type != "Identity"} <= told
    text = session.explain()
    assert "1 nodes left to onnxruntime:" in text or "1 node left to onnxruntime:" in text
    assert "(running)" in text


def test_a_model_without_work_says_so(cache: Cache) -> None:
    model = finish([helper.make_node("Neg", ["x"], ["y"], name="negative")], {}, [("x", [3])], [("y", [3])])
    session = InferenceSession(model.SerializeToString(), cache=cache)
    assert "no segment is faster than onnxruntime" in session.explain()
    assert "(negative)" in session.explain()
    np.testing.assert_array_equal(session.run(None, {"x": np.ones(3, np.float32)})[0], -np.ones(3, np.float32))
