"""`edgebig prune` through click's runner and as a real process."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgebig.cli.main import COMMANDS, cli
from edgebig.cli.prune import command
from edgebig.records.prune import PruneRecord
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


def test_the_help_line_is_the_groups() -> None:
    assert command.get_short_help_str(200) == COMMANDS["prune"][1]


def test_a_search_prints_what_it_tried_within_80_columns(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    arguments = ["prune", "conv_net.onnx", "-o", "out.onnx", "--data", "samples.npz", "--max-loss", "0.05"]
    arguments += ["--sparsity", "0.9", "--loss", "relative-error", "--pattern", "unstructured", "--method", "wanda"]
    result = CliRunner().invoke(cli, [*arguments, "--json", "record.json"])
    assert result.exit_code == 0, result.output
    assert max(len(line) for line in result.stdout.splitlines()) <= 80
    record = PruneRecord.from_json((folder / "record.json").read_text())
    assert record.trials[0].sparsity == 0.9
    assert result.stdout.count("passed") == sum(trial.passed is True for trial in record.trials)
    assert result.stdout.count("too much") == sum(trial.passed is False for trial in record.trials) > 0
    assert "(allowed 0.05)" in result.stdout
    assert record.loss <= 0.05


def test_json_on_standard_output_is_json_alone(folder: Path) -> None:
    arguments = ["prune", "conv_net.onnx", "-o", "out.onnx", "--data", "samples.npz", "--sparsity", "0.5"]
    result = CliRunner().invoke(cli, [*arguments, "--scope", "layer", "--no-compensate", "--json", "-"])
    assert result.exit_code == 0, result.output
    record = PruneRecord.from_json(result.stdout)
    assert record.scope == "layer"
    assert all(layer.error is None for layer in record.layers)
    assert "Warning: pattern block16x4" in result.stderr
    assert any("only make the compressed file smaller" in warning for warning in record.warnings)


def test_the_drop_of_a_metric_as_the_loss(folder: Path) -> None:
    (folder / "t.py").write_text(
        "import numpy as np\nfrom tests.small_models import conv_net_samples\n"
        "def strength(outputs, labels):\n    return -abs(outputs[0]['logits']).mean()\n"
        "def task():\n    return conv_net_samples(200, seed=5), np.zeros(200), strength\n"
    )
    arguments = ["prune", "conv_net.onnx", "-o", "out.onnx", "--data", "samples.npz", "--max-loss", "0.02"]
    result = CliRunner().invoke(cli, [*arguments, "--task", "t.py:task", "--json", "record.json"])
    assert result.exit_code == 0, result.output
    record = PruneRecord.from_json((folder / "record.json").read_text())
    assert record.loss_name == "drop of t.py:task"
    assert record.loss <= 0.02
    assert not any("cannot resolve" in warning for warning in record.warnings)


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
        (
            ["conv_net.onnx", "-o", "out.onnx", "--data", "samples.npz", "--sparsity", "0.5", "--method", "taylor"],
            2,
            "obs, wanda, magnitude",
        ),
        (
            ["conv_net.onnx", "-o", "out.onnx", "--data", "samples.npz", "--sparsity", "0.5", "--loss", "f1"],
            2,
            "unknown loss 'f1'",
        ),
        (
            ["conv_net.onnx", "-o", "out.onnx", "--data", "samples.npz", "--sparsity", "0.5", "--task", "none"],
            2,
            "unknown task 'none'",
        ),
        (["conv_net.onnx", "-o", "conv_net.onnx", "--data", "samples.npz", "--sparsity", "0.5"], 1, "also the input"),
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
