"""`edgebig compare`, through click's runner and as a process."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from edgebig.cli.compare import command
from edgebig.cli.main import COMMANDS, cli
from edgebig.records.comparison import ComparisonRecord
from tests.evaluate.linear import save_linear

GENERATOR = np.random.default_rng(0)
WEIGHT = GENERATOR.normal(size=(5, 3)).astype(np.float32)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    save_linear(tmp_path / "a.onnx", WEIGHT)
    save_linear(tmp_path / "b.onnx", WEIGHT + np.float32(0.05))
    save_linear(tmp_path / "c.onnx", -WEIGHT)
    np.savez(tmp_path / "d.npz", x=GENERATOR.normal(size=(40, 5)).astype(np.float32))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, ["compare", *arguments])
    return result.exit_code, result.output


def test_the_help_line_is_the_groups() -> None:
    assert command.get_short_help_str(200) == COMMANDS["compare"][1]


def test_two_models(folder: Path) -> None:
    code, output = run("a.onnx", "b.onnx", "--data", "d.npz", "--json", "r.json", "--time", "0.2")
    assert code == 0, output
    for words in ("1.00x", "p50 ms", "speed [99 %]", "Outputs over 2 feeds of d.npz", "disagreement", "SQNR dB"):
        assert words in output
    assert max(len(line) for line in output.splitlines()) <= 80
    record = ComparisonRecord.from_json((folder / "r.json").read_text())
    assert record.outputs[0].max_abs_error is not None
    assert record.outputs[0].max_abs_error > 0
    assert record.latency is not None
    assert [model.file for model in record.latency.models] == ["a.onnx", "b.onnx"]
    code, output = run("a.onnx", "a.onnx", "--data", "d.npz", "--time", "0")
    assert code == 0, output
    assert "equal" in output
    assert "p50 ms" not in output


def test_the_gate(folder: Path) -> None:
    code, output = run("a.onnx", "c.onnx", "--data", "d.npz", "--max-loss", "0.5", "--json", "-", "--time", "0")
    assert code == 3, output
    content = json.loads(output[: output.rindex("}") + 1])
    assert content["outputs"][0]["loss"] > 0.5
    assert "above --max-loss 0.5" in output
    code, output = run(
        "a.onnx", "c.onnx", "--data", "d.npz", "--loss", "relative-error", "--max-loss", "2.01", "--time", "0"
    )
    assert code == 0, output


@pytest.mark.parametrize(
    ("arguments", "expected", "words"),
    [
        (["a.onnx", "--data", "d.npz"], 2, "Missing argument 'CHANGED'"),
        (["a.onnx", "b.onnx"], 2, "Missing option '--data'"),
        (["a.onnx", "b.onnx", "--data", "d.npz", "--loss", "x"], 2, "unknown loss 'x'. Known: auto, disagreement"),
        (["a.onnx", "b.onnx", "--data", "none.npz"], 1, "none.npz do not exist"),
        (["a.onnx", "none.onnx", "--data", "d.npz"], 1, "there is no file none.onnx"),
        (["a.onnx", "b.onnx", "--data", "a.onnx"], 2, "have an unknown form"),
    ],
)
def test_bad_input(folder: Path, arguments: list[str], expected: int, words: str) -> None:
    code, output = run(*arguments)
    assert code == expected, output
    assert words in output
    assert "Traceback" not in output


def test_as_a_process(folder: Path) -> None:
    arguments = [
        sys.executable,
        "-m",
        "edgebig.cli.main",
        "compare",
        "a.onnx",
        "b.onnx",
        "--data",
        "d.npz",
        "--time",
        "0",
    ]
    result = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "disagreement" in result.stdout
