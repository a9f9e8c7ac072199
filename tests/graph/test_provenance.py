"""What was done to a model, written into it."""

import json

from edgebig.graph.load import load_model
from edgebig.graph.provenance import KEY, package_versions, read_provenance, stamp
from edgebig.graph.save import save_model
from edgebig.records.inspect import InspectOptions


def test_steps_add_up_and_survive_the_file(inline_file, tmp_path) -> None:
    model = load_model(inline_file)
    stamp(model, "prune", InspectOptions(layers=3), inputs=[inline_file, tmp_path / "missing"])
    record = stamp(model, "quantize", InspectOptions(), machine={"cpu": "one"})
    assert record.machine == {"cpu": "one"}
    save_model(model, tmp_path / "b.onnx")
    first, second = read_provenance(load_model(tmp_path / "b.onnx"))
    assert (first.step, first.options["layers"], list(first.inputs)) == ("prune", 3, ["gemm.onnx"])
    assert len(first.inputs["gemm.onnx"]) == 64
    assert second.versions["edgebig"]


def test_another_tools_notes_are_no_steps(build) -> None:
    model = build("g (float[N] x) => (float[N] y) { y = Neg(x) }")
    assert read_provenance(model) == []
    for text in ("not json", "{}", json.dumps([{"schema": "other"}]), "[1]", "null"):
        model.metadata_props[KEY] = text
        assert read_provenance(model) == []


def test_versions_name_what_is_installed() -> None:
    assert {"edgebig", "numpy", "onnx", "onnx-ir"} <= set(package_versions())
