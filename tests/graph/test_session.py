"""Running models from memory and from files."""

import errno
import os

import numpy as np
import onnxruntime as ort
import pytest

from edgebig.errors import InvalidModelError, OutputError
from edgebig.graph.load import load_model
from edgebig.graph.session import Session

X = {"x": np.eye(8, dtype=np.float32)}


@pytest.mark.parametrize("optimize", [True, False])
def test_the_same_from_a_path_and_from_memory(inline_file, external_file, optimize: bool) -> None:
    expected = np.arange(2400, dtype=np.float32).reshape(8, 300)
    for source in (inline_file, external_file, load_model(inline_file), load_model(external_file)):
        with Session(source, threads=1, optimize=optimize) as session:
            assert session.output_names == ("y",)
            np.testing.assert_array_equal(session.run(X)["y"], expected)


def test_outputs_by_name(build) -> None:
    model = build("g (float[N] x) => (float[N] y, float[N] z) { y = Neg(x) z = Exp(x) }")
    session = Session(model)
    x = {"x": np.zeros(2, np.float32)}
    assert list(session.run(x)) == ["y", "z"]
    np.testing.assert_array_equal(session.run(x, ["z"])["z"], [1, 1])


def test_a_model_that_onnxruntime_refuses(build) -> None:
    model = build("g (float[2] x) => (float[3] y) { y = Neg(x) z = Add(x, w) }", w=np.zeros(5, np.float32))
    model.graph.node(0).op_type = "NoSuchThing"
    with pytest.raises(InvalidModelError, match=r"onnxruntime .* cannot load it: .*NoSuchThing"):
        Session(model)


def test_a_feed_that_fails_is_described(build, capfd) -> None:
    session = Session(
        build("g (float[N, 8] x) => (float[N, 3] y) { y = MatMul(x, w) }", w=np.zeros((8, 3), np.float32))
    )
    with pytest.raises(InvalidModelError, match=r"onnxruntime failed on x float32\[2, 7\]"):
        session.run({"x": np.zeros((2, 7), np.float32)})
    model = build("g (int64[N] x) => (float[N, 3] y) { y = Gather(w, x) }", w=np.zeros((8, 3), np.float32))
    with pytest.raises(InvalidModelError, match="out of data bounds"):
        Session(model).run({"x": np.array([99])})
    assert capfd.readouterr().err == ""  # the message is in the exception, and nowhere else


def test_a_full_temporary_folder(inline_file, monkeypatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    model = load_model(inline_file)
    monkeypatch.setattr("onnx_ir.save", full)
    with pytest.raises(OutputError, match=r"No space left on device\. Free some space, or name another folder"):
        Session(model)


def test_a_missing_output_is_an_error(build) -> None:
    session = Session(build("g (float[N] x) => (float[N] y) { y = Neg(x) }"))
    with pytest.raises(InvalidModelError):
        session.run({"x": np.zeros(2, np.float32)}, ["nothing"])


def test_another_opener_gets_what_onnxruntime_would(inline_file) -> None:
    given: list[object] = []

    def opener(path: str, options: ort.SessionOptions, *, providers: list[str]) -> ort.InferenceSession:
        given.extend((path, options.intra_op_num_threads, providers))
        return ort.InferenceSession(path, options, providers=providers)

    session = Session(inline_file, threads=1, opener=opener)
    assert given == [str(inline_file), 1, ["CPUExecutionProvider"]]
    assert session.run(X)["y"].shape == (8, 300)
