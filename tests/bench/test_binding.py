"""Sessions and bound runs: same answers as plain runs, whatever the outputs are."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebig.bench.binding import bind_run, explained, open_session
from edgebig.bench.providers import Provider, check_available, check_in_force, providers
from edgebig.errors import InvalidModelError, MissingDependencyError, UnknownNameError
from tests.bench.models import DOUBLE, NONZERO, RANDOM_SHAPE, STRINGS, write

CPU = providers.get("cpu")


def binding(run: Any) -> Any:
    """The binding that a run (a partial) was made with."""
    return next(
        argument for argument in run.args if hasattr(argument, "get_outputs") and hasattr(argument, "bind_output")
    )


def bound_outputs(run: Any) -> list[np.ndarray]:
    """What the last bound run left in memory."""
    return binding(run).copy_outputs_to_cpu()


def test_a_bound_run_gives_the_plain_runs_answer(tmp_path: Path) -> None:
    session = open_session(write(DOUBLE, tmp_path / "m.onnx"), CPU, threads=1)
    feed = {"x": np.arange(6, dtype=np.float32).reshape(2, 3)}
    run = bind_run(session, feed, session.run(feed))
    feed["x"] += 1  # inputs are read in place, with no copy in between
    run()
    (y,) = bound_outputs(run)
    np.testing.assert_array_equal(y, 2 * feed["x"])


def test_outputs_are_written_in_place(tmp_path: Path) -> None:
    session = open_session(write(DOUBLE, tmp_path / "m.onnx"), CPU, threads=1)
    feed = {"x": np.ones((1, 3), np.float32)}
    run = bind_run(session, feed, session.run(feed))
    before = binding(run).get_outputs()[0].data_ptr()
    run()
    assert binding(run).get_outputs()[0].data_ptr() == before


def test_dynamic_scalar_and_empty_outputs_are_bound(tmp_path: Path) -> None:
    session = open_session(write(NONZERO, tmp_path / "m.onnx"), CPU, threads=1)
    feed = {"x": np.array([[0, 2, 0], [1, 0, 5]], np.float32)}
    expected = session.run(feed)
    run = bind_run(session, feed, expected)
    run()
    where, scalar, empty = bound_outputs(run)
    np.testing.assert_array_equal(where, [[0, 1, 1], [1, 0, 2]])
    assert scalar.shape == ()
    assert scalar == 8
    assert empty.shape == (0, 3)


def test_shapes_that_change_from_run_to_run_are_allocated_by_the_runtime(tmp_path: Path) -> None:
    session = open_session(write(RANDOM_SHAPE, tmp_path / "m.onnx"), CPU, threads=1)
    feed = {"x": np.zeros(100, np.float32)}
    run = bind_run(session, feed, session.run(feed))
    sizes = set()
    for _ in range(20):
        run()
        sizes.add(bound_outputs(run)[0].shape)
    assert len(sizes) > 3


def test_strings_cannot_be_bound_and_that_is_said(tmp_path: Path) -> None:
    session = open_session(write(STRINGS, tmp_path / "m.onnx"), CPU, threads=1)
    feed = {"x": np.array(["a", "b"], object)}
    with pytest.raises(InvalidModelError, match="cannot run it with bound inputs"):
        bind_run(session, feed, session.run(feed))


def test_the_session_runs_where_it_was_asked_to(tmp_path: Path) -> None:
    session = open_session(write(DOUBLE, tmp_path / "m.onnx"), CPU, threads=2)
    assert session.inner.get_providers() == ["CPUExecutionProvider"]
    assert session.inner.get_session_options().intra_op_num_threads == 2


def test_a_provider_that_is_not_built_in_names_the_install_line(tmp_path: Path) -> None:
    nowhere = Provider("NowhereExecutionProvider", extra="gpu")
    with pytest.raises(MissingDependencyError, match=r"CPUExecutionProvider.*pip install \"edgebig\[gpu\]\""):
        open_session(write(DOUBLE, tmp_path / "m.onnx"), nowhere, threads=1)
    check_available(nowhere, ["NowhereExecutionProvider"], "1.0")


def test_a_fallback_is_an_error_never_silent() -> None:
    gpu = Provider("CUDAExecutionProvider", extra="gpu")
    check_in_force(gpu, ["CUDAExecutionProvider", "CPUExecutionProvider"])
    for in_force in (["CPUExecutionProvider"], ["CPUExecutionProvider", "CUDAExecutionProvider"], []):
        with pytest.raises(MissingDependencyError, match="CUDAExecutionProvider was requested and did not load"):
            check_in_force(gpu, in_force)


def test_a_real_fallback_is_an_error_never_silent(tmp_path: Path) -> None:
    """On a machine with a GPU build and no GPU, onnxruntime itself would fall back with a log line."""
    import onnxruntime as ort

    if "CUDAExecutionProvider" not in ort.get_available_providers():
        pytest.skip("this onnxruntime has no CUDA provider")
    path, cuda = write(DOUBLE, tmp_path / "m.onnx"), Provider("CUDAExecutionProvider", extra="gpu")
    plain = ort.InferenceSession(str(path), providers=["CUDAExecutionProvider"])
    if plain.get_providers()[0] == "CUDAExecutionProvider":
        pytest.skip("CUDA loads here")
    with pytest.raises(MissingDependencyError, match="edgebig doctor"):
        open_session(path, cuda, threads=1)


def test_unknown_providers_list_the_known() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown provider 'gpu'.*Known: cpu"):
        providers.get("gpu")


def test_a_run_that_fails_later_is_explained() -> None:
    refused = pytest.raises(
        InvalidModelError, match=r"m\.onnx: onnxruntime cannot run it with bound inputs: first line$"
    )
    with refused, explained("m.onnx"):
        raise RuntimeError("first line\nsecond line")
    with pytest.raises(UnknownNameError), explained("m.onnx"):
        providers.get("gpu")
    with pytest.raises(KeyboardInterrupt), explained("m.onnx"):
        raise KeyboardInterrupt
