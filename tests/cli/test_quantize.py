"""`edgebig quantize`, through click's runner and as a process."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from edgebig.cli.main import COMMANDS, cli
from edgebig.cli.quantize import command
from edgebig.records.quantize import QuantizeOptions, QuantizeRecord
from tests.small_models import write_conv_net


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_conv_net(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, ["quantize", *arguments])
    return result.exit_code, result.output


STATIC = ("--scheme", "int8", "--effort", "fast")
GOOD = ("conv_net.onnx", "-o", "q.onnx", "--data", "samples.npz", "--threads", "1", *STATIC)


def test_the_help_line_is_the_groups() -> None:
    assert command.get_short_help_str(200) == COMMANDS["quantize"][1]


def test_the_defaults_are_the_options() -> None:
    given = command.make_context("quantize", ["m.onnx", "-o", "q.onnx", "--data", "d.npz"]).params
    options = dataclasses.asdict(QuantizeOptions())
    assert {name: given[name] for name in options} == options


def test_a_table_for_people(folder: Path) -> None:
    code, output = run(*GOOD)
    assert code == 0, output
    for words in ("Conv", "int8", "float result", "100.0% of the multiply-adds", "held-out loss", "SQNR", "q.onnx"):
        assert words in output
    assert max(len(line) for line in output.splitlines()) <= 80
    assert (folder / "q.onnx").stat().st_size < (folder / "conv_net.onnx").stat().st_size
    assert "QuantizeLinear" in {node.op_type for node in onnx.load(folder / "q.onnx").graph.node}


def test_every_node_and_what_was_excluded(folder: Path) -> None:
    code, output = run(*GOOD, "--nodes", "--exclude", "e", "--exclude", "logit*")
    assert code == 0, output
    assert output.count("excluded") == 2
    assert "node" in output.splitlines()[0]
    assert max(len(line) for line in output.splitlines()) <= 80


def test_the_record_alone_and_in_a_file(folder: Path) -> None:
    code, output = run(*GOOD, "--json", "-", "--weight-bits", "7", "--calibration", "minmax")
    assert code == 0, output
    record = QuantizeRecord.from_json(output)
    assert (record.weight_bits, record.calibration) == ("7", "minmax")
    code, output = run(*GOOD, "--force", "--json", "r.json")
    assert code == 0, output
    assert json.loads((folder / "r.json").read_text())["schema"] == "edgebig.quantize"


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (("--target", "ort-gpu"), 2, "ort-cpu"),
        (("--calibration", "medians"), 2, "minmax"),
        (("--weight-bits", "4"), 2, "auto"),
        (("--ram-budget", "much"), 2, "512MB"),
        (("--exclude", "logitts"), 2, "Near to it: logits"),
        (("--max-loss", "-1"), 2, "negative"),
        (("--data", "none.npz"), 1, "do not exist"),
        (("-o", "conv_net.onnx"), 1, "also the input"),
        (("-o", "no/folder/q.onnx"), 1, "mkdir"),
        (("--json", "samples.npz"), 1, "exists"),
    ],
)
def test_bad_requests_leave_everything_as_it_was(change: tuple[str, ...], code: int, words: str, folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    found, output = run(*GOOD, *change)
    assert (found, words in output) == (code, True), output
    assert "Traceback" not in output
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_missed_budget_writes_nothing(folder: Path) -> None:
    rng = np.random.default_rng(0)
    text = '<ir_version: 8, opset_import: ["": 18]> g (float[N, 8] x) => (float[N, 1] y) { y = Gemm(x, w) }'
    model = onnx.parser.parse_model(text)
    model.graph.initializer.append(onnx.numpy_helper.from_array(rng.normal(size=(8, 1)).astype(np.float32), "w"))
    onnx.save(model, folder / "m.onnx")
    np.savez(folder / "d.npz", x=rng.normal(size=(64, 8)).astype(np.float32))
    code, output = run("m.onnx", "-o", "q.onnx", "--data", "d.npz", "--max-loss", "0.000001", *STATIC)
    assert code == 3, output
    assert "the loss budget cannot be met" in output
    assert not (folder / "q.onnx").exists()


def test_as_a_process(folder: Path) -> None:
    environment = {**os.environ, "COLUMNS": "80"}
    line = [sys.executable, "-m", "edgebig.cli.main", "quantize", *GOOD]
    first = subprocess.run(line, capture_output=True, text=True, check=False, env=environment, cwd=folder)
    assert first.returncode == 0, first.stderr
    assert "Written: q.onnx" in first.stdout
    again = subprocess.run(line, capture_output=True, text=True, check=False, env=environment, cwd=folder)
    assert again.returncode == 1
    assert "--force" in again.stderr
    assert "Traceback" not in again.stderr
