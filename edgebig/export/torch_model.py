"""A torch module seen as a function from named arrays to named arrays."""

import inspect
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgebig.data.feeds import Feed
from edgebig.errors import UsageError
from edgebig.export.outputs import flatten_outputs, to_array
from edgebig.export.signature import Binding, bind
from edgebig.export.trace_watch import first_line, user_line

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram


class ForwardError(UsageError):
    """The torch module raised on a feed."""


class TorchModel:
    """A module in eval mode, or an exported program.

    Args:
        module: The module; for a program, the one it runs as.
        where: Its name, for messages.
        program: The exported program; None for a module.
    """

    def __init__(self, module: "torch.nn.Module", *, where: str, program: "ExportedProgram | None" = None) -> None:
        self.module = module
        self.where = where
        self.program = program
        self._binding = Binding((), 0)
        self._renamed: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What the graph is called: the module's class, or the program's file."""
        return type(self.module).__name__ if self.program is None else Path(self.where).stem

    @property
    def inputs(self) -> tuple[str, ...]:
        """The inputs' names, in the module's order."""
        return self._binding.names

    def bind(self, names: Sequence[str]) -> None:
        """Decide which input goes to which parameter.

        Raises:
            UsageError: The names do not fit the module; see `edgebig.export.signature.bind`.
        """
        if self.program is None:
            self._binding = bind(inspect.signature(self.module.forward), names, where=self.where)
        else:
            self._binding = Binding(tuple(names), len(names))

    def name_outputs(self, names: Sequence[str], feed: Feed) -> tuple[str, ...]:
        """Settle the outputs' names.

        Args:
            names: The user's, in order; empty for those that the structure gives.
            feed: A feed to find the structure with.

        Raises:
            UsageError: Another number of names than of outputs, or an output named like an input.
            ForwardError: The module raises.
        """
        found = tuple(self.run(feed))
        if names and len(names) != len(found):
            raise UsageError(
                f"{self.where}: {len(names)} names of outputs are given, forward returns {len(found)}: "
                f"{', '.join(found)}"
            )
        clash = sorted(set(names) & set(self.inputs))
        if clash:
            raise UsageError(f"{self.where}: the output name {clash[0]!r} is also an input's")
        self._renamed = tuple(names) or tuple(name + "_out" if name in self.inputs else name for name in found)
        return self._renamed

    def run(self, feed: Mapping[str, NDArray], *, module: "torch.nn.Module | None" = None) -> dict[str, NDArray]:
        """Run on arrays.

        Args:
            feed: Input name -> array; each becomes a tensor of its own.
            module: Another module of the same form in place of this one, e.g. a copy in double precision.

        Raises:
            ForwardError: The module raises.
            UsageError: It returns something else than tensors.
        """
        import torch

        tensors = [torch.from_numpy(np.array(feed[name])) for name in self.inputs]
        try:
            with torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = self._call(module or self.module, tensors)  # not its forward: hooks may make weights
        except Exception as e:  # the user's code may fail in any way
            line = user_line(traceback.extract_tb(e.__traceback__))
            place = f" (at {line})" if line else ""
            raise ForwardError(f"{type(e).__name__}: {first_line(e)}{place}") from e
        outputs = {name: to_array(t, where=self.where) for name, t in flatten_outputs(tree, where=self.where)}
        if self._renamed and len(self._renamed) != len(outputs):
            raise ForwardError(f"forward returns {len(outputs)} outputs here and {len(self._renamed)} elsewhere")
        return dict(zip(self._renamed, outputs.values(), strict=True)) if self._renamed else outputs

    def parameters(self) -> int:
        """How many numbers the module's parameters hold."""
        return sum(parameter.numel() for parameter in self.module.parameters())

    def program_example(self, names: Sequence[str]) -> Feed | None:
        """The inputs that a program was exported with, where its file keeps them; None for a module."""
        from torch.utils import _pytree

        if self.program is None or self.program.example_inputs is None:
            return None
        leaves = _pytree.tree_leaves(self.program.example_inputs)
        return {name: to_array(leaf, where=self.where) for name, leaf in zip(names, leaves, strict=True)}

    @contextmanager
    def flattened(self) -> Iterator["torch.nn.Module"]:
        """The module, its `forward` taking the inputs by position and returning a tuple of tensors, inside the block.

        Both exporters then see one plain form, and parameters keep their names, which a wrapping module would change.
        """
        forward = self.module.forward

        def flat(*tensors: "torch.Tensor") -> tuple["torch.Tensor", ...]:
            tree = self._call(forward, tensors)
            return tuple(tensor for _, tensor in flatten_outputs(tree, where=self.where))

        own = "forward" in vars(self.module)
        self.module.forward = flat
        try:
            yield self.module
        finally:
            if own:
                self.module.forward = forward
            else:
                del self.module.forward

    def _call(self, forward: Callable[..., Any], tensors: Sequence["torch.Tensor"]) -> Any:
        if self.program is not None:
            from torch.utils import _pytree

            positional, named = _pytree.tree_unflatten(list(tensors), self.program.call_spec.in_spec)
        else:
            positional, named = self._binding.arguments(tensors)
        return forward(*positional, **named)
