"""Writing files: whole or not at all."""

import errno
import hashlib
from pathlib import Path

import pytest

from edgebig.errors import OutputError
from edgebig.files import check_output, replacing, replacing_folder, sha256, write_text


def test_what_may_be_written(tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.write_text("old")
    check_output(tmp_path / "new")
    check_output(old, force=True)
    check_output(tmp_path / "new", inputs=[old, tmp_path / "missing"])


def test_what_may_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, link = tmp_path / "old", tmp_path / "link"
    old.write_text("old")
    link.symlink_to(old)
    for path, force, words in [
        (tmp_path, True, "is a folder"),
        (old, False, "exists.*--force"),
        (tmp_path / "none" / "new", True, "does not exist. Create it: mkdir -p"),
        (Path("/dev/null"), True, "no ordinary file"),
    ]:
        with pytest.raises(OutputError, match=words):
            check_output(path, force=force)
    for path in (old, link, tmp_path / "." / "old"):
        with pytest.raises(OutputError, match="is also the input"):
            check_output(path, force=True, inputs=[old])
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(OutputError, match="not writable"):
        check_output(tmp_path / "new")


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left")])
def test_a_failure_leaves_the_old_file(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    expected = OutputError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected) as caught, replacing(path) as temporary:
        temporary.write_text("half of the n")
        raise error
    if isinstance(error, OSError):
        assert "No space left. Nothing was replaced." in str(caught.value)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_vanishes(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write into"), replacing_folder(tmp_path / "none"):
        pass


def test_text_is_utf8(tmp_path: Path) -> None:
    write_text(tmp_path / "t", "± µs")
    assert (tmp_path / "t").read_bytes() == "± µs".encode()


def test_the_hash_of_files_one_after_the_other(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 3_000_000)
    (tmp_path / "b").write_bytes(b"y")
    assert sha256(tmp_path / "a", tmp_path / "b") == hashlib.sha256(b"x" * 3_000_000 + b"y").hexdigest()
    assert sha256() == hashlib.sha256().hexdigest()
