"""Tasks: how they are found, and what a wrong one is told."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebig.errors import EdgebigError, InvalidDataError, UnknownNameError, UsageError
from edgebig.evaluate import load_task
from edgebig.evaluate.task import resolve_metric
from edgebig.metrics import MetricValue

GOOD = """
import numpy as np
def task():
    return [{"x": np.eye(3, dtype=np.float32)}], np.arange(3), "top1"
def generated():
    return ({"x": np.eye(3, dtype=np.float32)} for _ in range(2)), np.tile(np.arange(3), 2), "top1"
"""


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_file_and_its_function(tmp_path: Path) -> None:
    file = write(tmp_path / "t.py", GOOD)
    task = load_task(f"{file}:task")
    assert task.name == f"{file}:task"
    assert task.files == (file,)
    outputs = [{"y": feed["x"]} for feed in task.feeds]
    assert task.metric(outputs, task.labels).value == 1.0
    assert len(load_task(f"{file}:generated").feeds) == 2


def test_a_name_under_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "models" / "toy" / "task.py", GOOD)
    monkeypatch.chdir(tmp_path)
    task = load_task("toy")
    assert task.name == "toy"
    assert task.files == (Path("models/toy/task.py"),)
    with pytest.raises(UnknownNameError, match=r"unknown task 'tyo'. Known: toy, .*fashion_mobilenet"):
        load_task("tyo")


def test_the_repositorys_own_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    task = load_task("fashion_mobilenet")
    assert sum(len(feed["image"]) for feed in task.feeds) == len(task.labels) == 2000


@pytest.mark.parametrize(
    ("text", "function", "error", "words"),
    [
        ("def task(): return 1, 2", "task", InvalidDataError, r"must return \(feeds, labels, metric\)"),
        ("def task(): return [], 2, 'accuracy'", "task", UnknownNameError, "unknown metric 'accuracy'.*Known: top1"),
        ("def task(): return [], 2, 3", "task", UsageError, "a metric is a name or a function"),
        ("def task(): return 5, 2, 'top1'", "task", InvalidDataError, "its feeds are int"),
        ("def task(): return 1 / 0", "task", UsageError, "failed with ZeroDivisionError"),
        ("def task(): pass", "tusk", UsageError, "no callable 'tusk'. Callables there: task"),
        ("def task(:", "task", UsageError, "SyntaxError"),
        ("raise SystemExit(3)", "task", UsageError, "SystemExit"),
    ],
)
def test_wrong_tasks(tmp_path: Path, text: str, function: str, error: type[EdgebigError], words: str) -> None:
    file = write(tmp_path / "t.py", text)
    with pytest.raises(error, match=words):
        load_task(f"{file}:{function}")


def test_a_file_without_a_function_is_told_how() -> None:
    with pytest.raises(UsageError, match=r"somewhere/t\.py:task"):
        load_task("somewhere/t.py")


def test_a_metric_of_another_output() -> None:
    outputs = [{"a": np.eye(2), "b": 1 - np.eye(2)}]
    assert resolve_metric("top1")(outputs, [0, 1]).value == 1.0
    assert resolve_metric("top1:b")(outputs, [0, 1]).value == 0.0
    with pytest.raises(InvalidDataError, match="no output 'c'"):
        resolve_metric("top1:c")(outputs, [0, 1])


def test_a_metric_of_ones_own() -> None:
    def loss(outputs: Any, labels: Any) -> MetricValue:
        return MetricValue(name="loss", value=3.0, n=2, higher_is_better=False)

    assert resolve_metric(loss)([], []).score == -3.0
    value = resolve_metric(lambda outputs, labels: np.float32(0.5))([{}, {}], [1, 2, 3])
    assert (value.value, value.n, value.standard_error, value.higher_is_better) == (0.5, 3, None, True)


@pytest.mark.parametrize("result", [None, "good", [1.0, 2.0], np.ones(2), object()])
def test_a_metric_must_give_a_number(result: object) -> None:
    with pytest.raises(UsageError, match="must return a number or a MetricValue"):
        resolve_metric(lambda outputs, labels: result)([], [])


def test_a_metric_that_fails() -> None:
    def broken(outputs: Any, labels: Any) -> float:
        raise RuntimeError("no idea")

    with pytest.raises(UsageError, match="metric broken: it failed with RuntimeError: no idea"):
        resolve_metric(broken)([], [])
