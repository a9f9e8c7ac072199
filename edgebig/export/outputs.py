"""What a module returns, as named arrays: tensors, tuples, dicts and their nests, flattened."""

import re
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgebig.errors import UsageError

if TYPE_CHECKING:
    import torch


def flatten_outputs(tree: Any, *, where: str) -> list[tuple[str, "torch.Tensor"]]:
    """Name the tensors in what a module returned, in torch's own order.

    A single tensor is "output", entries of a tuple are "output_0", "output_1", entries of a dict have their key, and
    nests are joined with "_". None is left out.

    Raises:
        UsageError: Something else than a tensor is in it, or there is no tensor.
    """
    import torch
    from torch.utils import _pytree

    tensors: list[tuple[str, torch.Tensor]] = []
    taken: set[str] = set()
    for path, leaf in _pytree.tree_flatten_with_path(tree)[0]:
        if leaf is None:
            continue
        name = _name([_key(entry) for entry in path])
        if not isinstance(leaf, torch.Tensor):
            raise UsageError(
                f"{where}: forward returns {type(leaf).__name__} {str(leaf)[:40]!r} as {name!r}. A model for export "
                "returns tensors, or tuples and dicts of them."
            )
        while name in taken:
            name += "_"
        taken.add(name)
        tensors.append((name, leaf))
    if not tensors:
        raise UsageError(f"{where}: forward returns no tensor")
    return tensors


def to_array(tensor: "torch.Tensor", *, where: str) -> NDArray:
    """A tensor's values as a NumPy array (bfloat16, which NumPy lacks, as float32).

    Raises:
        UsageError: Its kind has no array, e.g. sparse.
    """
    import torch

    tensor = tensor.detach().cpu()
    try:
        return np.asarray(tensor.float() if tensor.dtype == torch.bfloat16 else tensor.resolve_conj().numpy())
    except (TypeError, RuntimeError) as e:
        raise UsageError(f"{where}: an output of dtype {tensor.dtype} and layout {tensor.layout} has no array") from e


def _key(entry: Any) -> str:
    for attribute in ("key", "name", "idx"):
        if hasattr(entry, attribute):
            return str(getattr(entry, attribute))
    return str(entry)


def _name(keys: list[str]) -> str:
    keys = [re.sub(r"\W+", "_", key) for key in keys]
    if not keys or keys[0].isdigit():
        keys = ["output", *keys]
    return "_".join(keys)
