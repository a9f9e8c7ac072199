"""A recipe is checked whole before any work starts."""

from pathlib import Path

import pytest

from edgebig.errors import UsageError
from edgebig.pipeline.plan import plan, with_sources
from edgebig.records.recipe import read_recipe
from tests.small_models import write_conv_net

TASK = "def task():\n    return [], [], 'top1'\n"


def planned(folder: Path, text: str) -> tuple:
    path = folder / "recipe.toml"
    path.write_text(text)
    return plan(with_sources(read_recipe(path), model=None, data=None, task=None))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_conv_net(tmp_path)
    (tmp_path / "task.py").write_text(TASK)
    return tmp_path


HEAD = 'model = "conv_net.onnx"\ndata = "samples.npz"\ntask = "task.py:task"\n'


def test_inputs_default_to_the_model_before(folder: Path) -> None:
    steps = planned(
        folder,
        HEAD
        + """
        [[step]]
        use = "optimize"
        name = "float"
        [[step]]
        use = "prune"
        sparsity = 0.5
        [[step]]
        use = "quantize"
        [[step]]
        use = "quantize"
        name = "dense"
        input = "float"
        [[step]]
        use = "evaluate"
        """,
    )
    assert [step.input for step in steps] == ["model", "float", "prune", "float", None]
    assert steps[-1].models == ("model", "float", "prune", "quantize", "dense")
    assert steps[1].options.sparsity == 0.5


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            '[[step]]\nuse = "shrink"',
            "unknown step 'shrink'. Known: export, optimize, prune, quantize, evaluate, bench",
        ),
        ('[[step]]\nuse = "prune"\nsparsty = 0.5', "unknown option 'sparsty'. Did you mean 'sparsity'?"),
        ('[[step]]\nuse = "prune"\nsparsity = "half"', "sparsity"),
        ('[[step]]\nuse = "prune"\nsparsity = 1.5', "1.5"),
        ('[[step]]\nuse = "evaluate"', "no step makes a model"),
        ('[[step]]\nuse = "export"\nsource = "gone.py:build"', "there is no file"),
        ('[[step]]\nuse = "export"\nsource = "task.py:build"', "no callable 'build'"),
        ('[[step]]\nuse = "export"\nsource = "task.py:task"\nweights = "gone.safetensors"', "gone.safetensors"),
    ],
)
def test_refuses_a_wrong_step_before_work_starts(folder: Path, text: str, words: str) -> None:
    with pytest.raises(UsageError) as error:
        planned(folder, HEAD + text)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("head", "use", "words"),
    [
        ('model = "conv_net.onnx"', "quantize", "needs samples"),
        ('data = "samples.npz"', "quantize", "no model before it"),
        ('model = "conv_net.onnx"\n[[step]]\nuse = "optimize"', "evaluate", "needs a task"),
        ('model = "gone.onnx"', "optimize", "there is no"),
        ('model = "conv_net.onnx"\ndata = "gone.npz"', "quantize", "gone.npz"),
        ('model = "conv_net.onnx"\ntask = "gone.py:task"', "optimize", "gone.py"),
    ],
)
def test_refuses_what_is_missing(folder: Path, head: str, use: str, words: str) -> None:
    with pytest.raises(UsageError) as error:
        planned(folder, f'{head}\n[[step]]\nuse = "{use}"\nname = "last"')
    assert words in str(error.value)
