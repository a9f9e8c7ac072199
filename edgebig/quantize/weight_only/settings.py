"""How weights are quantized while activations stay in float."""

from dataclasses import dataclass

from edgebig.errors import UsageError

WHOLE_ROW = -1
BLOCK_SIZES = (16, 32, 64, 128, 256)
FORMATS = ("nbits", "qdq")
METHODS = ("rtn", "hqq", "gptq")


@dataclass(frozen=True, kw_only=True)
class WeightOnlySettings:
    """How weights are quantized.

    Attributes:
        bits: 4 or 8.
        block_size: Inputs that share a scale: 16, 32, 64, 128, 256, or -1 for all inputs of an output.
        symmetric: Without zero points; None for what serves best: with them for 4 bits, without for 8.
        format: "nbits" (`com.microsoft` MatMulNBits and GatherBlockQuantized) or "qdq" (DequantizeLinear, opset 21).
        method: "rtn" (round to nearest), "hqq" (half-quadratic; needs no samples) or "gptq" (needs samples).
        search: Whether "rtn" and "gptq" look for the ranges of least squared error, which may clip.
        table_bits: Of embedding tables, and of what shares their weight; None for 8, which costs little and matters.
        accuracy_level: Of MatMulNBits. 4: onnxruntime rounds activations to int8, by blocks like the weights, which is
            what makes it fast; about 0.5 % of a product's size is lost. 0: activations stay in float, and the answers
            are those of the dequantized weights; on CPUs 4 bits are then as slow as float, and 8 bits far slower.
        damping: "gptq" adds this share of the Hessian's mean diagonal to its diagonal.
        ram_budget: Bytes that "gptq" may hold of Hessians at a time; more layers take more passes over the samples.
        threads: Threads of onnxruntime while "gptq" observes; 0 leaves the choice to it.

    Raises:
        UsageError: A value that is not allowed.
    """

    bits: int = 4
    block_size: int = 32
    symmetric: bool | None = None
    format: str = "nbits"
    method: str = "rtn"
    search: bool = True
    table_bits: int | None = None
    accuracy_level: int = 4
    damping: float = 0.01
    ram_budget: int = 1 << 30
    threads: int = 0

    def __post_init__(self) -> None:
        _allowed("bits", self.bits, (4, 8))
        _allowed("block size", self.block_size, (*BLOCK_SIZES, WHOLE_ROW))
        _allowed("format", self.format, FORMATS)
        _allowed("method", self.method, METHODS)
        _allowed("table bits", self.table_bits, (None, 4, 8))
        _allowed("accuracy level", self.accuracy_level, (0, 4))
        if not self.damping > 0:
            raise UsageError(f"damping is {self.damping}; it must be above 0, such as 0.01.")

    def bits_for(self, *, table: bool) -> int:
        """Bits of a weight.

        Args:
            table: Whether an embedding reads it. onnxruntime gathers no 4-bit rows outside of GatherBlockQuantized, so
                tables of "qdq" have 8.
        """
        if not table:
            return self.bits
        return 8 if self.format == "qdq" else self.table_bits or 8

    def is_symmetric(self, bits: int) -> bool:
        """Whether a weight of so many bits goes without zero points."""
        return bits == 8 if self.symmetric is None else self.symmetric


def _allowed(what: str, value: object, allowed: tuple[object, ...]) -> None:
    if value not in allowed:
        raise UsageError(f"{what} is {value!r}; allowed: {', '.join(repr(entry) for entry in allowed)}.")
