"""The ledger accounts for every byte of the file."""

from pathlib import Path

import numpy as np

from edgebig.graph.save import save_model
from edgebig.quantize import quantize_model
from edgebig.quantize.ledger import GRAPH, SCALES, byte_ledger
from edgebig.records.quantize import QuantizeOptions
from tests.quantize.build import build, normal
from tests.small_models import conv_net, conv_net_samples


def test_float_weights_and_the_graph(tmp_path: Path) -> None:
    model = build("g (float[N, 16] x) => (float[N, 8] y) { y = MatMul(x, w) }", w=normal(16, 8))
    ledger = byte_ledger(model)
    assert ledger["float"] == 16 * 8 * 4
    assert SCALES not in ledger
    size = save_model(model, tmp_path / "m.onnx")[0].stat().st_size
    assert abs(sum(ledger.values()) - size) < 200


def test_integers_and_their_scales(tmp_path: Path) -> None:
    options = QuantizeOptions(scheme="int8", effort="fast", threads=1)
    result, record = quantize_model(conv_net(), data=conv_net_samples(), options=options)
    weights = sum(node.weights for node in record.nodes)
    assert record.bytes_by_kind["int8"] == weights
    assert 0 < record.bytes_by_kind[SCALES] < record.bytes_by_kind["int8"]
    size = save_model(result, tmp_path / "q.onnx")[0].stat().st_size
    assert abs(sum(record.bytes_by_kind.values()) - size) < 500
    assert sum(record.bytes_by_kind.values()) == record.bytes_after
    assert GRAPH in record.bytes_by_kind


def test_a_shared_weight_counts_once() -> None:
    w = normal(16, 16)
    model = build("g (float[N, 16] x) => (float[N, 16] y) { a = MatMul(x, w) y = MatMul(a, w) }", w=w)
    assert byte_ledger(model)["float"] == np.asarray(w).nbytes
