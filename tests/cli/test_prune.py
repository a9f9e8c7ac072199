"""`edgebig prune` through click's runner and as a real process."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgebig.cli.main import cli
from tests.small_models import write_conv_net


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_conv_net(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_prunes_and_warns_that_zeros_are_not_faster(folder: Path) -> None:
    arguments = ["prune", "conv_net.onnx", "-o", "out.onnx", "--data", "samples.npz", "--sparsity", "0.5"]
    result = CliRunner().invoke(cli, [*arguments, "--json", "record.json"])
    assert result.exit_code == 0, result.output
    assert "will not make the model faster on ort-cpu" in " ".join(result.output.split())
    record = json.loads((folder / "record.json").read_text())
    assert record["schema"] == "edgebig.prune"
    assert record["sparsity"] == pytest.approx(0.5, abs=0.02)
    assert (folder / "out.onnx").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["conv_net.onnx", "-o", "out.onnx", "--data", "samples.npz"], 2, "how much to prune"),
        (["conv_net.onnx", "-o", "out.onnx", "--sparsity", "0.5"], 2, "--data"),
        (["conv_net.onnx", "-o", "out.onnx", "--data", "gone.npz", "--sparsity", "0.5"], 1, "gone.npz"),
        (["gone.onnx", "-o", "out.onnx", "--data", "samples.npz", "--sparsity", "0.5"], 1, "gone.onnx"),
        (["conv_net.onnx", "-o", "out.onnx", "--data", "samples.npz", "--sparsity", "1.5"], 2, "1.5"),
        (
            ["conv_net.onnx", "-o", "out.onnx", "--data", "samples.npz", "--sparsity", "0.5", "--pattern", "block8"],
            2,
            "block16x4, unstructured",
        ),
        (
            ["conv_net.onnx", "-o", "out.onnx", "--data", "samples.npz", "--sparsity", "0.5", "--target", "tpu"],
            2,
            "Known: ort-cpu",
        ),
    ],
)
def test_bad_requests_get_one_message(folder: Path, arguments: list[str], code: int, words: str) -> None:
    result = CliRunner().invoke(cli, ["prune", *arguments])
    assert result.exit_code == code, result.output
    assert words in " ".join(result.output.split())
    assert not (folder / "out.onnx").exists()


def test_a_budget_that_cannot_be_met_exits_with_3_in_a_real_process(folder: Path) -> None:
    command = [sys.executable, "-m", "edgebig.cli.main", "prune", "conv_net.onnx", "-o", "out.onnx"]
    command += ["--data", "samples.npz", "--max-loss", "0", "--loss", "relative-error"]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert run.returncode == 3, run.stderr
    assert "Error:" in run.stderr
    assert "Traceback" not in run.stderr
    assert not (folder / "out.onnx").exists()
