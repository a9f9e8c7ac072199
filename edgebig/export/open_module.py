"""From complete options, or a module in memory, to a torch model with its weights."""

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgebig.data.callables import load_callable
from edgebig.dependencies import require
from edgebig.errors import UsageError
from edgebig.export.pt2 import load_program
from edgebig.export.torch_model import TorchModel
from edgebig.export.trace_watch import first_line
from edgebig.export.weights import load_weights
from edgebig.records.export import ExportOptions

if TYPE_CHECKING:
    import torch


def open_torch_model(source: Any, options: ExportOptions) -> TorchModel:
    """Build the module in eval mode on the CPU, and load its weights.

    Args:
        source: The module itself, where `options.source` is None. It stays as it is.
        options: Complete options (see `edgebig.export.source.complete_options`).

    Raises:
        MissingDependencyError: torch is not installed.
        UsageError: The factory fails, or what it returns is no module.
        InvalidModelError: The `.pt2` file cannot be loaded.
        InvalidDataError: The weights do not fit.
    """
    require("torch", extra="torch", purpose="edgebig export")
    if options.source is None:
        module, where = _own_copy(source, weights=options.weights is not None), type(source).__name__
    elif Path(options.source).suffix == ".pt2":
        return _open_program(Path(options.source), options)
    else:
        module, where = _build(options.source), options.source
    if options.weights is not None:
        load_weights(module, Path(options.weights))
    return TorchModel(module.cpu().eval(), where=where)


def _open_program(path: Path, options: ExportOptions) -> TorchModel:
    if options.weights is not None:
        raise UsageError(f"{path} holds its weights: leave --weights out")
    program = load_program(path)
    # Its guards are dropped when it is loaded; without them the module checks the ranges of its axes only.
    return TorchModel(program.module(check_guards=False), where=str(path), program=program)


def _build(source: str) -> "torch.nn.Module":
    factory = load_callable(source, purpose="source")
    try:
        module = factory()
    except Exception as e:  # the user's code may fail in any way
        raise UsageError(f"source {source}: calling it failed: {type(e).__name__}: {first_line(e)}") from e
    return _check_module(module, f"source {source} returned")


def _own_copy(module: Any, *, weights: bool) -> "torch.nn.Module":
    """The user's module, or a copy where exporting it would change it."""
    checked = _check_module(module, "the source is")
    training = any(part.training for part in checked.modules())
    elsewhere = any(tensor.device.type != "cpu" for tensor in checked.state_dict().values())
    return copy.deepcopy(checked) if training or elsewhere or weights else checked


def _check_module(module: Any, what: str) -> "torch.nn.Module":
    import torch

    if isinstance(module, torch.jit.ScriptModule):
        raise UsageError(f"{what} a TorchScript module. Give the torch.nn.Module that it was made from.")
    if not isinstance(module, torch.nn.Module):
        raise UsageError(f"{what} {type(module).__name__}. It must be a torch.nn.Module.")
    return module
