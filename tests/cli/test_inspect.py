"""`edgebig inspect`, through click's runner and as a process."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from edgebig.cli.inspect import command
from edgebig.cli.main import COMMANDS, cli
from edgebig.records.inspect import InspectRecord

TEXT = """<ir_version: 8, opset_import: ["": 17, "com.microsoft": 1]>
    g (float[batch, time, 4] x, float[3] d) => (float[batch, time, 3] y) {
        c = MatMul(x, w) a = Add(c, d) y = com.microsoft.Gelu(a) }"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    model = onnx.parser.parse_model(TEXT)
    for name, array in {"w": np.eye(4, 3, dtype=np.float32), "d": np.ones(3, np.float32)}.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    onnx.save(model, tmp_path / "a.onnx")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, ["inspect", *arguments])
    return result.exit_code, result.output


def test_the_help_line_is_the_groups() -> None:
    assert command.get_short_help_str(200) == COMMANDS["inspect"][1]


def test_a_table_for_people(folder: Path) -> None:
    code, output = run("a.onnx")
    assert code == 0, output
    for words in (
        "opset ai.onnx 17, com.microsoft 1; IR version 8",
        "x: float batchxtimex4",
        "d: float 3 (has a default)",
        "12 (with batch=1, time=1)",
        "75.0% of the weights",
        "The 1 heaviest of 1 layers",
    ):
        assert words in output, output
    assert max(len(line) for line in output.splitlines()) <= 80


def test_json_and_sizes(folder: Path) -> None:
    code, output = run("a.onnx", "--dim", "batch=2", "--dim", "time=5", "--json", "-")
    assert code == 0, output
    record = InspectRecord.from_json(output)
    assert (record.macs, record.dims) == (2 * 5 * 12, {"batch": 2, "time": 5})
    code, output = run("a.onnx", "--layers", "0", "--json", "r.json")
    assert code == 0, output
    assert "heaviest" not in output
    assert InspectRecord.from_json((folder / "r.json").read_text()).layers == ()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("none.onnx",), 1, "there is no file none.onnx"),
        ((".",), 1, "is a folder"),
        (("a.onnx", "--dim", "batch"), 2, "not of the form NAME=SIZE"),
        (("a.onnx", "--dim", "batch=x"), 2, "not of the form NAME=SIZE"),
        (("a.onnx", "--dim", "batch=0"), 2, "must be at least 1"),
        (("a.onnx", "--dim", "width=3"), 2, "Its dynamic axes: batch, time"),
        (("a.onnx", "--layers", "-1"), 2, "layers"),
        (("a.onnx", "--json", "a.onnx", "--force"), 1, "is also the input"),
    ],
)
def test_bad_requests(folder: Path, arguments: tuple[str, ...], code: int, message: str) -> None:
    got, output = run(*arguments)
    assert got == code, output
    assert message in " ".join(output.split())


def test_as_a_process(folder: Path) -> None:
    command_line = [sys.executable, "-m", "edgebig.cli.main", "inspect"]
    result = subprocess.run([*command_line, "a.onnx", "--json", "-"], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert InspectRecord.from_json(result.stdout).parameters == 15
    assert result.stderr == ""
    (folder / "cut.onnx").write_bytes((folder / "a.onnx").read_bytes()[:100])
    result = subprocess.run([*command_line, "cut.onnx"], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr.startswith("Error: cut.onnx")
    assert "Traceback" not in result.stderr
