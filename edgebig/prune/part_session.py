"""Run the part of a model that some of its values depend on."""

from collections.abc import Sequence
from typing import Self

import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes.common import RemoveUnusedNodesPass

from edgebig.data.feeds import Feed
from edgebig.graph.edit import expose_outputs
from edgebig.graph.session import Session


class PartSession:
    """Gives named values of a model; what they do not depend on is not run, and inputs come from the feed.

    Args:
        model: The model; it stays as it is.
        names: The values wanted.
        threads: Threads within an operator; 0 leaves the choice to onnxruntime.
    """

    def __init__(self, model: ir.Model, names: Sequence[str], threads: int) -> None:
        inputs = {value.name for value in model.graph.inputs}
        self._given = [name for name in names if name in inputs]
        self._session: Session | None = None
        if computed := [name for name in names if name not in inputs]:
            part = expose_outputs(model, computed)
            RemoveUnusedNodesPass()(part)
            self._session = Session(part, threads=threads)

    def run(self, feed: Feed) -> dict[str, NDArray]:
        """The wanted values for one feed, by name."""
        values = {name: feed[name] for name in self._given}
        return values if self._session is None else values | self._session.run(feed)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._session = None
