"""Modules as functions of named arrays: outputs, weights, sources."""

import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from edgebig.errors import InvalidDataError, MissingDependencyError, UsageError
from edgebig.export.open_module import open_torch_model
from edgebig.export.outputs import flatten_outputs
from edgebig.export.torch_model import ForwardError, TorchModel
from edgebig.export.weights import load_weights
from edgebig.records.export import ExportOptions

Pair = namedtuple("Pair", "first second")


class Returns(nn.Module):
    """Returns what it is given, in the structure it is made with."""

    def __init__(self, build: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.build = build

    def forward(self, x: torch.Tensor) -> Any:
        return self.build(x)


@pytest.mark.parametrize(
    ("build", "names"),
    [
        (lambda x: x, ["output"]),
        (lambda x: (x, x), ["output_0", "output_1"]),
        (lambda x: [x, None, (x,)], ["output_0", "output_2_0"]),
        (lambda x: {"logits": x, "aux": (x, {"deep": x})}, ["logits", "aux_0", "aux_1_deep"]),
        (lambda x: Pair(x, x), ["first", "second"]),
        (lambda x: {"a b": x, "a/b": x}, ["a_b", "a_b_"]),
    ],
)
def test_outputs_are_named_by_the_structure(build: Callable[[torch.Tensor], Any], names: list[str]) -> None:
    assert [name for name, _ in flatten_outputs(build(torch.ones(2)), where="m")] == names


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"n": 3}, "returns int '3' as 'n'"),
        ((torch.ones(1), "text"), "str 'text'"),
        (None, "no tensor"),
        ((), "no tensor"),
    ],
)
def test_outputs_that_are_no_tensors_are_refused(value: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        flatten_outputs(value, where="m")


def test_names_of_outputs_can_be_given_and_never_clash_with_inputs() -> None:
    model = TorchModel(Returns(lambda x: {"x": x, "y": x}), where="m")
    model.bind(["x"])
    feed = {"x": np.ones(2, np.float32)}
    assert model.name_outputs([], feed) == ("x_out", "y")
    assert model.name_outputs(["a", "b"], feed) == ("a", "b")
    assert list(model.run(feed)) == ["a", "b"]
    with pytest.raises(UsageError, match=r"1 names of outputs are given, forward returns 2"):
        model.name_outputs(["a"], feed)
    with pytest.raises(UsageError, match="'x' is also an input's"):
        model.name_outputs(["a", "x"], feed)


def test_a_module_that_raises_is_quoted_with_the_line_of_its_code(make: Callable[[str], Any]) -> None:
    model = TorchModel(make("Positions"), where="m")
    model.bind(["x"])
    with pytest.raises(ForwardError, match=r"must match the size.*\(at modules.py:\d+: return x \+ self.table\)"):
        model.run({"x": np.ones((2, 3, 4), np.float32)})


def test_hooks_run_too() -> None:
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(3, 2, bias=False))
    layer.register_forward_hook(lambda module, args, output: output + 1)
    model = TorchModel(layer, where="m")
    model.bind(["input"])
    found = model.run({"input": np.zeros((1, 3), np.float32)})
    assert found["output"].tolist() == [[1, 1]]


def test_the_flattened_form_ends_with_the_block(make: Callable[[str], Any]) -> None:
    module = make("Difference")
    model = TorchModel(module, where="m")
    model.bind(["right", "left"])
    assert model.inputs == ("left", "right")
    with model.flattened() as flat:
        (difference,) = flat(torch.tensor(5.0), torch.tensor(2.0))
    assert difference.item() == 1
    assert "forward" not in vars(module)


def test_weights_are_copied_by_name(make: Callable[[str], Any], tmp_path: Path) -> None:
    source, target = make("ConvNet"), make("ConvNet")
    save_file(source.state_dict(), tmp_path / "w.safetensors")
    load_weights(target, tmp_path / "w.safetensors")
    for name, tensor in source.state_dict().items():
        assert torch.equal(tensor, target.state_dict()[name]), name


def test_tied_weights_are_stored_once(make: Callable[[str], Any], tmp_path: Path) -> None:
    module = make("Tied")
    save_file({"words.weight": torch.full((10, 4), 2.0)}, tmp_path / "w.safetensors")
    load_weights(module, tmp_path / "w.safetensors")
    assert module.head.weight is module.words.weight
    assert module.head.weight.unique().tolist() == [2.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("head.bias"), r"missing: head.bias\."),
        (lambda w: w.update({"extra": torch.ones(1)}), r"not in the module: extra\."),
        (lambda w: w.update({"head.bias": torch.ones(4)}), r"head.bias is \[4\] in the file, \[5\] in the module"),
        (lambda w: [w.pop(name) for name in list(w)[:8]], r"missing: .*, and 3 more"),
    ],
)
def test_weights_that_do_not_fit_name_the_keys(
    make: Callable[[str], Any], tmp_path: Path, change: Callable[[dict[str, torch.Tensor]], Any], message: str
) -> None:
    weights = make("ConvNet").state_dict()
    change(weights)
    save_file(weights, tmp_path / "w.safetensors")
    with pytest.raises(InvalidDataError, match=message):
        load_weights(make("ConvNet"), tmp_path / "w.safetensors")


@pytest.mark.parametrize("content", [b"", b"hello", None])
def test_a_damaged_weights_file_is_one_message(
    make: Callable[[str], Any], tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "w.safetensors"
    save_file(make("ConvNet").state_dict(), path)
    path.write_bytes(path.read_bytes()[:-4] if content is None else content)
    with pytest.raises(InvalidDataError, match="not a readable safetensors file"):
        load_weights(make("ConvNet"), path)


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("no_module", "returned str. It must be a torch.nn.Module"),
        ("broken", "calling it failed: RuntimeError: no such checkpoint"),
        ("nothing", "has no callable 'nothing'. Callables there: .*conv_net"),
        ("ConvNet", None),
    ],
)
def test_factories(modules: Path, factory: str, message: str | None) -> None:
    options = ExportOptions(source=f"{modules}:{factory}")
    if message is None:
        assert not open_torch_model(options.source, options).module.training
        return
    with pytest.raises(UsageError, match=message):
        open_torch_model(options.source, options)


def test_a_module_in_memory_stays_as_it_is(make: Callable[[str], Any], tmp_path: Path) -> None:
    module = make("ConvNet").train()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    save_file(make("ConvNet").state_dict(), tmp_path / "w.safetensors")
    opened = open_torch_model(module, ExportOptions(weights=str(tmp_path / "w.safetensors")))
    assert module.training
    assert not opened.module.training
    assert all(torch.equal(tensor, module.state_dict()[name]) for name, tensor in before.items())
    ready = make("ConvNet").eval()
    assert open_torch_model(ready, ExportOptions()).module is ready  # nothing to change: no copy


def test_torchscript_is_refused_with_what_to_give(make: Callable[[str], Any]) -> None:
    scripted = torch.jit.trace(make("Difference"), (torch.ones(1), torch.ones(1)))
    with pytest.raises(UsageError, match=r"Give the torch.nn.Module that it was made from"):
        open_torch_model(scripted, ExportOptions())


def test_without_torch_the_install_line_is_named(modules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "edgebig\[torch\]"'):
        open_torch_model("x", ExportOptions(source=f"{modules}:conv_net"))


def test_importing_the_verb_does_not_import_torch() -> None:
    code = "import sys, edgebig.export, edgebig.cli.export; print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
