"""A recipe from an .onnx file to int8: results, provenance, and going on after a kill."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from edgebig.errors import OutputError
from edgebig.graph.load import load_model
from edgebig.graph.provenance import read_provenance
from edgebig.graph.session import Session
from edgebig.pipeline import compress_model
from edgebig.records.compress import CompressRecord
from tests.small_models import conv_net_samples, write_conv_net

RECIPE = """
name = "conv_net"
model = "conv_net.onnx"
data = "samples.npz"
[[step]]
use = "optimize"
[[step]]
use = "quantize"
scheme = "int8"
effort = "fast"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_conv_net(tmp_path)
    (tmp_path / "recipe.toml").write_text(RECIPE)
    return tmp_path


def test_result_is_the_last_model_with_its_provenance(folder: Path) -> None:
    record = compress_model(folder / "recipe.toml", folder / "out.onnx")
    assert [step.use for step in record.steps] == ["optimize", "quantize"]
    assert record.reused == ()
    steps = read_provenance(load_model(folder / "out.onnx"))
    assert [step.step for step in steps] == ["optimize", "quantize"]
    assert set(steps[0].inputs) >= {"conv_net.onnx"}
    assert "edgebig" in steps[0].versions
    beside = CompressRecord.from_json((folder / "out.provenance.json").read_text())
    assert beside == record
    feed = conv_net_samples(8, seed=5)
    with Session(folder / "conv_net.onnx") as a, Session(folder / "out.onnx") as b:
        reference, result = a.run(feed)["logits"], b.run(feed)["logits"]
    error = np.sqrt(np.square(reference - result).mean() / np.square(reference).mean())
    assert 0.0 < error < 0.1
    assert (folder / "out.onnx").stat().st_size < (folder / "conv_net.onnx").stat().st_size


def test_finished_steps_are_not_run_again(folder: Path) -> None:
    first = compress_model(folder / "recipe.toml", folder / "out.onnx")
    again = compress_model(folder / "recipe.toml", folder / "out.onnx", force=True)
    assert again.reused == ("optimize", "quantize")
    assert again.steps == first.steps
    fresh = compress_model(folder / "recipe.toml", folder / "out.onnx", force=True, fresh=True)
    assert fresh.reused == ()


def test_a_changed_step_and_those_after_it_are_run_again(folder: Path) -> None:
    compress_model(folder / "recipe.toml", folder / "out.onnx")
    (folder / "recipe.toml").write_text(
        RECIPE + 'calibration = "minmax"\nexclude = ["*Gemm*"]\n'.replace("*Gemm*", _a_node(folder))
    )
    changed = compress_model(folder / "recipe.toml", folder / "out.onnx", force=True)
    assert changed.reused == ("optimize",)
    write_conv_net(folder, seed=7)
    other = compress_model(folder / "recipe.toml", folder / "out.onnx", force=True)
    assert other.reused == ()


def _a_node(folder: Path) -> str:
    return next(node.name or "" for node in load_model(folder / "out.work" / "optimize.onnx").graph)


@pytest.mark.parametrize("damage", ["truncate", "delete", "record"])
def test_a_damaged_step_is_run_again(folder: Path, damage: str) -> None:
    compress_model(folder / "recipe.toml", folder / "out.onnx")
    model = folder / "out.work" / "quantize.onnx"
    if damage == "truncate":
        model.write_bytes(model.read_bytes()[:-10])
    elif damage == "delete":
        model.unlink()
    else:
        model.with_suffix(".json").write_text('{"schema": "edgebig.step"')
    again = compress_model(folder / "recipe.toml", folder / "out.onnx", force=True)
    assert again.reused == ("optimize",)


def test_output_is_checked_before_work_starts(folder: Path) -> None:
    (folder / "out.onnx").write_text("precious")
    with pytest.raises(OutputError, match="--force"):
        compress_model(folder / "recipe.toml", folder / "out.onnx")
    with pytest.raises(OutputError, match="also the input"):
        compress_model(folder / "recipe.toml", folder / "conv_net.onnx", force=True)
    assert (folder / "out.onnx").read_text() == "precious"
    assert not (folder / "out.work").exists()


def test_a_killed_run_goes_on_where_it_stopped(folder: Path) -> None:
    """Kill the real process while the second step waits for samples: the first stays done, nothing half is left."""
    (folder / "slow.py").write_text(
        f"""
import time
from pathlib import Path
import numpy as np

FOLDER = Path({str(folder)!r})

def feeds():
    for index in range(16):
        while (FOLDER / "out.work" / "optimize.json").exists() and not (FOLDER / "go").exists():
            time.sleep(0.05)
        yield {{"image": np.random.default_rng(index).normal(size=(4, 4, 8, 8)).astype(np.float32)}}
"""
    )
    (folder / "recipe.toml").write_text(RECIPE.replace('data = "samples.npz"\n', ""))
    command = [sys.executable, "-m", "edgebig.cli.main", "compress", "--recipe", "recipe.toml", "-o", "out.onnx"]
    command += ["--data", "slow.py:feeds"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    process = subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 240
    while not (folder / "out.work" / "optimize.json").exists() and time.monotonic() < deadline:
        if process.poll() is not None:
            raise AssertionError((process.stderr.read() if process.stderr else b"").decode())
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (folder / "out.work" / "optimize.json").exists()
    assert not (folder / "out.onnx").exists()
    assert not (folder / "out.work" / "quantize.onnx").exists()
    (folder / "go").touch()
    finished = subprocess.run([*command, "--json", "-"], cwd=folder, env=environment, capture_output=True, check=False)
    assert finished.returncode == 0, finished.stderr.decode()
    assert json.loads(finished.stdout)["reused"] == ["optimize"]
    assert (folder / "out.onnx").exists()
