"""The kernels of transformers against onnxruntime's operators, at the shapes of MiniLM-L6 and SmolLM2-135M.

`python bench/kernels/transformer.py` measures softmax, normalisation, activations, attention and the dynamically
quantized matrix product. Attention is compared with the nodes that exported models have (reshape, transpose, MatMul,
scale, mask, Softmax, MatMul, transpose), and with the two products and the softmax alone, of heads that somebody has
already transposed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
from interleaved import RESULTS, Case, bound, node_model, run_all
from numba import njit
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper, numpy_helper

from edgebig.kernels import dots
from edgebig.kernels.attention import Attention
from edgebig.kernels.batched_tile import Layout
from edgebig.kernels.dynamic import DynamicMatMul, DynamicQuantize
from edgebig.kernels.float_unary import FloatUnary
from edgebig.kernels.normalise import LayerNormalization, RMSNorm
from edgebig.kernels.numbers import NUMBERS
from edgebig.kernels.softmax import Softmax


@dataclass(frozen=True)
class Net:
    """Shapes of a transformer, for so many tokens."""

    name: str
    tokens: int
    hidden: int
    heads: int
    key_heads: int
    inner: int

    @property
    def dim(self) -> int:
        """Columns of a head."""
        return self.hidden // self.heads


NETS = (
    Net("MiniLM-L6 128", 128, 384, 12, 12, 1536),
    Net("SmolLM2-135M 64", 64, 576, 9, 3, 1536),
    Net("SmolLM2-135M 1", 1, 576, 9, 3, 1536),
)
ACTIVATIONS: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("gelu", "Gelu", "com.microsoft", {}),
    ("gelu_tanh", "FastGelu", "com.microsoft", {}),
    ("silu", "QuickGelu", "com.microsoft", {"alpha": 1.0}),
    ("sigmoid", "Sigmoid", "", {}),
    ("tanh", "Tanh", "", {}),
    ("exp", "Exp", "", {}),
    ("hardswish", "HardSwish", "", {}),
)


def normal(*shape: int) -> NDArray[np.float32]:
    """Random numbers, the same ones for the same shape."""
    return np.random.default_rng(shape).standard_normal(shape, np.float32)


def softmax(net: Net) -> Case:
    """Softmax of all scores."""
    x = normal(net.heads * net.tokens, net.tokens)
    y, answer = np.zeros_like(x), np.zeros_like(x)
    model = node_model("Softmax", {"x": x}, {}, answer, axis=-1)
    return Case(f"{net.name} Softmax", Softmax(*x.shape), (x, y), bound(model, {"x": x}, answer), answer)


def normalisation(net: Net, kind: str) -> Case:
    """Normalisation, alone or with the residual addition before it."""
    x, residual, scale, bias = (
        normal(*shape, 1)[..., 0] for shape in [(net.tokens, net.hidden)] * 2 + [(net.hidden,)] * 2
    )
    x, residual, scale, bias = (np.ascontiguousarray(value) for value in (x, residual, scale, bias))
    y, answer = np.zeros_like(x), np.zeros_like(x)
    root = kind.endswith("RMSNorm")
    skip = kind.startswith("Skip")
    step = (RMSNorm if root else LayerNormalization)(*x.shape, 1e-5, residual=skip)
    values = {"x": x, "residual": residual, "scale": scale, "bias": bias, "y": y}
    operator = {
        "LayerNorm": "LayerNormalization", "RMSNorm": "SimplifiedLayerNormalization",
        "SkipLayerNorm": "SkipLayerNormalization", "SkipRMSNorm": "SkipSimplifiedLayerNormalization",
    }[kind]  # fmt: skip
    inputs = {name: values[name] for name in ("x", *(("residual",) if skip else ()))}
    constants = {name: values[name] for name in ("scale", *(() if root else ("bias",)))}
    domain = {"domain": "com.microsoft"} if skip else {}
    model = node_model(operator, inputs, constants, answer, epsilon=1e-5, **domain)
    operands = tuple(values[name] for name in step.operands if name != NUMBERS)
    return Case(f"{net.name} {kind}", step, operands, bound(model, inputs, answer), answer)


def activation(net: Net, kind: str, operator: str, domain: str, attributes: dict[str, Any]) -> Case:
    """An activation of the feed-forward block."""
    x = normal(net.tokens, net.inner)
    y, answer = np.zeros_like(x), np.zeros_like(x)
    model = node_model(operator, {"x": x}, {}, answer, domain=domain, **attributes)
    return Case(f"{net.name} {operator}", FloatUnary(kind, x.size), (x, y), bound(model, {"x": x}, answer), answer)


def graph_model(
    nodes: Sequence[NodeProto], inputs: Mapping[str, NDArray], constants: Mapping[str, NDArray], output: NDArray
) -> ModelProto:
    """A model of some nodes, of which the last gives "y"."""
    specs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
        for name, value in [*inputs.items(), ("y", output)]
    ]
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(list(nodes), "g", specs[:-1], specs[-1:], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def attention(net: Net, transposed: bool) -> Case:
    """Attention of all heads; onnxruntime gets heads already apart if `transposed`. Both have as many key heads."""
    rows = {name: normal(net.tokens, net.hidden + i)[:, : net.hidden].copy() for i, name in enumerate("qkv")}
    mask = np.zeros((1, 1, 1, net.tokens), np.float32)
    mask[..., net.tokens - net.tokens // 8 :] = -10000.0
    layout = Layout(net.hidden, net.dim, net.tokens * net.hidden)
    step = Attention(
        1, net.heads, net.tokens, net.tokens, net.dim, net.dim, layout, layout, layout, layout,
        product_scale=net.dim**-0.5, mask="keys",
    )  # fmt: skip
    apart = {name: value.reshape(1, net.tokens, net.heads, net.dim) for name, value in rows.items()}
    turned = {name: apart[name].transpose(0, *((2, 3, 1) if name == "k" else (2, 1, 3))) for name in "qkv"}
    inputs = {name: np.ascontiguousarray(turned[name] if transposed else apart[name]) for name in "qkv"}
    answer = np.zeros(
        (1, net.heads, net.tokens, net.dim) if transposed else (1, net.tokens, net.heads, net.dim), np.float32
    )
    make = helper.make_node
    nodes = [
        make("MatMul", ["q" if transposed else "qt", "k" if transposed else "kt"], ["s"]),
        make("Mul", ["s", "scale"], ["scaled"]),
        make("Add", ["scaled", "mask"], ["masked"]),
        make("Softmax", ["masked"], ["p"], axis=-1),
        make("MatMul", ["p", "v" if transposed else "vt"], ["y" if transposed else "yt"]),
    ]
    if not transposed:
        turns = [make("Transpose", [n], [n + "t"], perm=[0, 2, 3, 1] if n == "k" else [0, 2, 1, 3]) for n in "qkv"]
        nodes = [*turns, *nodes, make("Transpose", ["yt"], ["y"], perm=[0, 2, 1, 3])]
    model = graph_model(nodes, inputs, {"scale": np.array(net.dim**-0.5, np.float32), "mask": mask}, answer)
    y = np.zeros((net.tokens, net.heads, net.dim), np.float32)
    name = f"{net.name} attention{' (products alone)' if transposed else ''}"
    shown = answer[0].transpose(1, 0, 2) if transposed else answer[0]
    return Case(name, step, (*rows.values(), mask, y), bound(model, inputs, answer), shown)


def decoding(net: Net, cached: int) -> Case:
    """Attention of one new token to a cache of keys, already transposed for onnxruntime, and values."""
    q, k, v = (
        normal(1, net.heads, 1, net.dim),
        *(normal(1, net.heads, cached, net.dim + i)[..., : net.dim].copy() for i in (0, 1)),
    )
    y, answer = np.zeros_like(q), np.zeros_like(q)
    single = Layout(net.dim, net.dim, net.hidden)
    cache = Layout(net.dim, cached * net.dim, cached * net.hidden)
    step = Attention(
        1, net.heads, 1, cached, net.dim, net.dim, single, cache, cache, single, product_scale=net.dim**-0.5
    )  # fmt: skip
    inputs = {"q": q, "k": np.ascontiguousarray(k.transpose(0, 1, 3, 2)), "v": v}
    make = helper.make_node
    nodes = [
        make("MatMul", ["q", "k"], ["s"]),
        make("Mul", ["s", "scale"], ["scaled"]),
        make("Softmax", ["scaled"], ["p"], axis=-1),
        make("MatMul", ["p", "v"], ["y"]),
    ]
    model = graph_model(nodes, inputs, {"scale": np.array(net.dim**-0.5, np.float32)}, answer)
    return Case(f"{net.name} attention to {cached} keys", step, (q, k, v, y), bound(model, inputs, answer), answer)


@dataclass(frozen=True)
class Chain:
    """Quantize, then multiply."""

    quantize: DynamicQuantize
    product: DynamicMatMul

    def build(self) -> Callable[..., Any]:
        """Both, one after the other."""
        first, second = self.quantize.build(), self.product.build()

        @njit
        def run(x, parameters, middle, weights, column_sums, bias, multiplier, y, task):  # type: ignore[no-untyped-def]
            first(x, parameters, middle, task)
            second(middle, parameters, weights, column_sums, bias, multiplier, y, task)

        return run


def dynamic(net: Net, inner: int, columns: int) -> Case:
    """A float matrix times int8 weights, quantized at run time; 7 bits, so that onnxruntime cannot saturate either."""
    x, bias = normal(net.tokens, inner), normal(columns)
    weights = np.random.default_rng(0).integers(-64, 64, (columns, inner)).astype(np.int8)
    scale = np.float32(0.01)
    product = DynamicMatMul(dots.best(weights).name, net.tokens, inner, columns)
    packed = product.constants(weights, bias, scale)
    y, answer = np.zeros((net.tokens, columns), np.float32), np.zeros((net.tokens, columns), np.float32)
    make = helper.make_node
    nodes = [
        make("DynamicQuantizeLinear", ["x"], ["xq", "sx", "zx"]),
        make("MatMulInteger", ["xq", "w", "zx", "zw"], ["sums"]),
        make("Cast", ["sums"], ["real"], to=1),
        make("Mul", ["sx", "sw"], ["factor"]),
        make("Mul", ["real", "factor"], ["scaled"]),
        make("Add", ["scaled", "b"], ["y"]),
    ]
    constants = {"w": np.ascontiguousarray(weights.T), "zw": np.array(0, np.int8), "sw": np.array(scale), "b": bias}
    model = graph_model(nodes, {"x": x}, constants, answer)
    operands = (x, np.zeros(2, np.float32), np.zeros(x.shape, np.uint8), *packed.values(), y)
    name = f"{net.name} dynamic MatMul {inner}x{columns}"
    return Case(name, Chain(DynamicQuantize(x.size), product), operands, bound(model, {"x": x}, answer), answer)


def cases() -> list[Callable[[], Case]]:
    """All comparisons."""
    made: list[Callable[[], Case]] = []
    for net in NETS:
        kinds = ("LayerNorm", "SkipLayerNorm") if net.name.startswith("MiniLM") else ("RMSNorm", "SkipRMSNorm")
        made += [partial(normalisation, net, kind) for kind in kinds]
        if net.tokens > 1:
            made.append(partial(softmax, net))
        made += [partial(attention, net, transposed) for transposed in (False, True)]
        made += [partial(dynamic, net, *shape) for shape in ((net.hidden, net.inner), (net.inner, net.hidden))]
    made += [partial(decoding, NETS[2], cached) for cached in (64, 512)]
    return made + [partial(activation, NETS[0], *row) for row in ACTIVATIONS]


@click.command()
@click.option("--time", "seconds", type=float, default=2.0, show_default=True, help="Seconds for each comparison.")
@click.option("--only", default="", help="Only comparisons whose name contains this.")
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS / "kernels_transformer.json")
def main(seconds: float, only: str, out: Path) -> None:
    """Measure all comparisons, or some."""
    chosen = cases() if not only else [make for make in cases() if only in make().name]
    run_all(chosen, seconds, out)


if __name__ == "__main__":
    main()
