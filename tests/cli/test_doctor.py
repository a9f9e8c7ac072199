"""`edgebig doctor` as a command."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgebig.cli.main import cli
from edgebig.records.doctor import DoctorRecord
from edgebig.runtime import Cache
from tests.bench.test_doctor import RUNTIME


def test_a_table_for_people_fits_eighty_columns() -> None:
    result = CliRunner(env={"COLUMNS": "80"}).invoke(cli, ["doctor"])
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.split()[:2] == ["CPUExecutionProvider", "yes"] for line in lines)
    assert any(line.startswith("int8") for line in lines)
    assert any(line.split()[:1] == ["numpy"] for line in lines)


def test_json(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["doctor", "--json", "-"])
    assert result.exit_code == 0, result.output
    assert DoctorRecord.from_json(result.stdout).usable
    taken = tmp_path / "r.json"
    taken.write_text("mine")
    assert CliRunner().invoke(cli, ["doctor", "--json", str(taken)]).exit_code == 1
    assert taken.read_text() == "mine"


def test_kernels_and_their_cache_are_shown_and_cleared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEBIG_CACHE", str(tmp_path))
    monkeypatch.setattr("edgebig.bench.doctor.examine_runtime", lambda: RUNTIME)
    Cache().put("verdict", "key", {"faster": True})
    result = CliRunner(env={"COLUMNS": "80"}).invoke(cli, ["doctor"])
    assert result.exit_code == 0, result.output
    assert any(line.split()[:2] == ["kernels", "run,"] for line in result.output.splitlines())
    assert any(line.split()[:3] == ["cache", "1", "entries,"] for line in result.output.splitlines())
    assert str(tmp_path)[:20] in result.output
    result = CliRunner().invoke(cli, ["doctor", "--clear-cache", "--json", "-"])
    assert result.exit_code == 0, result.output
    assert f"Cleared {tmp_path}: " in result.stderr
    record = DoctorRecord.from_json(result.stdout)
    assert record.cache is not None
    assert (record.cache.folder, record.cache.entries) == (str(tmp_path), 0)
    assert record.kernels is not None
    assert record.kernels.products
    assert Cache().get("verdict", "key") is None


BLOCKED = """
import runpy, sys
sys.argv = {argv!r}
for name in {names!r}:
    sys.modules[name] = None  # importing it now fails as if it were not installed
runpy.run_module({module!r}, run_name="__main__")
"""


def test_without_onnxruntime_it_says_so_and_exits_with_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgebig.bench.installed_runtime.runtime_distributions", lambda: ())
    monkeypatch.setattr(
        "edgebig.bench.installed_runtime.run_probe",
        lambda *_: (None, "ModuleNotFoundError: No module named 'onnxruntime'"),
    )
    result = CliRunner(env={"COLUMNS": "80"}).invoke(cli, ["doctor"])
    assert result.exit_code == 1
    assert "Problem: onnxruntime is not installed." in result.output
    assert 'pip install "edgebig[cpu]"' in result.output


@pytest.mark.parametrize("names", [["onnx", "onnx_ir", "numpy", "numba", "onnxscript"]])
def test_a_real_process_runs_where_the_core_is_missing(names: list[str]) -> None:
    """The doctor itself needs none of what it looks for."""
    code = BLOCKED.format(argv=["edgebig", "doctor", "--json", "-"], names=names, module="edgebig.cli.main")
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert DoctorRecord.from_json(result.stdout).runtime.version
