"""Run a model on one batch and look at many of its intermediate tensors, in place and within a budget of memory."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.data.feeds import Feed
from edgebig.dependencies import require
from edgebig.errors import InvalidModelError
from edgebig.graph.session import Session
from edgebig.quantize.calibrate.stages import Stage, cut_into_stages, stage_model


class StagedRun:
    """Gives wanted tensors of a model for one feed after the other, every node computed once for a feed.

    The tensors are outputs of the sessions: they cannot be optimised away or fused into, so onnxruntime gives the
    values that the graph defines. They are read where onnxruntime put them, without a copy.

    Args:
        model: The model; it stays as it is.
        wanted: Names of results of its top-level nodes.
        sizes: Value name -> its bytes on a feed, as far as they are known.
        budget: Bytes that the wanted tensors may take at once.
        threads: Threads within an operator; 0 leaves the choice to onnxruntime.

    Attributes:
        stages: The parts that the graph was cut into.

    Raises:
        InvalidModelError: onnxruntime cannot load the model.
    """

    def __init__(
        self, model: ir.Model, wanted: Sequence[str], sizes: Mapping[str, int], *, budget: int, threads: int = 0
    ) -> None:
        self._wanted = frozenset(wanted)
        self.stages = cut_into_stages(model.graph, self._wanted, sizes, budget)
        self._sessions: list[Session] = []
        for stage in self.stages:
            self._sessions.append(Session(stage_model(model, stage), threads=threads, opener=open_without_spinning))
        self._last_use = {name: index for index, stage in enumerate(self.stages) for name in stage.inputs}

    def run(self, feed: Feed) -> Iterator[dict[str, NDArray]]:
        """Run on one feed.

        Yields:
            For each stage the wanted tensors by name; the arrays stay as they are as long as they are kept.

        Raises:
            InvalidModelError: onnxruntime fails on this feed; its reason is in the message.
        """
        kept: dict[str, Any] = {}
        for index, (stage, session) in enumerate(zip(self.stages, self._sessions, strict=True)):
            values = self._run_stage(stage, session, feed, kept)
            yield {name: value.numpy() for name, value in values.items() if name in self._wanted}
            kept |= values
            kept = {name: value for name, value in kept.items() if self._last_use.get(name, -1) > index}
            del values

    def _run_stage(self, stage: Stage, session: Session, feed: Feed, kept: Mapping[str, Any]) -> dict[str, Any]:
        binding = session.inner.io_binding()
        try:
            for name in stage.inputs:
                if name in kept:
                    binding.bind_ortvalue_input(name, kept[name])
                else:
                    binding.bind_cpu_input(name, feed[name])
            for name in stage.outputs:
                binding.bind_output(name, "cpu")
            session.inner.run_with_iobinding(binding, self._run_options())
            return dict(zip(stage.outputs, binding.get_outputs(), strict=True))
        except Exception as e:  # onnxruntime raises many classes without a common base
            shapes = ", ".join(f"{name} {array.dtype}{list(array.shape)}" for name, array in feed.items())
            reason = str(e).strip().split("\n")[0]
            raise InvalidModelError(f"{session.name}: onnxruntime failed on {shapes}: {reason}") from e

    def _run_options(self) -> Any:
        """With several sessions, each gives back what it took: else all of them together hold all tensors."""
        ort = require("onnxruntime", extra="cpu", purpose="running a model")
        options = ort.RunOptions()
        options.log_severity_level = 4
        if len(self.stages) > 1:
            options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        return options

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._sessions.clear()


def open_without_spinning(path: str, options: Any, providers: list[str]) -> Any:
    """Threads that go on spinning after a run would take the time of those that gather the statistics."""
    ort = require("onnxruntime", extra="cpu", purpose="running a model")
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return ort.InferenceSession(path, options, providers=providers)
