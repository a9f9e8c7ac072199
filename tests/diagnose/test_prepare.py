"""Models as one flat graph."""

import numpy as np
import onnx_ir as ir

from edgebig.data.samples import open_samples
from edgebig.diagnose.prepare import prepare
from edgebig.graph.interface import input_specs
from edgebig.graph.session import Session
from tests.quantize.build import build

TEXT = """g (float[n, 4] x, int64 mode) => (float[n, 4] y) {
    b = Equal (mode, one)
    h = If (b) <
        then_branch = t () => (float[n, 4] ty) { k = Constant <value_float = 2.0> () ty = Mul (x, k) },
        else_branch = e () => (float[n, 4] ey) { ey = Neg (x) }
    >
    y = Relu (h)
}"""


def model() -> ir.Model:
    return build(TEXT, one=np.array(1, np.int64))


def feeds(*modes: int) -> list[dict[str, np.ndarray]]:
    x = np.arange(-4, 4, dtype=np.float32).reshape(2, 4)
    return [{"x": x, "mode": np.array(mode, np.int64)} for mode in modes]


def test_the_branch_that_is_always_taken_stands_in_the_graph() -> None:
    for mode, op in ((1, "Mul"), (0, "Neg")):
        samples = open_samples(feeds(mode, mode), input_specs(model()))
        flat = prepare(model(), samples, threads=1)
        ops = [node.op_type for node in flat.graph]
        assert "If" not in ops
        assert op in ops
        assert {"x", "mode"} == {value.name for value in flat.graph.inputs}
        for feed in samples:
            with Session(model(), threads=1) as before, Session(flat, threads=1) as after:
                np.testing.assert_array_equal(before.run(feed)["y"], after.run(feed)["y"])


def test_a_branch_that_changes_stays() -> None:
    samples = open_samples(feeds(1, 0), input_specs(model()))
    flat = prepare(model(), samples, threads=1)
    assert [node.op_type for node in flat.graph].count("If") == 1


def test_the_model_stays_as_it_is() -> None:
    given = model()
    before = [node.op_type for node in given.graph]
    prepare(given, open_samples(feeds(1), input_specs(given)), threads=1)
    assert [node.op_type for node in given.graph] == before
