"""Weight-only quantization of a whole model."""

import onnx_ir as ir

from edgebig.data.samples import Samples
from edgebig.errors import InvalidModelError
from edgebig.graph.edit import working_copy
from edgebig.graph.load import ModelLike, describe_source, resolve_model
from edgebig.graph.opset import opset_version, raise_opset
from edgebig.quantize.change import Change
from edgebig.quantize.exclude import excluded_names, node_name
from edgebig.quantize.weight_only.settings import WeightOnlySettings
from edgebig.quantize.weight_only.write import candidates, required_opset, write_weight_only


def quantize_weights(
    model: ModelLike,
    *,
    settings: WeightOnlySettings | None = None,
    samples: Samples | None = None,
    exclude: tuple[str, ...] = (),
) -> tuple[ir.Model, tuple[Change, ...]]:
    """Quantize all weights of a model that can be, embeddings included.

    Args:
        model: The float model, or its path; it stays as it is.
        settings: How.
        samples: What GPTQ observes.
        exclude: Names or globs of nodes whose weights stay in float.

    Returns:
        The result, and what became of every node that changed.

    Raises:
        InvalidModelError: The model cannot be read, has no weights to quantize, or they hold infinities or NaN.
        InvalidDataError: Samples that tell GPTQ nothing.
        UsageError: GPTQ without samples, or a name that no node has.
    """
    settings = settings or WeightOnlySettings()
    original = resolve_model(model)
    result = working_copy(original)
    needed = required_opset(result.graph, settings)
    if (opset_version(result) or needed) < needed:
        raise_opset(result, needed)
    left = excluded_names(result.graph, exclude)
    found = candidates(result.graph, settings)
    nodes = [node for node, reason in found.items() if not reason and node_name(node) not in left]
    changes = write_weight_only(result, nodes, settings, samples=samples)
    if not changes:
        reasons = sorted({f"{node.op_type}: {reason}" for node, reason in found.items() if reason})[:4]
        raise InvalidModelError(
            f"{describe_source(original)} has no weights to quantize. {'; '.join(reasons) or 'It reads no constants'}."
        )
    return result, changes
