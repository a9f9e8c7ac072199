"""`edgebig diagnose`, through click's runner and as a process."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from edgebig.cli.diagnose import command
from edgebig.cli.main import COMMANDS, cli
from edgebig.graph.save import save_model
from edgebig.records.diagnose import DiagnoseRecord
from tests.diagnose.build import net, net_samples, qdq
from tests.quantize.build import build

SOUND = {"x": (-4.0, 4.0), "b": (0.0, 5.0), "d": (0.0, 5.0), "y": (-5.0, 5.0)}
WEIGHTS = {"wa": 1, "wb": 1, "wc": 1}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    save_model(net(), tmp_path / "float.onnx")
    save_model(qdq(net(), SOUND, WEIGHTS), tmp_path / "good.onnx")
    save_model(qdq(net(), SOUND | {"d": (0.0, 40000.0)}, WEIGHTS), tmp_path / "bad.onnx")
    save_model(build("g (float[n, 16] x) => (float[n, 16] z) { z = Relu (x) }"), tmp_path / "other.onnx")
    np.savez(tmp_path / "data.npz", **net_samples())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, ["diagnose", *arguments])
    return result.exit_code, result.output


def test_the_help_line_is_the_groups() -> None:
    assert command.get_short_help_str(200) == COMMANDS["diagnose"][1]


def test_a_bad_model(folder: Path) -> None:
    code, output = run("float.onnx", "bad.onnx", "--data", "data.npz", "--threads", "1", "--json", "r.json")
    assert code == 0, output
    for words in ("own dB", "takes back", "dead range", "It first goes wrong at d", "Repair", "6 tensors compared"):
        assert words in output
    assert max(len(line) for line in output.splitlines()) <= 80
    pasted = output[output.index("Repair\n") + 7 :].replace("\\\n", "").split("\nRecord")[0].split()
    assert pasted[:3] == ["edgebig", "quantize", "float.onnx"]
    assert pasted[-2:] == ["--calibration", "minmax"]
    record = DiagnoseRecord.from_json((folder / "r.json").read_text())
    assert record.command.split() == pasted
    assert record.first_wrong == "d"


def test_a_good_model(folder: Path) -> None:
    code, output = run("float.onnx", "good.onnx", "--data", "data.npz", "--layers", "2", "--json", "-")
    assert code == 0, output
    content = json.loads(output)
    assert content["schema"] == "edgebig.diagnose"
    assert content["healthy"] is True
    assert content["command"] == ""
    assert len(content["layers"]) == 2


@pytest.mark.parametrize(
    ("arguments", "expected", "words"),
    [
        (["float.onnx", "--data", "data.npz"], 2, "Missing argument 'QUANTIZED'"),
        (["float.onnx", "bad.onnx"], 2, "Missing option '--data'"),
        (["float.onnx", "bad.onnx", "--data", "data.npz", "--layers", "0"], 2, "0 is not in the range"),
        (["float.onnx", "bad.onnx", "--data", "data.npz", "--ram-budget", "much"], 2, "size 'much' is not understood"),
        (["float.onnx", "bad.onnx", "--data", "data.npz", "--task", "none"], 2, "unknown task 'none'"),
        (["float.onnx", "none.onnx", "--data", "data.npz"], 1, "there is no file none.onnx"),
        (["float.onnx", "bad.onnx", "--data", "none.npz"], 1, "none.npz do not exist"),
        (["float.onnx", "float.onnx", "--data", "data.npz"], 1, "holds no quantized layer"),
        (["float.onnx", "bad.onnx", "--data", "data.npz", "--json", "data.npz"], 1, "data.npz"),
    ],
)
def test_bad_input(folder: Path, arguments: list[str], expected: int, words: str) -> None:
    code, output = run(*arguments)
    assert code == expected, output
    assert words in " ".join(output.split())
    assert "Traceback" not in output


def test_models_that_do_not_belong_together(folder: Path) -> None:
    code, output = run("other.onnx", "bad.onnx", "--data", "data.npz")
    assert code == 1, output
    words = "bad.onnx is no quantized version of other.onnx: its outputs are y, those of the float model are z"
    assert words in " ".join(output.split())


def test_as_a_process(folder: Path) -> None:
    arguments = [sys.executable, "-m", "edgebig.cli.main", "diagnose", "float.onnx", "good.onnx", "--data", "data.npz"]
    result = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "close to the float one" in " ".join(result.stdout.split())
