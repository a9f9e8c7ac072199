"""`InferenceSession` in place of onnxruntime's: the same arguments, methods, answers and errors."""

import gc
import itertools
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from edgebig.runtime import Cache, InferenceSession, accelerate
from edgebig.runtime import session as session_module
from tests.runtime.models import CLASSES, FEATURES, int8_mlp, samples

X = samples()
# One step of the last quantization.
STEP = 0.05 * 1.001


def options(threads: int = 1) -> Any:
    """Options of a quiet session."""
    made = ort.SessionOptions()
    made.intra_op_num_threads = threads
    made.log_severity_level = 4
    return made


def stock(model: onnx.ModelProto) -> Any:
    """onnxruntime's own session."""
    return ort.InferenceSession(model.SerializeToString(), options(), providers=["CPUExecutionProvider"])


def ours(model: onnx.ModelProto, cache: Cache, **arguments: Any) -> InferenceSession:
    """Ours, with kernels wherever they can run."""
    return InferenceSession(
        model.SerializeToString(), arguments.pop("sess_options", options()), cache=cache, measure=False, **arguments
    )


def assert_same(got: Any, expected: Any) -> None:
    """Equal up to one step of the output, in few places."""
    np.testing.assert_allclose(got, expected, atol=STEP, rtol=0)
    assert np.mean(got != expected) < 0.1


def test_kernels_run_and_answer_like_onnxruntime(cache: Cache) -> None:
    session = ours(int8_mlp(), cache)
    (record,) = session.records
    assert record.kept
    assert not record.left
    assert_same(session.run(None, {"x": X})[0], stock(int8_mlp()).run(None, {"x": X})[0])


def test_it_is_an_onnxruntime_session(cache: Cache) -> None:
    session, expected = ours(int8_mlp(), cache), stock(int8_mlp())
    assert isinstance(session, ort.InferenceSession)
    for name in ("get_inputs", "get_outputs"):
        found, wanted = ([(v.name, v.type, v.shape) for v in getattr(s, name)()] for s in (session, expected))
        assert found == wanted
    assert session.get_providers() == expected.get_providers()
    assert session.get_modelmeta().graph_name == "int8_mlp"
    assert session.get_session_options().intra_op_num_threads == 1
    assert_same(session.run(["y"], {"x": X}, ort.RunOptions())[0], expected.run(["y"], {"x": X})[0])
    assert {name for name in dir(ort.InferenceSession) if not name.startswith("_")} <= set(dir(session))


def test_a_path_a_pathlike_and_bytes(cache: Cache, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(int8_mlp(), path)
    answers = [
        InferenceSession(source, options(), cache=cache, measure=False).run(None, {"x": X})[0]
        for source in (str(path), path, path.read_bytes())
    ]
    np.testing.assert_array_equal(answers[0], answers[1])
    np.testing.assert_array_equal(answers[0], answers[2])


def test_without_options(cache: Cache) -> None:
    session = InferenceSession(int8_mlp().SerializeToString(), cache=cache, measure=False)
    assert session.records[0].kept
    assert_same(session.run(None, {"x": X})[0], stock(int8_mlp()).run(None, {"x": X})[0])


def test_io_binding(cache: Cache) -> None:
    expected = stock(int8_mlp()).run(None, {"x": X})[0]
    session = ours(int8_mlp(), cache)
    binding, y = session.io_binding(), np.empty_like(expected)
    binding.bind_cpu_input("x", X)
    binding.bind_output("y", "cpu", 0, np.float32, y.shape, y.ctypes.data)
    session.run_with_iobinding(binding)
    assert_same(y, expected)


def test_dynamic_axes_are_specialised_for_what_arrives(cache: Cache) -> None:
    session, expected = ours(int8_mlp("batch"), cache), stock(int8_mlp("batch"))
    assert session.records == ()
    assert "Nothing built yet" in session.explain()
    for batch in (1, 3, 1):
        x = samples(batch)
        assert_same(session.run(None, {"x": x})[0], expected.run(None, {"x": x})[0])
    assert [record.shapes["x"] for record in session.records] == [(1, FEATURES), (3, FEATURES)]
    assert all(record.kept for record in session.records)
    assert session.get_inputs()[0].shape == ["batch", FEATURES]


def test_shapes_may_be_given_ahead(cache: Cache) -> None:
    session = ours(int8_mlp("batch"), cache, shapes=[{"x": (3, FEATURES)}])
    assert [record.shapes["x"] for record in session.records] == [(3, FEATURES)]
    session.run(None, {"x": X})
    assert len(session.records) == 1
    with pytest.raises(ValueError, match="lack the inputs"):
        ours(int8_mlp("batch"), cache, shapes=[{"z": (3, FEATURES)}])


def test_beyond_max_shapes_onnxruntime_runs(cache: Cache) -> None:
    session, expected = ours(int8_mlp("batch"), cache, max_shapes=1), stock(int8_mlp("batch"))
    for batch in (1, 2, 3):
        x = samples(batch)
        got = session.run(None, {"x": x})[0]
        assert_same(got, expected.run(None, {"x": x})[0])
        if batch > 1:
            np.testing.assert_array_equal(got, expected.run(None, {"x": x})[0])
    assert len(session.records) == 1


def test_io_binding_with_dynamic_axes(cache: Cache) -> None:
    session, expected = ours(int8_mlp("batch"), cache, max_shapes=1), stock(int8_mlp("batch"))
    binding = session.io_binding()
    with pytest.raises(ValueError, match="nothing was run"):
        binding.copy_outputs_to_cpu()
    for batch in (3, 1, 3):  # the second goes to onnxruntime
        x = samples(batch)
        binding.bind_ortvalue_input("x", ort.OrtValue.ortvalue_from_numpy(x))
        binding.bind_output("y")
        session.run_with_iobinding(binding)
        assert_same(binding.copy_outputs_to_cpu()[0], expected.run(None, {"x": x})[0])
        assert binding.get_outputs()[0].shape() == [batch, CLASSES]
    y = ort.OrtValue.ortvalue_from_numpy(np.zeros((3, CLASSES), np.float32))
    binding.bind_ortvalue_output("y", y)
    binding.bind_input("x", "cpu", 0, np.float32, X.shape, X.ctypes.data)
    session.run_with_iobinding(binding)
    assert_same(y.numpy(), expected.run(None, {"x": X})[0])
    binding.clear_binding_inputs()
    binding.clear_binding_outputs()
    binding.bind_cpu_input("x", X)
    binding.bind_ortvalue_output("y", y)
    session.run_with_iobinding(binding)
    assert_same(y.numpy(), expected.run(None, {"x": X})[0])


@pytest.mark.parametrize("batch", [3, "batch"])
@pytest.mark.parametrize("threads", [1, 2])
def test_several_threads_call_one_session(batch: int | str, threads: int, cache: Cache) -> None:
    session, expected = ours(int8_mlp(batch), cache, sess_options=options(threads)), stock(int8_mlp(batch))
    inputs = [samples(3, seed=seed) for seed in range(6)]
    single = [session.run(None, {"x": x})[0] for x in inputs[:1]]
    wrong: list[int] = []

    def work(index: int) -> None:
        wanted = expected.run(None, {"x": inputs[index]})[0]
        answers = [session.run(None, {"x": inputs[index]})[0] for _ in range(200)]
        wrong.extend(index for answer in answers if np.abs(answer - wanted).max() > STEP)

    workers = [threading.Thread(target=work, args=(index,)) for index in range(len(inputs))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert wrong == []
    np.testing.assert_array_equal(session.run(None, {"x": inputs[0]})[0], single[0])


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_sessions_end_in_any_order(order: tuple[int, ...], cache: Cache) -> None:
    models = [int8_mlp(), int8_mlp(), int8_mlp("batch")]
    sessions = {i: ours(model, cache) for i, model in enumerate(models)}
    expected = stock(models[0]).run(None, {"x": X})[0]
    for i in order:
        for session in sessions.values():
            assert_same(session.run(None, {"x": X})[0], expected)
        del sessions[i], session
        gc.collect()


def test_one_set_of_options_for_several_sessions(cache: Cache) -> None:
    shared = options()
    sessions = [ours(int8_mlp(), cache, sess_options=shared) for _ in range(2)]
    expected = stock(int8_mlp()).run(None, {"x": X})[0]
    for session in sessions:
        assert_same(session.run(None, {"x": X})[0], expected)


@pytest.mark.parametrize("batch", [3, "batch"])
@pytest.mark.parametrize(
    "feed",
    [{}, {"z": X}, {"x": X, "z": X}, {"x": X.astype(np.float64)}, {"x": X[:, :7]}, {"x": X[0]}, {"x": "words"}],
    ids=["nothing", "unknown", "too much", "double", "narrow", "rank 1", "text"],
)
def test_wrong_feeds_are_onnxruntimes_own_errors(batch: int | str, feed: dict[str, Any], cache: Cache) -> None:
    with pytest.raises(Exception) as wanted:
        stock(int8_mlp(batch)).run(None, feed)
    with pytest.raises(Exception) as found:
        ours(int8_mlp(batch), cache).run(None, feed)
    assert type(found.value) is type(wanted.value)
    assert str(found.value).split("\n")[0] == str(wanted.value).split("\n")[0]


def test_another_provider_is_onnxruntimes_business(cache: Cache) -> None:
    providers = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    session = ours(int8_mlp(), cache, providers=providers)
    wanted = ort.InferenceSession(int8_mlp().SerializeToString(), options(), providers=providers)
    assert session.get_providers() == wanted.get_providers()
    assert session.records == ()
    assert "CUDAExecutionProvider was asked for" in session.explain()
    np.testing.assert_array_equal(session.run(None, {"x": X})[0], wanted.run(None, {"x": X})[0])


def test_the_cpus_provider_may_come_with_options(cache: Cache) -> None:
    session = ours(int8_mlp(), cache, providers=[("CPUExecutionProvider", {})])
    assert session.records[0].kept


@pytest.mark.parametrize("content", [b"", b"not a model", int8_mlp().SerializeToString()[:400]])
def test_unreadable_models_are_onnxruntimes_own_errors(content: bytes, cache: Cache, tmp_path: Path) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    for source in (content, str(path), str(tmp_path / "missing.onnx")):
        with pytest.raises(Exception) as wanted:
            ort.InferenceSession(source, options(), providers=["CPUExecutionProvider"])
        with pytest.raises(Exception) as found:
            InferenceSession(source, options(), cache=cache)
        assert type(found.value) is type(wanted.value)
        assert str(found.value) == str(wanted.value)


@pytest.mark.parametrize("batch", [3, "batch"])
def test_a_defect_of_ours_leaves_onnxruntime_and_is_told(
    batch: int | str, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(accelerate, "lower_segment", broken)
    with pytest.warns(RuntimeWarning, match="could not speed this model up: ZeroDivisionError: oh"):
        session = ours(int8_mlp(batch), cache)
        got = session.run(None, {"x": X})[0]
    np.testing.assert_array_equal(got, stock(int8_mlp(batch)).run(None, {"x": X})[0])
    assert session.explain() == "onnxruntime runs all of it: ZeroDivisionError: oh."


def test_where_kernels_cannot_run_it_says_so(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "supported", lambda: "no such processor")
    session = ours(int8_mlp(), cache)
    np.testing.assert_array_equal(session.run(None, {"x": X})[0], stock(int8_mlp()).run(None, {"x": X})[0])
    assert session.explain() == "onnxruntime runs all of it: no such processor."


def test_a_forked_child_runs_and_makes_sessions(cache: Cache) -> None:
    session, expected = ours(int8_mlp(), cache), stock(int8_mlp()).run(None, {"x": X})[0]
    child = os.fork()
    if child == 0:
        status = 1
        try:
            answers = [s.run(None, {"x": X})[0] for s in (session, ours(int8_mlp(), cache))]
            status = 0 if all(np.abs(answer - expected).max() <= STEP for answer in answers) else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert_same(session.run(None, {"x": X})[0], expected)


def test_measured_verdicts_decide(cache: Cache) -> None:
    """With measuring, whatever the verdict, the answers are right, and the second session takes it from the cache."""
    model = int8_mlp(seed=5)
    first, second = (InferenceSession(model.SerializeToString(), options(), cache=cache) for _ in range(2))
    for session in (first, second):
        assert_same(session.run(None, {"x": X})[0], stock(model).run(None, {"x": X})[0])
    assert not first.records[0].from_cache
    assert second.records[0].from_cache
    assert first.records[0].kept == second.records[0].kept
