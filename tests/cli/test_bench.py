"""`edgebig bench` as a command."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from edgebig.cli.main import cli
from edgebig.records.measurement import MeasurementRecord
from tests.bench.models import DOUBLE, HEAVY, TOKENS, write

QUICK = ["--rounds", "8", "--time", "1", "--warmup", "0"]


@pytest.fixture
def double(tmp_path: Path) -> str:
    return str(write(DOUBLE, tmp_path / "double.onnx"))


@pytest.fixture
def heavy(tmp_path: Path) -> str:
    return str(write(HEAVY, tmp_path / "heavy.onnx"))


def run(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "80"}).invoke(cli, ["bench", *arguments])


def test_a_table_for_people_fits_eighty_columns(double: str, heavy: str) -> None:
    result = run(heavy, double, *QUICK)
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("model") and "p50 µs" in line and "runs/s" in line for line in lines)
    (verdict,) = [line for line in lines if line.rstrip().endswith(("faster", "slower", "shown"))]
    assert verdict.split()[0] == "double.onnx"
    assert verdict.split()[-1] == "faster"
    assert "x float32[1, 3]: random values, seed 0" in result.output


def test_json_to_a_file_and_to_standard_output(double: str, tmp_path: Path) -> None:
    target = tmp_path / "record.json"
    result = run(double, *QUICK, "--json", str(target))
    assert result.exit_code == 0, result.output
    assert f"Record: {target}" in result.output.replace("\n", "")
    record = MeasurementRecord.from_json(target.read_text())
    assert [model.name for model in record.models] == ["double.onnx"]
    result = run(double, *QUICK, "--json", "-")
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert content["schema"] == "edgebig.measurement"
    assert len(content["models"][0]["values"]) == 8


def test_an_existing_json_file_needs_force(double: str, tmp_path: Path) -> None:
    target = tmp_path / "record.json"
    target.write_text("mine")
    result = run(double, *QUICK, "--json", str(target))
    assert result.exit_code == 1
    assert "--force" in result.output
    assert target.read_text() == "mine"
    assert run(double, *QUICK, "--json", str(target), "--force").exit_code == 0
    MeasurementRecord.from_json(target.read_text())


def test_the_record_never_replaces_a_model(double: str) -> None:
    content = Path(double).read_bytes()
    result = run(double, *QUICK, "--json", double, "--force")
    assert result.exit_code == 1
    assert "is also the input" in result.output.replace("\n", " ")
    assert Path(double).read_bytes() == content


def test_options_reach_the_measurement(tmp_path: Path) -> None:
    tokens = str(write(TOKENS, tmp_path / "tokens.onnx"))
    result = run(tokens, *QUICK, "--batch", "2", "--dim", "sequence=5", "--threads", "2", "--seed", "9", "--json", "-")
    assert result.exit_code == 0, result.output
    record = MeasurementRecord.from_json(result.stdout)
    assert record.settings.inputs["ids"].shape == (2, 5)
    assert record.settings.threads == 2
    assert record.settings.data == "random values, seed 9"
    assert record.settings.options.dims == {"sequence": 5}


def test_data_is_taken(double: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "samples.npz", x=np.ones((6, 3), np.float32))
    result = run(double, *QUICK, "--data", str(tmp_path / "samples.npz"), "--batch", "4", "--json", "-")
    assert result.exit_code == 0, result.output
    record = MeasurementRecord.from_json(result.stdout)
    assert record.settings.data == "first feed of samples.npz"
    assert record.settings.inputs["x"].shape == (4, 3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--provider", "abacus"], "Known: cpu"),
        (["--dim", "width"], "NAME=SIZE"),
        (["--dim", "width=0"], "NAME=SIZE"),
        (["--dim", "width=3"], "no dynamic axis 'width'"),
        (["--time", "0"], "time is 0"),
        (["--time", "nan"], "time is nan"),
        (["--threads", "-1"], "-1"),
        (["--rounds", "0"], "0"),
        (["--batch", "0"], "0"),
        (["--fast"], "--fast"),
    ],
)
def test_wrong_options_are_usage_errors(double: str, arguments: list[str], words: str) -> None:
    result = run(double, *arguments)
    assert result.exit_code == 2, result.output
    assert words in result.output


def test_no_model_is_a_usage_error() -> None:
    assert run().exit_code == 2


def test_a_missing_size_names_the_option(tmp_path: Path) -> None:
    result = run(str(write(TOKENS, tmp_path / "tokens.onnx")), *QUICK)
    assert result.exit_code == 2
    assert "--dim sequence=SIZE" in result.output


@pytest.mark.parametrize("content", [None, b"", b"not a model", "truncated", "folder"])
def test_bad_models_are_one_message(content: bytes | str | None, double: str, tmp_path: Path) -> None:
    bad = tmp_path / "bad.onnx"
    if content == "truncated":
        bad.write_bytes(Path(double).read_bytes()[:30])
    elif content == "folder":
        bad.mkdir()
    elif isinstance(content, bytes):
        bad.write_bytes(content)
    result = run(double, str(bad), "--json", str(tmp_path / "r.json"))
    assert result.exit_code == 1
    assert "bad.onnx" in result.output.replace("\n", "")
    assert "Traceback" not in result.output
    assert not (tmp_path / "r.json").exists()


def test_models_with_other_inputs_are_refused(double: str, tmp_path: Path) -> None:
    result = run(double, str(write(TOKENS, tmp_path / "tokens.onnx")), *QUICK)
    assert result.exit_code == 1
    assert "given to tokens.onnx" in result.output.replace("\n", " ")


def test_a_real_process(double: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "edgebig.cli.main", "bench", double, double, *QUICK, "--json", "r.json"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert result.returncode == 0, result.stderr
    assert "double.onnx (2)" in result.stdout
    assert result.stderr == ""
    MeasurementRecord.from_json((tmp_path / "r.json").read_text())
