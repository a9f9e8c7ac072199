"""`edgebig compress` through click's runner and as a real process."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgebig.cli.main import cli
from tests.small_models import write_conv_net

RECIPE = """
data = "samples.npz"
[[step]]
use = "optimize"
[[step]]
use = "prune"
sparsity = 0.3
[[step]]
use = "quantize"
[[step]]
use = "bench"
time = 0.2
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_conv_net(tmp_path)
    (tmp_path / "recipe.toml").write_text(RECIPE)
    return tmp_path


def test_runs_a_recipe_on_a_model_given_on_the_command_line(folder: Path) -> None:
    recipe, output, report = folder / "recipe.toml", folder / "out.onnx", folder / "page.html"
    arguments = ["compress", str(folder / "conv_net.onnx"), "--recipe", str(recipe), "-o", str(output)]
    result = CliRunner().invoke(cli, [*arguments, "--report", str(report), "--json", str(folder / "r.json")])
    assert result.exit_code == 0, result.output
    rows = [line.split()[0] for line in result.output.splitlines() if " KB" not in line and line.strip()]
    assert {"optimize", "prune", "quantize"} <= set(rows)
    assert output.exists()
    assert "<svg" in report.read_text()
    record = json.loads((folder / "r.json").read_text())
    assert [step["name"] for step in record["steps"]] == ["optimize", "prune", "quantize", "bench"]
    again = CliRunner().invoke(cli, arguments)
    assert again.exit_code == 1
    assert "--force" in again.output


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["compress", "-o", "out.onnx"], 2, "--recipe"),
        (["compress", "--recipe", "gone.toml", "-o", "out.onnx"], 2, "there is no recipe gone.toml"),
        (["compress", "--recipe", "recipe.toml", "-o", "out.onnx"], 2, "no model before it"),
        (["compress", "gone.onnx", "--recipe", "recipe.toml", "-o", "out.onnx"], 2, "there is no gone.onnx"),
        (["compress", "conv_net.onnx", "--recipe", "recipe.toml", "-o", "no/out.onnx"], 1, "does not exist"),
        (["compress", "conv_net.onnx", "--recipe", "recipe.toml", "-o", "conv_net.onnx", "--force"], 1, "the input"),
    ],
)
def test_bad_requests_get_one_message(
    folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, words: str
) -> None:
    monkeypatch.chdir(folder)
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == code, result.output
    assert words in " ".join(result.output.split())
    assert not (folder / "out.onnx").exists()
    assert not (folder / "out.work").exists()


def test_a_real_process_keeps_tables_and_progress_apart(folder: Path) -> None:
    command = [sys.executable, "-m", "edgebig.cli.main", "compress", "conv_net.onnx", "--recipe", "recipe.toml"]
    run = subprocess.run(
        [*command, "-o", "out.onnx", "--json", "-"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["output"] == "out.onnx"
    assert "quantize" in run.stderr
    assert "Traceback" not in run.stderr
