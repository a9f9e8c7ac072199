"""`edgebig optimize`, through click's runner and as a process."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from edgebig.cli.main import COMMANDS, cli
from edgebig.cli.optimize import command
from edgebig.graph.load import load_model
from edgebig.records.optimize import OptimizeRecord

TEXT = """<ir_version: 8, opset_import: ["": 17]>
    g (float[N, 3, 8, 8] x) => (float[N, 4, 6, 6] y) {
        i = Identity(x) c = Conv(i, w) n = BatchNormalization(c, s, b, m, v) y = Relu(n) }"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    rng = np.random.default_rng(0)
    model = onnx.parser.parse_model(TEXT)
    shapes = {"w": (4, 3, 3, 3), "s": (4,), "b": (4,), "m": (4,), "v": (4,)}
    for name, shape in shapes.items():
        array = rng.uniform(0.5, 2, shape).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    onnx.save(model, tmp_path / "a.onnx")
    np.savez(tmp_path / "d.npz", x=rng.standard_normal((40, 3, 8, 8)).astype(np.float32))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, ["optimize", *arguments])
    return result.exit_code, result.output


def test_the_help_line_is_the_groups() -> None:
    assert command.get_short_help_str(200) == COMMANDS["optimize"][1]


def test_a_table_for_people(folder: Path) -> None:
    code, output = run("a.onnx", "-o", "b.onnx")
    assert code == 0, output
    for words in (
        "BatchNormalization",
        "FoldAffineAfter",
        "all nodes",
        "random inputs: worst error",
        "Written: b.onnx",
    ):
        assert words in output
    assert max(len(line) for line in output.splitlines()) <= 80
    assert [node.op_type for node in load_model(folder / "b.onnx").graph] == ["Conv", "Relu"]


def test_json_alone_and_beside_the_table(folder: Path) -> None:
    code, output = run("a.onnx", "-o", "b.onnx", "--data", "d.npz", "--json", "-")
    assert code == 0, output
    record = OptimizeRecord.from_json(output)
    assert (record.data, record.feeds) == ("d.npz", 2)
    assert record.nodes_after == {"Conv": 1, "Relu": 1}
    code, output = run("a.onnx", "-o", "c.onnx", "--json", "r.json", "--seed", "3")
    assert code == 0, output
    assert json.loads((folder / "r.json").read_text())["schema"] == "edgebig.optimize"


def test_options_reach_the_library(folder: Path) -> None:
    code, output = run("a.onnx", "-o", "b.onnx", "--opset", "18", "--external-data")
    assert code == 0, output
    assert load_model(folder / "b.onnx").opset_imports[""] == 18
    code, output = run("a.onnx", "-o", "c.onnx", "--tolerance", "0", "--json", "-")
    assert code == 0, output
    # Folding rounds: with no tolerance at all the pass is undone, and the result says so.
    assert list(OptimizeRecord.from_json(output).left_out) == ["FoldAffineAfter"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("none.onnx", "-o", "b.onnx"), 1, "there is no file none.onnx"),
        ((".", "-o", "b.onnx"), 1, "is a folder"),
        (("d.npz", "-o", "b.onnx"), 1, "not a readable ONNX file"),
        (("a.onnx", "-o", "a.onnx"), 1, "is also the input"),
        (("a.onnx", "-o", "a.onnx", "--force"), 1, "is also the input"),
        (("a.onnx", "-o", "./link.onnx", "--force"), 1, "is also the input"),
        (("a.onnx", "-o", "old.onnx"), 1, "exists. Choose another name, or pass --force"),
        (("a.onnx", "-o", "sub/b.onnx"), 1, "does not exist"),
        (("a.onnx", "-o", "."), 1, "is a folder"),
        (("a.onnx", "-o", "b.onnx", "--json", "old.onnx"), 1, "exists"),
        (("a.onnx", "-o", "b.onnx", "--data", "none.npz"), 1, "do not exist"),
        (("a.onnx", "-o", "b.onnx", "--opset", "3"), 2, "cannot be lowered"),
        (("a.onnx", "-o", "b.onnx", "--opset", "0"), 2, "opset"),
        (("a.onnx", "-o", "b.onnx", "--tolerance", "2"), 2, "tolerance must lie in"),
        (("a.onnx",), 2, "--output"),
    ],
)
def test_bad_requests_write_nothing(folder: Path, arguments: tuple[str, ...], code: int, message: str) -> None:
    (folder / "old.onnx").write_text("mine")
    (folder / "link.onnx").symlink_to("a.onnx")
    before = (folder / "a.onnx").read_bytes()
    got, output = run(*arguments)
    assert got == code, output
    assert message in " ".join(output.split())
    assert sorted(path.name for path in folder.iterdir()) == ["a.onnx", "d.npz", "link.onnx", "old.onnx"]
    assert (folder / "a.onnx").read_bytes() == before
    assert (folder / "old.onnx").read_text() == "mine"


def test_force_replaces(folder: Path) -> None:
    (folder / "b.onnx").write_text("mine")
    code, output = run("a.onnx", "-o", "b.onnx", "--force")
    assert code == 0, output
    assert len(load_model(folder / "b.onnx").graph) == 2


def process(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    command_line = [sys.executable, "-B", "-m", "edgebig.cli.main", "optimize", *arguments]
    return subprocess.run(command_line, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]


def test_as_a_process(folder: Path) -> None:
    result = process("a.onnx", "-o", "b.onnx", "--json", "-")
    assert result.returncode == 0, result.stderr
    assert OptimizeRecord.from_json(result.stdout).worst_error < 1e-5
    assert result.stderr == ""
    result = process("d.npz", "-o", "c.onnx")
    assert result.returncode == 1
    assert result.stderr.startswith("Error: d.npz is not a readable ONNX file")
    assert "Traceback" not in result.stderr


def test_a_write_that_the_system_cuts_off(folder: Path) -> None:
    """Weights of 40 kB, and files may have 30 kB: the copy for onnxruntime cannot be written, nor could the result."""
    model = onnx.load("a.onnx")
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(np.ones((4, 3, 30, 30), np.float32), "w"))
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 32
    model.graph.input[0].type.tensor_type.shape.dim[3].dim_value = 32
    del model.graph.output[0].type.tensor_type.shape.dim[:]
    onnx.save(model, "wide.onnx")
    scratch = folder / "scratch"
    scratch.mkdir()

    def limit() -> None:
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))

    result = process("wide.onnx", "-o", "scratch/b.onnx", preexec_fn=limit, env={**os.environ, "TMPDIR": str(scratch)})
    assert result.returncode == 1
    assert "cannot be written into" in result.stderr
    assert "Traceback" not in result.stderr
    # onnxruntime may leave a file of its own there.
    assert [path.name for path in scratch.iterdir() if "edgebig" in path.name or "onnx" in path.name] == []
