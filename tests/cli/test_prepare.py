"""`edgebig prepare` as a command."""

import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from click.testing import CliRunner, Result

from edgebig.cli.main import cli
from edgebig.records.runtime import RuntimeRecord
from tests.runtime.models import FEATURES, int8_mlp


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEBIG_CACHE", str(tmp_path / "cache"))


def run(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "80"}).invoke(cli, ["prepare", *arguments])


def test_the_second_time_finds_everything(tmp_path: Path) -> None:
    onnx.save(int8_mlp(), tmp_path / "m.onnx")
    result = run(str(tmp_path / "m.onnx"), "--threads", "1")
    assert result.exit_code == 0, result.output
    assert "(measured now)." in result.output
    assert max(map(len, result.output.splitlines())) <= 80
    result = run(str(tmp_path / "m.onnx"), "--threads", "1", "--json", "-")
    record = RuntimeRecord.from_json(result.stdout)
    assert record.from_cache
    assert record.threads == 1


def test_dynamic_axes(tmp_path: Path) -> None:
    onnx.save(int8_mlp("batch"), tmp_path / "m.onnx")
    result = run(str(tmp_path / "m.onnx"), "--batch", "4", "--json", "-")
    assert result.exit_code == 0, result.output
    assert RuntimeRecord.from_json(result.stdout).shapes == {"x": (4, FEATURES)}
    result = run(str(tmp_path / "m.onnx"), "--dim", "width=4")
    assert result.exit_code == 2
    assert "no dynamic axis 'width'" in result.output


def test_a_missing_model_and_a_taken_target(tmp_path: Path) -> None:
    result = run(str(tmp_path / "none.onnx"))
    assert result.exit_code == 1
    assert "no file" in result.output.replace("\n", " ")
    onnx.save(int8_mlp(), tmp_path / "m.onnx")
    (tmp_path / "r.json").write_text("mine")
    assert run(str(tmp_path / "m.onnx"), "--json", str(tmp_path / "r.json")).exit_code == 1
    assert (tmp_path / "r.json").read_text() == "mine"


def test_a_real_process(tmp_path: Path) -> None:
    onnx.save(int8_mlp(), tmp_path / "m.onnx")
    command = [sys.executable, "-m", "edgebig.cli.main", "prepare", "m.onnx"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert "Built in" in result.stdout
