"""SOURCE in the user's words, and the recipes of models."""

from pathlib import Path

import pytest

from edgebig.errors import InvalidDataError, InvalidModelError, UnknownNameError, UsageError
from edgebig.export.source import check_files, complete_options, input_files, without_folders
from edgebig.records.export import ExportOptions

RECIPE = """
name = "tiny"
data = "calibration.npz"

[[step]]
use = "export"
source = "model.py:build"
weights = "weights.safetensors"
sample = "calibration.npz"
dynamic = ["image:0=batch"]
opset = 18

[[step]]
use = "optimize"
"""


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model folder under models/ of the working folder."""
    folder = tmp_path / "models" / "tiny"
    folder.mkdir(parents=True)
    (folder / "recipe.toml").write_text(RECIPE)
    for name in ("model.py", "weights.safetensors", "calibration.npz"):
        (folder / name).touch()
    monkeypatch.chdir(tmp_path)
    return folder


def test_a_name_takes_the_export_step_of_its_recipe(tiny: Path) -> None:
    options = complete_options("tiny", ExportOptions(opset=20, tolerance=1e-3))
    assert options.source == "models/tiny/model.py:build"
    assert options.weights == "models/tiny/weights.safetensors"
    assert options.sample == "models/tiny/calibration.npz"
    assert options.dynamic == ("image:0=batch",)
    assert (options.opset, options.tolerance) == (20, 1e-3)  # the user's own options win


def test_the_files_an_export_reads(tiny: Path) -> None:
    files = input_files(complete_options("tiny", ExportOptions()))
    assert [file.name for file in files] == ["model.py", "weights.safetensors", "calibration.npz"]


def test_paths_lose_their_folders_where_they_are_written_into_a_model(tiny: Path) -> None:
    options = without_folders(complete_options("tiny", ExportOptions()))
    assert (options.source, options.weights, options.sample) == (
        "model.py:build",
        "weights.safetensors",
        "calibration.npz",
    )
    assert without_folders(ExportOptions(source="package.module:build")).source == "package.module:build"


def test_an_unknown_name_lists_the_models(tiny: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"no model 'tinny'.*mean 'tiny'.*Models there: .*tiny"):
        complete_options("tinny", ExportOptions())


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ('[[step]]\nuse = "optimize"\n', 'no step with use = "export"'),
        ('[[step]]\nuse = "export"\n', "names no source"),
        ('[[step]]\nuse = "export"\nsource = "m.py:b"\nopsett = 1\n', "'opsett'.*mean 'opset'"),
        ('[[step]]\nuse = "export"\nsource = "m.py:b"\ndynamic = ["image"]\n', "INPUT:AXIS=NAME"),
        ('[[step]]\nuse = "export"\nsource = "m.py:b"\nopset = "new"\n', "opset"),
    ],
)
def test_a_wrong_recipe_is_a_usage_error(tiny: Path, recipe: str, message: str) -> None:
    (tiny / "recipe.toml").write_text(recipe)
    with pytest.raises(UsageError, match=message):
        complete_options("tiny", ExportOptions())


def test_a_file_of_weights_alone_is_answered_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pth"
    path.touch()
    with pytest.raises(UsageError, match="give its factory, and the weights with --weights"):
        complete_options(str(path), ExportOptions())


@pytest.mark.parametrize("source", ["folder/model.py", "a/b", "model.py", "x:1y", "a/b:c"])
def test_other_forms_list_the_allowed_ones(source: str) -> None:
    with pytest.raises(UsageError, match=r"package.module:factory, path/file.py:factory, a .pt2 file"):
        complete_options(source, ExportOptions())


def test_files_that_are_not_there_are_named_first(tmp_path: Path) -> None:
    weights = ExportOptions(weights=str(tmp_path / "w.safetensors"))
    with pytest.raises(InvalidDataError, match=r"there is no weights file .*w.safetensors\.$"):
        check_files(weights)
    (tmp_path / "obtain.py").touch()
    with pytest.raises(InvalidDataError, match=r"Run .*obtain.py to get it"):
        check_files(weights)
    with pytest.raises(InvalidDataError, match=r"s.npz does not exist"):
        check_files(ExportOptions(sample=str(tmp_path / "s.npz")))
    with pytest.raises(InvalidModelError, match=r"no file p.pt2"):
        check_files(ExportOptions(source="p.pt2"))
    check_files(ExportOptions(sample=str(tmp_path), source="package.module:build"))


def test_a_module_needs_no_source() -> None:
    assert complete_options(object(), ExportOptions(source="x:y")).source is None
