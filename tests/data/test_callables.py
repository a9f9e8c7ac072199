"""Functions that a user names."""

import sys
from pathlib import Path

import pytest

from edgebig.data.callables import is_callable_spec, load_callable
from edgebig.errors import UsageError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("package.module:name", True),
        ("path/file.py:name", True),
        ("/abs/file.py:_name", True),
        ("file.py", False),
        ("name", False),
        (":name", False),
        ("path/file:name", False),
        ("module:two words", False),
        ("module:", False),
        ("data.npz", False),
    ],
)
def test_the_form(text: str, expected: bool) -> None:
    assert is_callable_spec(text) is expected


def test_modules_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here_only.py").write_text("def f(): return 42\n")
    monkeypatch.chdir(tmp_path)
    assert load_callable("math:sqrt", purpose="--x")(9) == 3
    assert load_callable("here_only:f", purpose="--x")() == 42
    assert load_callable("here_only.py:f", purpose="--x")() == 42
    assert str(tmp_path) not in sys.path


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("nope", "not of the form"),
        ("no_such_module:f", "importing 'no_such_module' failed: ModuleNotFoundError"),
        ("none.py:f", "there is no file none.py"),
        ("math:pi", "no callable 'pi'. Callables there: .*sqrt"),
    ],
)
def test_what_cannot_be_loaded(spec: str, words: str) -> None:
    with pytest.raises(UsageError, match=f"--x: .*{words}"):
        load_callable(spec, purpose="--x")


def test_a_file_that_fails_can_be_mended(tmp_path: Path) -> None:
    file = tmp_path / "m.py"
    file.write_text("import sys\nsys.exit('enough')\n")
    with pytest.raises(UsageError, match="SystemExit: enough"):
        load_callable(f"{file}:f", purpose="--x")
    file.write_text("def f(): return 1\n# longer, so that no cached bytecode is taken for it\n")
    assert load_callable(f"{file}:f", purpose="--x")() == 1


def test_files_of_the_same_name_and_their_siblings(tmp_path: Path) -> None:
    """a/model.py and b/model.py each import their own parts.py and their own package."""
    for name in ("a", "b"):
        (tmp_path / name / "layers").mkdir(parents=True)
        (tmp_path / name / "parts.py").write_text(f"NAME = {name!r}\n")
        (tmp_path / name / "layers" / "__init__.py").write_text("from layers.deep import NAME\n")
        (tmp_path / name / "layers" / "deep.py").write_text(f"NAME = {name!r}\n")
        (tmp_path / name / "model.py").write_text("import parts, layers\ndef f(): return parts.NAME + layers.NAME\n")
    assert load_callable(f"{tmp_path / 'a' / 'model.py'}:f", purpose="--x")() == "aa"
    assert load_callable(f"{tmp_path / 'b' / 'model.py'}:f", purpose="--x")() == "bb"
    assert load_callable(f"{tmp_path / 'a' / 'model.py'}:f", purpose="--x")() == "aa"
