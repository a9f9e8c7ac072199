"""`edgebig evaluate`, through click's runner and as a process."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from edgebig.cli.evaluate import command
from edgebig.cli.main import COMMANDS, cli
from edgebig.records.evaluation import EvaluationsRecord
from tests.evaluate.linear import save_linear

EYE = np.eye(4, dtype=np.float32)
TASK = """
import numpy as np
X = np.repeat(np.eye(4, dtype=np.float32), 25, 0)
def task():
    return {"x": X}, np.repeat(np.arange(4), 25), "top1"
def error():
    return {"x": X}, X, "mse"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    save_linear(tmp_path / "a.onnx", EYE)
    save_linear(tmp_path / "b.onnx", EYE[[1, 0, 2, 3]])
    (tmp_path / "sub").mkdir()
    save_linear(tmp_path / "sub" / "a.onnx", EYE * 2)
    (tmp_path / "t.py").write_text(TASK)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, ["evaluate", *arguments])
    return result.exit_code, result.output


def test_the_help_line_is_the_groups() -> None:
    assert command.get_short_help_str(200) == COMMANDS["evaluate"][1]


def test_one_model(folder: Path) -> None:
    code, output = run("a.onnx", "--task", "t.py:task")
    assert code == 0, output
    assert "t.py:task: top1 over 100 samples (higher is better)" in output
    assert "1.0000 ± 0.0000" in output
    assert "vs first" not in output


def test_several_models_and_the_record(folder: Path) -> None:
    code, output = run("a.onnx", "b.onnx", "sub/a.onnx", "--task", "t.py:task", "--json", "r.json")
    assert code == 0, output
    assert "-0.500 ± 0.050" in output
    assert "sub/a.onnx" in output
    assert max(len(line) for line in output.splitlines()) <= 80
    record = EvaluationsRecord.from_json((folder / "r.json").read_text())
    assert [model.value for model in record.models] == [1.0, 0.5, 1.0]
    assert record.differences[0].difference == -0.5
    code, output = run("a.onnx", "--task", "t.py:task", "--json", "r.json")
    assert (code, "pass --force" in output) == (1, True)
    assert run("a.onnx", "--task", "t.py:task", "--json", "r.json", "--force")[0] == 0


def test_json_on_standard_output_is_json_alone(folder: Path) -> None:
    code, output = run("a.onnx", "--task", "t.py:error", "--json", "-")
    assert code == 0, output
    content = json.loads(output)
    assert content["schema"] == "edgebig.evaluations"
    assert content["models"][0]["metric"] == "mse"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a.onnx", "b.onnx", "--task", "t.py:task", "--max-drop", "0.4"], "worse than the first model's by 0.5"),
        (["b.onnx", "--task", "t.py:task", "--min", "0.9"], "b.onnx: top1 0.5 is below --min 0.9"),
        (["b.onnx", "--task", "t.py:error", "--max", "0.1"], "above --max 0.1"),
    ],
)
def test_a_missed_gate_is_3_after_the_table(folder: Path, arguments: list[str], words: str) -> None:
    code, output = run(*arguments)
    assert code == 3, output
    assert words in output
    assert "is better)" in output


@pytest.mark.parametrize(
    ("arguments", "expected", "words"),
    [
        (["--task", "t.py:task"], 2, "Missing argument 'MODEL...'"),
        (["a.onnx"], 2, "Missing option '--task'"),
        (["a.onnx", "--task", "t.py:task", "--max-drop", "0.1"], 2, "name at least two"),
        (["a.onnx", "--task", "nothing"], 2, "unknown task 'nothing'. Known: "),
        (["a.onnx", "--task", "t.py"], 2, "Give file and function: t.py:task"),
        (["none.onnx", "--task", "t.py:task"], 1, "there is no file none.onnx"),
        (["t.py", "--task", "t.py:task"], 1, "t.py is not a readable ONNX file"),
        (["sub", "--task", "t.py:task"], 1, "sub is a folder"),
        (["a.onnx", "--task", "t.py:task", "--json", "no/r.json"], 1, "does not exist"),
    ],
)
def test_bad_input(folder: Path, arguments: list[str], expected: int, words: str) -> None:
    code, output = run(*arguments)
    assert code == expected, output
    assert words in output
    assert "Traceback" not in output


def test_as_a_process(folder: Path) -> None:
    arguments = [sys.executable, "-m", "edgebig.cli.main", "evaluate", "a.onnx", "b.onnx", "--task", "t.py:task"]
    result = subprocess.run([*arguments, "--max-drop", "0.1"], capture_output=True, text=True, check=False)
    assert result.returncode == 3, result.stderr
    assert "vs first" in result.stdout
    assert result.stderr.startswith("Error: quality gate missed.")
