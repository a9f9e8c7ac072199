"""`edgebig lint`: what is printed, what is written, and with which exit code it ends."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from click.testing import CliRunner, Result

from edgebig.cli.main import cli
from edgebig.records.lint import LintRecord
from edgebig.targets import targets
from tests.lint.build import conv


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["lint", *map(str, arguments)])


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A symmetric uint8 convolution: fine on CPUs, refused by TensorRT, and repairable for it."""
    path = tmp_path / "model.onnx"
    ir.save(conv(zero_point=128), path)
    return path


def test_nothing_to_object_to(model: Path) -> None:
    result = run(model, "--target", "ort-cpu-vnni")
    assert result.exit_code == 0, result.output
    assert "Nothing to object to in 7 nodes for ort-cpu-vnni" in " ".join(result.output.split())


def test_a_refused_model_exits_with_3_and_says_why_and_what_to_do(model: Path) -> None:
    result = run(model, "--target", "tensorrt-11")
    assert result.exit_code == 3, result.output
    text = " ".join(result.output.split())
    assert "refused (1 node): a DequantizeLinear reads int32 (a bias)" in text
    assert "do: leave the bias in float (--fix does it)" in text
    assert "3 of them can be repaired without changing results: --fix -o FILE" in text
    assert "tensorrt-11 refuses the model: 3 of the findings above say why." in text
    assert all(len(line) <= 80 for line in result.output.splitlines())


def test_findings_are_grouped(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    ir.save(conv(zero_point=3), path)
    text = " ".join(run(path, "--target", "tensorrt-10").output.split())
    assert "refused (1 node): activations have a zero point" in text
    assert "QuantizeLinear(xq): uint8, zero point 3" in text


def test_fix_writes_a_model_that_is_not_refused(model: Path, tmp_path: Path) -> None:
    output, record = tmp_path / "fixed.onnx", tmp_path / "record.json"
    result = run(model, "--target", "tensorrt-11", "--fix", "-o", output, "--json", record)
    assert result.exit_code == 0, result.output
    text = " ".join(result.output.split())
    assert "repaired 1x: wrote biases in float instead of int32 behind DequantizeLinear" in text
    assert "outputs differ by 0 of their scale" in text
    assert "Compared on 4 feeds of random inputs." in text
    assert "Written:" in text and output.exists()
    again = run(output, "--target", "tensorrt-11")
    assert again.exit_code == 0, again.output
    read = LintRecord.from_json(record.read_text())
    assert {done.rule for done in read.repairs} == {"integer-dtype", "int32-bias"}
    assert read.refused == 0
    steps = json.loads(ir.load(output).metadata_props["edgebig.provenance"])
    assert steps[-1]["step"] == "lint"


def test_json_alone_is_the_record(model: Path) -> None:
    result = CliRunner().invoke(cli, ["lint", str(model), "--target", "tensorrt-10", "--json", "-"])
    assert result.exit_code == 3
    record = LintRecord.from_json(result.stdout)
    assert record.target == "tensorrt-10"
    assert {found.rule for found in record.findings} >= {"int32-bias", "integer-dtype"}
    assert record.sources.keys() == {found.rule for found in record.findings}


def test_samples_decide_on_saturation(tmp_path: Path) -> None:
    path, samples = tmp_path / "m.onnx", tmp_path / "samples.npz"
    ir.save(conv(limit=127), path)
    np.savez(samples, x=np.ones((2, 4, 6, 6), np.float32))
    result = run(path, "--target", "ort-cpu-avx2", "--data", samples)
    assert result.exit_code == 0, result.output
    assert "and on the samples they do" in " ".join(result.output.split())


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--fix",), 2, "--fix needs -o FILE"),
        (("-o", "x.onnx"), 2, "-o FILE goes with --fix"),
        (("--target", "tensorrt"), 2, "unknown target 'tensorrt'. Known: ort-cpu"),
        (("--runtime-version", "1.2"), 2, "is older than 1.14"),
        (("--data", "nothing.npz"), 1, "nothing.npz do not exist"),
    ],
)
def test_wrong_requests(model: Path, arguments: tuple[str, ...], code: int, words: str) -> None:
    result = run(model, *arguments)
    assert result.exit_code == code, result.output
    assert words in " ".join(result.output.split())


def test_an_existing_file_is_not_replaced(model: Path, tmp_path: Path) -> None:
    output = tmp_path / "there.onnx"
    output.write_bytes(b"precious")
    result = run(model, "--target", "tensorrt-11", "--fix", "-o", output)
    assert result.exit_code == 1
    assert "--force" in result.output
    assert output.read_bytes() == b"precious"


def test_a_damaged_file_is_one_message(tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"\x08\x07nonsense")
    result = run(path)
    assert result.exit_code == 1
    assert "not a readable ONNX file" in result.output or "holds no ONNX graph" in result.output


def test_help_names_all_targets() -> None:
    text = " ".join(run("--help").output.replace("-\n", "-").split())
    assert all(name in text.replace(" ", "") for name in targets.names())


def test_in_a_process_of_its_own(model: Path) -> None:
    command = [sys.executable, "-m", "edgebig.cli.main", "lint", str(model), "--target", "tensorrt-11"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "refused" in done.stdout
    assert "Error: tensorrt-11 refuses the model" in done.stderr
