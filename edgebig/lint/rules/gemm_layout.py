"""A Gemm with scales per channel on a weight [K, N], for targets that take them on [N, K] (transB=1) alone."""

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from edgebig.graph.edit import add_initializer, constant_array
from edgebig.graph.load import all_nodes
from edgebig.lint.context import Context, finding, label
from edgebig.lint.products import Product, products
from edgebig.lint.rule import Rule
from edgebig.records.lint import Finding, Severity

NAME = "gemm-layout"


def check(context: Context) -> Iterator[Finding]:
    """Find such Gemm nodes."""
    if not context.target.gemm_transposed:
        return
    for product in products(context.nodes):
        if _is_wrong(product):
            yield finding(
                NAME,
                Severity.SLOWER,
                product.node,
                f"a Gemm has transB=0 and scales per channel: {context.target.name} drops it and what hangs on it from "
                "its graph without a word",
                advice="store the weight transposed, with transB=1 and the scales on axis 0",
                fixable=_is_private(product),
            )


def fix(model: ir.Model, context: Context, places: frozenset[str]) -> int:
    """Transpose the stored weight."""
    count = 0
    for product in list(products(all_nodes(model))):
        node, dequantize = product.node, product.dequantize
        array = constant_array(product.weight)
        if label(node) not in places or not _is_wrong(product) or not _is_private(product):
            continue
        if array is None or dequantize is None or not isinstance(node.graph, ir.Graph):
            continue
        turned = add_initializer(node.graph, f"{product.weight.name}_transposed", np.ascontiguousarray(array.T))
        dequantize.replace_input_with(0, turned)
        dequantize.attributes["axis"] = ir.AttrInt64("axis", 0)
        dequantize.outputs[0].shape = turned.shape
        node.attributes["transB"] = ir.AttrInt64("transB", 1)
        if not product.weight.uses():
            del node.graph.initializers[product.weight.name or ""]
        count += 1
    return count


def _is_wrong(product: Product) -> bool:
    transposed = product.node.attributes.get_int("transB", 0) != 0
    params = product.weight_params
    return product.node.op_type == "Gemm" and not transposed and params.per_channel and not product.moved


def _is_private(product: Product) -> bool:
    dequantize = product.dequantize
    return dequantize is not None and dequantize.inputs[0] is product.weight and len(dequantize.outputs[0].uses()) == 1


RULE = Rule(NAME, check, source="gemm_transposed", fix=fix, repair="stored Gemm weights transposed (transB=1)")
