"""`edgebig export`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from click.testing import CliRunner, Result
from safetensors.torch import load_file, save_file

from edgebig.cli.main import cli
from edgebig.data.callables import load_callable
from edgebig.graph.load import load_model

MODULES = Path(__file__).parent.parent / "export" / "modules.py"

RECIPE = """
[[step]]
use = "export"
source = "model.py:conv_net"
weights = "weights.safetensors"
sample = "calibration.npz"
dynamic = ["image:0=batch"]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with models/tiny in it: source, weights, samples, recipe."""
    tiny = tmp_path_factory.mktemp("work") / "models" / "tiny"
    tiny.mkdir(parents=True)
    (tiny / "model.py").write_text(MODULES.read_text())
    (tiny / "recipe.toml").write_text(RECIPE)
    net = load_callable(f"{MODULES}:ConvNet", purpose="test")()
    save_file(net.state_dict(), tiny / "weights.safetensors")
    images = np.random.default_rng(0).standard_normal((20, 3, 8, 8)).astype(np.float32)
    np.savez(tiny / "calibration.npz", image=images)
    return tiny.parent.parent


def _run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["export", *map(str, arguments)])


def test_a_model_by_name_from_torch_to_onnx(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    result = _run("tiny", "-o", "tiny.onnx", "--output-name", "logits", "--external-data", "yes", "--json", "tiny.json")
    assert result.exit_code == 0, result.output
    assert "inputs   image: float32 [batch, 3, 8, 8]" in result.output
    assert "outputs  logits: float32 [batch, 5]" in result.output
    assert "Equal at batch 1, 2, 3, 4, 5, and on 20 real samples." in result.output
    assert "Wrote tiny.onnx and tiny.onnx.data" in result.output
    assert max(map(len, result.output.splitlines())) <= 80
    record = json.loads(Path("tiny.json").read_text())
    assert record["files"] == ["tiny.onnx", "tiny.onnx.data"]
    assert record["bytes"] == Path("tiny.onnx").stat().st_size + Path("tiny.onnx.data").stat().st_size
    # The weights of the file, not the factory's own.
    head = load_model("tiny.onnx").graph.initializers["head.weight"].const_value
    assert head is not None
    np.testing.assert_array_equal(head.numpy(), load_file("models/tiny/weights.safetensors")["head.weight"].numpy())
    session = onnxruntime.InferenceSession("tiny.onnx")
    assert session.run(None, {"image": np.zeros((7, 3, 8, 8), np.float32)})[0].shape == (7, 5)


def test_a_missed_gate_exits_with_3_and_writes_nothing(tmp_path: Path) -> None:
    output = tmp_path / "m.onnx"
    result = _run(f"{MODULES}:value_branch", "-o", output, "--input", "x:float32:?x4")
    assert result.exit_code == 3, result.output
    assert "the exported model is not equal to the module" in result.output
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["no_such_model"], 2, "no model 'no_such_model' under models/"),
        (["no/such.py:build"], 2, "there is no file no/such.py"),
        (["no.such.module:build"], 2, "importing 'no.such.module' failed"),
        (["no_such.pt2"], 1, "there is no file no_such.pt2"),
        ([f"{MODULES}:nothing"], 2, "has no callable 'nothing'"),
        ([f"{MODULES}:broken"], 2, "calling it failed: RuntimeError: no such checkpoint"),
        ([f"{MODULES}:no_module"], 2, "returned str. It must be a torch.nn.Module"),
        ([f"{MODULES}:conv_net"], 2, "needs to know the inputs"),
        ([f"{MODULES}:conv_net", "--input", "image"], 2, "must be NAME:DTYPE:SHAPE"),
        ([f"{MODULES}:conv_net", "--input", "i:float32:?x3x8x8", "--dynamic", "i:9=n"], 2, "has no axis 9"),
        ([f"{MODULES}:conv_net", "--input", "i:float32:?x3x8x8", "--dynamic", "i=n"], 2, "must be INPUT:AXIS=NAME"),
        ([f"{MODULES}:conv_net", "--input", "i:float32:2x2"], 2, "forward refuses the example"),
        ([f"{MODULES}:conv_net", "--input", "i:float32:?x3x8x8", "--opset", "99"], 2, "opset 99"),
        ([f"{MODULES}:conv_net", "--weights", "no.safetensors", "--sample", "no.npz"], 1, "no weights file"),
        ([f"{MODULES}:conv_net", "--sample", "no.npz"], 1, "sample no.npz does not exist"),
        ([f"{MODULES}:conv_net", "--external-data", "maybe"], 2, "'maybe' is not one of"),
        ([f"{MODULES}:conv_net", "--tolerance", "2"], 2, "tolerance is 2.0"),
    ],
)
def test_bad_input_is_one_message(tmp_path: Path, arguments: list[str], code: int, message: str) -> None:
    result = _run(*arguments, "-o", tmp_path / "m.onnx")
    assert result.exit_code == code, result.output
    assert message in " ".join(result.output.split())
    assert "Traceback" not in result.output
    assert not list(tmp_path.iterdir())


def test_outputs_that_should_not_be_written_are_refused_first(folder: Path, tmp_path: Path) -> None:
    tiny = folder / "models" / "tiny"
    common = [
        f"{tiny}/model.py:conv_net",
        "--weights",
        tiny / "weights.safetensors",
        "--input",
        "image:float32:?x3x8x8",
    ]
    existing = tmp_path / "m.onnx"
    existing.write_text("mine")
    for output, message in (
        (existing, "exists"),
        (tmp_path, "is a folder"),
        (tmp_path / "none" / "m.onnx", "does not exist"),
        (tiny / "weights.safetensors", "is also the input"),
        (tiny / "model.py", "is also the input"),
    ):
        before = output.read_bytes() if output.is_file() else None
        result = _run(*common, "-o", output, *(["--force"] if "also" in message else []))
        assert result.exit_code == 1, result.output
        assert message in " ".join(result.output.split())
        assert before is None or output.read_bytes() == before
    (tmp_path / "n.onnx.data").write_text("mine")
    result = _run(*common, "-o", tmp_path / "n.onnx", "--external-data", "yes")
    assert result.exit_code == 1
    assert "n.onnx.data exists" in " ".join(result.output.split())


def test_a_mistake_through_a_real_process(folder: Path) -> None:
    command = [sys.executable, "-m", "edgebig.cli.main", "export", "tinny", "-o", "t.onnx"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "Did you mean 'tiny'?" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.slow
def test_through_a_real_process(folder: Path) -> None:
    environment = {**os.environ, "COLUMNS": "80"}
    command = [sys.executable, "-m", "edgebig.cli.main", "export", "model.py:difference", "-o", "d.onnx", "--force"]
    inputs = ["--input", "left:float32:?x4", "--input", "right:float32:?x4", "--json", "-"]
    result = subprocess.run(
        [*command, *inputs],
        cwd=folder / "models" / "tiny",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["schema"] == "edgebig.export"
    assert result.stderr == ""  # none of torch's logs and warnings
    assert (folder / "models" / "tiny" / "d.onnx").is_file()
