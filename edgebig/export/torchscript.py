"""torch's older exporter by torch.jit.trace: records one run of the module; the fallback where dynamo fails."""

import tempfile
from pathlib import Path
from typing import Any

import onnx_ir as ir

from edgebig.data.feeds import Feed
from edgebig.errors import EdgebigError
from edgebig.export.exported import Exported, ExporterError, axis_places
from edgebig.export.input_specs import Inputs
from edgebig.export.torch_model import TorchModel
from edgebig.export.trace_watch import first_line, watching
from edgebig.graph.opset import raise_opset

# The newest operator set that this exporter writes.
_NEWEST_OPSET = 20
# How many of torch's warnings are passed on.
_WARNINGS = 3


def export_with_torchscript(
    model: TorchModel, inputs: Inputs, outputs: tuple[str, ...], feed: Feed, opset: int
) -> Exported:
    """Export a module.

    Args:
        model: The torch side; a module, since a program has no code left to trace.
        inputs: The inputs in `forward`'s order.
        outputs: The outputs' names.
        feed: The example.
        opset: The operator set; above 20 by converting what is written in 20.

    Raises:
        ExporterError: torch cannot trace the module, or the graph cannot be converted.
    """
    import torch

    if model.program is not None:
        raise ExporterError("the older exporter takes no .pt2 file")
    names = [spec.name for spec in inputs.specs]
    axes: dict[str, dict[int, str]] = {}
    for (position, axis), name in axis_places(inputs).items():
        axes.setdefault(names[position], {})[axis] = name
    common: dict[str, Any] = {"dynamo": False, "input_names": names, "output_names": list(outputs)}
    with tempfile.TemporaryDirectory(prefix="edgebig-") as folder, watching() as watch, torch.no_grad():
        path = Path(folder) / "model.onnx"
        tensors = tuple(torch.from_numpy(feed[name].copy()) for name in names)
        try:
            with model.flattened() as module:
                torch.onnx.export(
                    module, tensors, path, dynamic_axes=axes, opset_version=min(opset, _NEWEST_OPSET), **common
                )
            graph = ir.load(path)
            # Large weights lie in files of the folder that is removed.
            ir.external_data.load_to_model(graph)
            raise_opset(graph, opset)
        except EdgebigError as e:
            raise ExporterError(str(e)) from e
        except Exception as e:  # torch raises many classes without a common base
            raise ExporterError(f"{type(e).__name__}: {first_line(e)}") from e
    return Exported(graph, "torchscript", notes=tuple(f"torch warns: {line}" for line in watch.warnings[:_WARNINGS]))
