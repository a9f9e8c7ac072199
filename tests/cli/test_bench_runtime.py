"""`edgebig bench --runtime`: edgebig's runtime beside onnxruntime's, and the story it tells."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result

from edgebig.bench import bench_models
from edgebig.bench.providers import Provider, providers
from edgebig.cli.main import cli
from edgebig.errors import UsageError
from edgebig.records.measurement import BenchOptions, MeasurementRecord
from edgebig.runtime import session as session_module
from tests.bench.models import DOUBLE, write
from tests.runtime.models import FEATURES, int8_mlp

QUICK = ["--rounds", "8", "--time", "1", "--warmup", "0"]
BOTH = ["--runtime", "ort", "--runtime", "edgebig"]


@pytest.fixture(autouse=True, scope="module")
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> object:
    """A cache of this module's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEBIG_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def mlp(tmp_path: Path) -> str:
    onnx.save(int8_mlp(), tmp_path / "mlp.onnx")
    return str(tmp_path / "mlp.onnx")


@pytest.fixture
def dynamic(tmp_path: Path) -> str:
    onnx.save(int8_mlp("batch"), tmp_path / "dynamic.onnx")
    return str(tmp_path / "dynamic.onnx")


def run(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "80"}).invoke(cli, ["bench", *arguments])


def record_of(*arguments: str) -> MeasurementRecord:
    result = run(*arguments, *QUICK, "--json", "-")
    assert result.exit_code == 0, result.output
    return MeasurementRecord.from_json(result.stdout)


def test_onnxruntime_by_default(mlp: str) -> None:
    record = record_of(mlp)
    (model,) = record.models
    assert (model.name, model.runtime, model.story, model.same_model) == ("mlp.onnx", "ort", None, None)
    assert record.settings.runtime == "onnxruntime"
    assert record.settings.options.runtimes == ("ort",)


def test_edgebig_alone(mlp: str) -> None:
    record = record_of(mlp, "--runtime", "edgebig")
    (model,) = record.models
    assert (model.name, model.runtime) == ("mlp.onnx", "edgebig")
    assert model.story is not None
    assert model.story.shapes == {"x": (3, FEATURES)}
    assert model.story.threads == 1
    assert sum(len(segment.nodes) for segment in model.story.segments) > 5
    assert record.settings.runtime == "edgebig in onnxruntime"


def test_each_model_in_both(mlp: str, dynamic: str) -> None:
    record = record_of(dynamic, mlp, "--batch", "3", *BOTH)
    names = [f"{file} in {runtime}" for file in ("dynamic.onnx", "mlp.onnx") for runtime in ("ort", "edgebig")]
    assert [model.name for model in record.models] == names
    assert [model.runtime for model in record.models] == ["ort", "edgebig"] * 2
    assert [model.comparison is None for model in record.models] == [True, False, False, False]
    assert [model.same_model is None for model in record.models] == [True, False, True, False]
    assert [model.story is None for model in record.models] == [True, False, True, False]
    assert record.models[0].sha256 == record.models[1].sha256 != record.models[2].sha256
    first, second = (np.median(record.models[i].values, axis=1) for i in (2, 3))
    assert record.models[3].same_model is not None
    assert record.models[3].same_model.speedup == pytest.approx(float(np.median(first / second)), rel=0.01)
    assert MeasurementRecord.from_json(record.to_json()) == record


def test_the_shapes_that_are_fed_are_built_before_the_first_run(dynamic: str) -> None:
    model = record_of(dynamic, "--batch", "7", "--runtime", "edgebig").models[0]
    assert model.story is not None
    assert model.story.shapes == {"x": (7, FEATURES)}
    assert model.build_ns > model.story.build_seconds * 1e9
    assert model.first_run_ns < 50_000_000


def test_tables_fit_eighty_columns(mlp: str, dynamic: str) -> None:
    result = run(mlp, dynamic, "--batch", "3", *BOTH, *QUICK)
    assert result.exit_code == 0, result.output
    assert max(map(len, result.output.splitlines())) <= 80
    assert "against the first" in result.output
    assert "against itself in ort" in result.output
    assert "mlp.onnx in edgebig: " in result.output
    single = run(mlp, *BOTH, *QUICK)
    assert "against the first" in single.output
    assert "against itself" not in single.output


def test_explain_tells_the_story(mlp: str) -> None:
    result = run(mlp, *BOTH, *QUICK, "--explain")
    assert result.exit_code == 0, result.output
    assert max(map(len, result.output.splitlines())) <= 80
    assert "mlp.onnx in edgebig:" in result.output
    assert "segment_" in result.output
    assert "Built in " in result.output


def test_explain_needs_edgebig(mlp: str) -> None:
    result = run(mlp, "--explain", *QUICK)
    assert result.exit_code == 2
    assert "add --runtime edgebig" in result.output


def test_unknown_and_repeated_runtimes_are_usage_errors(mlp: str) -> None:
    result = run(mlp, "--runtime", "abacus")
    assert result.exit_code == 2
    assert "unknown runtime 'abacus'. Known: ort, edgebig." in result.output
    result = run(mlp, "--runtime", "ort", "--runtime", "ort")
    assert result.exit_code == 2
    assert "each once" in result.output


def test_another_provider_is_a_usage_error(mlp: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(providers._entries, "cuda", Provider("CUDAExecutionProvider", extra="gpu"))
    with pytest.raises(UsageError, match="runs on cpu, not on cuda"):
        bench_models(mlp, options=BenchOptions(provider="cuda", runtimes=("ort", "edgebig")))
    assert run(mlp, "--provider", "cuda", "--runtime", "edgebig").exit_code == 2


def test_where_kernels_cannot_run_it_warns(mlp: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "supported", lambda: "no such processor")
    record = record_of(mlp, "--runtime", "edgebig")
    assert record.models[0].story is None
    assert "mlp.onnx: onnxruntime runs all of it: no such processor." in record.warnings


def test_a_model_without_work_is_measured_as_well(tmp_path: Path) -> None:
    result = run(str(write(DOUBLE, tmp_path / "double.onnx")), *BOTH, *QUICK)
    assert result.exit_code == 0, result.output
    assert "onnxruntime's own graph is used" in result.output.replace("\n", " ")


def test_bad_models_are_one_message(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"nothing")
    result = run(str(tmp_path / "bad.onnx"), "--runtime", "edgebig")
    assert result.exit_code == 1
    assert "bad.onnx" in result.output.replace("\n", "")


def test_measurements_in_other_runtimes_do_not_compare(mlp: str) -> None:
    with pytest.raises(UsageError, match="runtime: onnxruntime and edgebig in onnxruntime"):
        record_of(mlp).check_comparable(record_of(mlp, "--runtime", "edgebig"))


def test_records_of_earlier_versions_are_read(mlp: str) -> None:
    content = record_of(mlp).to_dict()
    del content["settings"]["options"]["runtimes"]
    for name in ("runtime", "same_model", "story"):
        del content["models"][0][name]
    assert MeasurementRecord.from_dict(content).models[0].runtime == "ort"


def test_a_real_process(mlp: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "edgebig.cli.main", "bench", mlp, *BOTH, *QUICK, "--explain", "--json", "r.json"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert "mlp.onnx in edgebig" in result.stdout
    assert MeasurementRecord.from_json((tmp_path / "r.json").read_text()).models[1].story is not None
