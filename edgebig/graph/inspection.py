"""What is in a model: operators, parameters, multiply-accumulates, sparsity, quantization. Needs no onnxruntime."""

from collections import Counter
from collections.abc import Mapping

import onnx_ir as ir

from edgebig.graph.edit import working_copy
from edgebig.graph.layer_facts import Zeros, layer_facts, parameters, weight_bits
from edgebig.graph.load import ModelLike, all_nodes, describe_source, resolve_model, source_files
from edgebig.graph.provenance import read_provenance
from edgebig.graph.sizes import with_sizes
from edgebig.graph.skeleton import model_bytes
from edgebig.progress import track
from edgebig.records.inspect import InspectOptions, InspectRecord, LayerInfo, TensorInfo


def inspect_model(model: ModelLike, *, options: InspectOptions | None = None) -> InspectRecord:
    """Count what is in a model. Weights are read one at a time, from the disk where they lie outside the file.

    Args:
        model: The model, or its path; it stays as it is.
        options: What to count.

    Raises:
        InvalidModelError: The file cannot be read.
        UsageError: A size is given for a dynamic axis that does not exist.
    """
    options = options or InspectOptions()
    original = resolve_model(model)
    sized, dims, problem = with_sizes(working_copy(original), options.dims, default=options.default_dim)
    layers: list[LayerInfo] = []
    zeros = Zeros()
    for node in track(list(all_nodes(sized)), "reading layers"):
        facts = layer_facts(node)
        if facts is not None:
            layers.append(facts[0])
            zeros += facts[1]
    dtypes, few_bits = _parameters(sized)
    operators = Counter(node.op_type for node in all_nodes(original))
    macs = sum(layer.macs or 0 for layer in layers)
    integer_macs = sum(layer.macs or 0 for layer in layers if layer.precision in ("int8", "int4"))
    return InspectRecord(
        model=describe_source(original),
        files=_files(original),
        ir_version=original.ir_version,
        opsets={domain or "ai.onnx": version for domain, version in original.opset_imports.items()},
        producer=" ".join(filter(None, (original.producer_name, original.producer_version))),
        inputs=tuple(_tensor(value, has_default=value.is_initializer()) for value in original.graph.inputs),
        outputs=tuple(_tensor(value) for value in original.graph.outputs),
        nodes=operators.total(),
        operators=dict(operators.most_common()),
        functions=len(original.functions),
        parameters=sum(dtypes.values()),
        dtypes=dict(dtypes),
        dims=dims,
        macs=macs,
        uncounted=sum(layer.macs is None for layer in layers),
        shape_problem=problem,
        zeros=zeros.share,
        zero_blocks=zeros.block_share,
        quantized_parameters=few_bits / max(sum(dtypes.values()), 1),
        quantized_macs=integer_macs / macs if macs else None,
        layers=tuple(sorted(layers, key=lambda layer: (-(layer.macs or 0), -layer.parameters))[: options.layers]),
        layers_in_all=len(layers),
        provenance=tuple(read_provenance(original)),
    )


def _parameters(model: ir.Model) -> tuple[Mapping[str, int], int]:
    """Parameters by dtype, and how many have 8 bits or fewer."""
    dtypes: Counter[str] = Counter()
    few_bits = 0
    for graph in model.graphs():
        for value in graph.initializers.values():
            count = parameters(value)
            if count and value.const_value is not None:
                bits = weight_bits(value)
                dtypes[value.const_value.dtype.name if bits >= 8 else f"INT{bits}"] += count
                few_bits += count if bits <= 8 else 0
    return dtypes, few_bits


def _files(model: ir.Model) -> dict[str, int]:
    files = {path.name: path.stat().st_size for path in source_files(model)}
    return files or {"(in memory)": model_bytes(model)}


def _tensor(value: ir.Value, *, has_default: bool = False) -> TensorInfo:
    shape = value.shape
    return TensorInfo(
        name=value.name or "",
        dtype=value.dtype.name if value.dtype is not None else str(value.type),
        shape=None if shape is None else tuple(size if isinstance(size, int) else size.value for size in shape),
        has_default=has_default,
    )
