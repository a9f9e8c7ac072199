"""Run a model in onnxruntime, from a path or from memory, with errors in plain words."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.dependencies import require
from edgebig.errors import InvalidModelError, OutputError
from edgebig.graph.load import describe_source
from edgebig.graph.save import EXTERNAL_THRESHOLD, weight_bytes, write_model


class Session:
    """An onnxruntime session that takes an onnx_ir model as well as a path, and feeds and results by name.

    Args:
        model: A model in memory (written to a temporary folder, weights beside it when large), or an `.onnx` file.
        threads: Threads within an operator; 0 leaves the choice to onnxruntime.
        optimize: Whether onnxruntime rewrites the graph (its level "all"), or runs it as written.
        as_defined: Whether quantized nodes are computed in float between QuantizeLinear and DequantizeLinear, as ONNX
            defines them, and not by this processor's integer kernels (which may saturate).
        providers: Execution providers, in order of preference.
        opener: Opens a file in place of `onnxruntime.InferenceSession`, with the same arguments.

    Raises:
        InvalidModelError: onnxruntime refuses the model; its reason is in the message.
        OutputError: The temporary folder is full or cannot be written.
        MissingDependencyError: onnxruntime is not installed.
    """

    def __init__(
        self,
        model: ir.Model | str | Path,
        *,
        threads: int = 0,
        optimize: bool = True,
        as_defined: bool = False,
        providers: Sequence[str] = ("CPUExecutionProvider",),
        opener: Callable[..., Any] | None = None,
    ) -> None:
        ort = require("onnxruntime", extra="cpu", purpose="running a model")
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4  # errors come as exceptions; onnxruntime need not print them too
        if as_defined:
            options.add_session_config_entry("session.disable_quant_qdq", "1")
        levels = ort.GraphOptimizationLevel
        options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimize else levels.ORT_DISABLE_ALL
        self.name = describe_source(model) if isinstance(model, ir.Model) else str(model)
        try:
            self.inner: Any = _open(opener or ort.InferenceSession, model, options, list(providers))
        except OSError as e:
            raise OutputError(
                f"{self.name}: its copy for onnxruntime cannot be written into {tempfile.gettempdir()}: "
                f"{e.strerror or e}. Free some space, or name another folder in the variable TMPDIR."
            ) from e
        except Exception as e:  # onnxruntime raises many classes without a common base
            raise InvalidModelError(
                f"{self.name}: onnxruntime {ort.__version__} cannot load it: {_first_line(e)}"
            ) from e
        self.output_names = tuple(output.name for output in self.inner.get_outputs())

    def run(self, feed: Mapping[str, NDArray], outputs: Sequence[str] | None = None) -> dict[str, NDArray]:
        """Run once.

        Args:
            feed: Input name -> array.
            outputs: Names of the outputs wanted; None for all.

        Returns:
            Output name -> array.

        Raises:
            InvalidModelError: onnxruntime fails on this feed; its reason is in the message.
        """
        names = list(self.output_names if outputs is None else outputs)
        try:
            return dict(zip(names, self.inner.run(names, dict(feed)), strict=True))
        except Exception as e:  # onnxruntime raises many classes without a common base
            shapes = ", ".join(f"{name} {array.dtype}{list(array.shape)}" for name, array in feed.items())
            raise InvalidModelError(f"{self.name}: onnxruntime failed on {shapes}: {_first_line(e)}") from e

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.inner = None


def _open(opener: Callable[..., Any], model: ir.Model | str | Path, options: Any, providers: list[str]) -> Any:
    if not isinstance(model, ir.Model):
        return opener(str(model), options, providers=providers)
    with tempfile.TemporaryDirectory(prefix="edgebig-") as folder:
        path = Path(folder) / "model.onnx"
        # External data keep large weights out of protobuf; onnxruntime maps them, and may go on after the unlink.
        write_model(model, path, external_data=weight_bytes(model) > EXTERNAL_THRESHOLD)
        return opener(str(path), options, providers=providers)


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
