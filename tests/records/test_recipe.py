"""A recipe's form: what is refused, and in which words."""

from pathlib import Path

import pytest

from edgebig.errors import UsageError
from edgebig.records.recipe import read_recipe

GOOD = """
name = "thing"
data = "samples.npz"
[[step]]
use = "export"
source = "model.py:build"
[[step]]
use = "quantize"
name = "int8"
[[step]]
use = "evaluate"
models = ["export", "int8"]
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text)
    return path


def test_reads_steps_in_order_with_names_and_options(tmp_path: Path) -> None:
    recipe = read_recipe(write(tmp_path, GOOD))
    assert (recipe.name, recipe.data, recipe.task, recipe.model) == ("thing", "samples.npz", None, None)
    assert [step.name for step in recipe.steps] == ["export", "int8", "evaluate"]
    assert recipe.steps[0].options == {"source": "model.py:build"}
    assert recipe.steps[2].models == ("export", "int8")
    assert recipe.folder == tmp_path


def test_name_defaults_to_the_folder(tmp_path: Path) -> None:
    assert read_recipe(write(tmp_path, '[[step]]\nuse = "export"')).name == tmp_path.name


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name = ", "not valid TOML"),
        ('nmae = "x"\n[[step]]\nuse = "export"', "unknown key 'nmae'"),
        ('name = "x"', "at least one [[step]]"),
        ("step = 3", "at least one [[step]]"),
        ('data = 3\n[[step]]\nuse = "export"', "data must be a text"),
        ('[[step]]\nsource = "x"', "needs use"),
        ('[[step]]\nuse = "export"\nname = "../x"', "name must be letters"),
        ('[[step]]\nuse = "export"\nname = ".."', "name must be letters"),
        ('[[step]]\nuse = "export"\n[[step]]\nuse = "export"', "the name 'export' is taken"),
        ('[[step]]\nuse = "export"\ninput = "later"', "no step 'later' before it"),
        ('[[step]]\nuse = "evaluate"\nmodels = "export"', "models must be a list"),
        ('[[step]]\nuse = "export"\nname = "model"', "the name 'model' is taken"),
    ],
)
def test_refuses_a_wrong_form_in_words(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UsageError) as error:
        read_recipe(write(tmp_path, text))
    assert words in str(error.value)
    assert "recipe.toml" in str(error.value)


def test_refuses_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no recipe"):
        read_recipe(tmp_path / "none.toml")
