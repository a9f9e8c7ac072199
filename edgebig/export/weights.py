"""Load a `.safetensors` file into a module, every key and every shape matching."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgebig.dependencies import require
from edgebig.errors import InvalidDataError

if TYPE_CHECKING:
    import torch

# How many keys a message lists.
_LISTED = 5


def load_weights(module: "torch.nn.Module", path: Path) -> None:
    """Copy the weights of a file into a module.

    A key may be missing where its tensor shares memory with one that is there (tied weights are stored once).

    Raises:
        InvalidDataError: Not safetensors, truncated, or other keys or shapes than the module's.
    """
    weights = _read(path)
    wanted = module.state_dict(keep_vars=True)
    loaded = {wanted[key].data_ptr() for key in weights.keys() & wanted.keys() if wanted[key].numel()}
    missing = [key for key in wanted if key not in weights and wanted[key].data_ptr() not in loaded]
    unexpected = [key for key in weights if key not in wanted]
    shapes = [
        f"{key} is {list(weights[key].shape)} in the file, {list(wanted[key].shape)} in the module"
        for key in weights
        if key in wanted and weights[key].shape != wanted[key].shape
    ]
    problems = [
        f"{what}: {_listed(keys)}"
        for what, keys in (("missing", missing), ("not in the module", unexpected), ("other shapes", shapes))
        if keys
    ]
    if problems:
        raise InvalidDataError(f"weights {path} do not fit the module. {'. '.join(problems)}.")
    module.load_state_dict(weights, strict=False)


def _read(path: Path) -> dict[str, Any]:
    require("safetensors", extra="torch", purpose="loading weights")
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError) as e:
        raise InvalidDataError(
            f"weights {path} are not a readable safetensors file (truncated, or another format): {e}. "
            "Convert a state dict with safetensors.torch.save_file(module.state_dict(), path)."
        ) from e


def _listed(items: list[str]) -> str:
    rest = f", and {len(items) - _LISTED} more" if len(items) > _LISTED else ""
    return ", ".join(items[:_LISTED]) + rest
