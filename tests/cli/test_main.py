"""The command group: help that costs nothing, errors in one message, exit codes, ctrl-C."""

import importlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from edgebig import __version__
from edgebig.cli import main as main_module
from edgebig.cli.main import COMMANDS, cli, main
from edgebig.errors import EdgebigError, QualityGateError, UsageError
from tests.bench.models import DOUBLE, write

HEAVY = ("torch", "numba", "onnx", "onnx_ir", "onnxruntime", "onnxscript", "numpy", "scipy", "rich", "msgspec")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_its_first_line_is_the_tables(name: str) -> None:
    result = CliRunner(env={"COLUMNS": "80"}).invoke(cli, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert max(map(len, result.output.splitlines())) <= 80
    command = importlib.import_module(COMMANDS[name][0]).command
    assert command.name == name
    assert (command.help or "").splitlines()[0] == COMMANDS[name][1]


def test_group_help_lists_every_command() -> None:
    result = CliRunner(env={"COLUMNS": "80"}).invoke(cli, ["--help"])
    assert result.exit_code == 0
    for name, (_, line) in COMMANDS.items():
        assert any(row.split()[:1] == [name] for row in result.output.splitlines())
        assert line.split()[0] in result.output
    assert max(map(len, result.output.splitlines())) <= 80


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["nonsense"]])
def test_the_group_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\n"
        f"sys.argv = ['edgebig', *{arguments!r}]\n"
        "from edgebig.cli.main import main\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        f"    print('loaded:', [name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.stdout.splitlines()[-1] == "loaded: []"


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_needs_no_framework(name: str) -> None:
    code = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from edgebig.cli.main import cli\n"
        f"assert CliRunner().invoke(cli, [{name!r}, '--help']).exit_code == 0\n"
        "print([name for name in ('torch', 'numba', 'onnxruntime') if name in sys.modules])\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.stdout.strip() == "[]", result.stderr


def test_version() -> None:
    assert CliRunner().invoke(cli, ["--version"]).output == f"edgebig, version {__version__}\n"


@pytest.mark.parametrize(("typed", "meant"), [("benhc", "bench"), ("quantise", "quantize"), ("Doctor", "doctor")])
def test_an_unknown_command_suggests_the_near_one(typed: str, meant: str) -> None:
    result = CliRunner().invoke(cli, [typed])
    assert result.exit_code == 2
    assert f"unknown command {typed!r}. Did you mean {meant!r}?" in result.output
    assert f"Known: {', '.join(COMMANDS)}." in result.output


def test_an_unknown_command_like_no_other_lists_all() -> None:
    result = CliRunner().invoke(cli, ["xyzzy"])
    assert result.exit_code == 2
    assert "Did you mean" not in result.output
    assert "Known: export" in result.output


@pytest.mark.parametrize("arguments", [["--nonsense"], ["bench", "m.onnx", "--nonsense"], ["bench"]])
def test_wrong_flags_are_usage_errors(arguments: list[str]) -> None:
    assert CliRunner().invoke(cli, arguments).exit_code == 2


def run_process(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgebig.cli.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["--help"], 0), (["benhc"], 2), (["bench", "--nonsense"], 2), (["bench", "missing.onnx"], 1)],
)
def test_exit_codes_of_a_real_process(arguments: list[str], code: int, tmp_path: Path) -> None:
    result = run_process(arguments, tmp_path)
    assert result.returncode == code
    assert "Traceback" not in result.stderr
    assert (result.stderr == "") == (code == 0)


@pytest.mark.parametrize(
    ("error", "code"), [(EdgebigError("why"), 1), (UsageError("why"), 2), (QualityGateError("why"), 3)]
)
def test_errors_of_the_library_become_one_message_and_a_code(
    error: EdgebigError, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @click.command("failing")
    def command() -> None:
        """Fail."""
        raise error

    failing = type(sys)("failing_command")
    failing.command = command  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "failing_command", failing)
    monkeypatch.setitem(main_module.COMMANDS, "failing", ("failing_command", "Fail."))
    monkeypatch.setattr(sys, "argv", ["edgebig", "failing"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == code
    assert capsys.readouterr().err == "Error: why\n"


def test_a_commands_own_exit_code_reaches_the_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command("failing")
    @click.pass_context
    def command(context: click.Context) -> None:
        """Fail."""
        context.exit(1)

    failing = type(sys)("failing_command")
    failing.command = command  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "failing_command", failing)
    monkeypatch.setitem(main_module.COMMANDS, "failing", ("failing_command", "Fail."))
    monkeypatch.setattr(sys, "argv", ["edgebig", "failing"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1


READY = """
import pathlib
import numpy as np

def feeds():
    pathlib.Path("ready").touch()
    while True:
        yield {"x": np.ones((1, 3), np.float32)}
"""


@pytest.mark.skipif(os.name != "posix", reason="ctrl-C is sent as a signal")
def test_ctrl_c_ends_a_real_process_with_one_line_and_no_output(tmp_path: Path) -> None:
    write(DOUBLE, tmp_path / "m.onnx")
    (tmp_path / "samples.py").write_text(READY)
    before = sorted(path.name for path in tmp_path.iterdir())
    command = [sys.executable, "-m", "edgebig.cli.main", "bench", "m.onnx", "--data", "samples.py:feeds"]
    command += ["--rounds", "1000000", "--time", "600", "--json", "r.json"]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ}
    )
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "ready").exists() and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.05)
        time.sleep(0.7)  # into the warm-up or the rounds
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, errors
    assert output == ""
    assert errors.strip() == "Interrupted. No output was written."
    left = sorted(path.name for path in tmp_path.iterdir() if path.name != "__pycache__")
    assert left == sorted([*before, "ready"])
