"""What a segment does, as plain numbers: which tensors come in and go out, and which functions run on what memory."""

import itertools
from dataclasses import dataclass

from edgebig.runtime.bridge.errors import BridgeError

DOMAIN = "edgebig"
OP_TYPE = "Segment"
ABSOLUTE, ARENA, FIRST_TENSOR = 0, 1, 2  # the bases that every program has

# onnx's element types (TensorProto.DataType) that a segment may take or give, and how onnx writes them
ELEMENT_TYPES = {
    1: "float", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 9: "bool", 10: "float16",
    11: "double", 12: "uint32", 13: "uint64", 16: "bfloat16",
}  # fmt: skip


@dataclass(frozen=True)
class Tensor:
    """An input or output of a segment.

    Attributes:
        element_type: onnx's number for it (`onnx.TensorProto.UINT8`).
        shape: Of which every size is known.

    Raises:
        BridgeError: The element type is none that a segment can handle, or a size is negative.
    """

    element_type: int
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.element_type not in ELEMENT_TYPES:
            known = ", ".join(f"{number} ({name})" for number, name in ELEMENT_TYPES.items())
            raise BridgeError(f"element type {self.element_type} cannot enter or leave a segment. Allowed: {known}.")
        if any(size < 0 for size in self.shape):
            raise BridgeError(f"shape {self.shape} of a segment's tensor is not fully known. Every size must be >= 0.")

    def __str__(self) -> str:
        return f"{ELEMENT_TYPES[self.element_type]}[{', '.join(map(str, self.shape))}]"


@dataclass(frozen=True)
class Call:
    """One function run by a segment.

    Attributes:
        function: Address of a cfunc `void(intp call, intp task)`; it asks `operands.operand(call, i)` for addresses.
        tasks: How often it is called, with task = 0, 1, ...; tasks of one call may run at the same time.
        operands: Each a (base, offset in bytes). Base 0 is address 0, 1 is the arena, then come inputs and outputs.
    """

    function: int
    tasks: int
    operands: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Program:
    """All that a segment does when it runs.

    Attributes:
        inputs: Tensors it takes, in the node's order.
        outputs: Tensors it gives.
        arena_bytes: Size of the scratch memory, which begins at a multiple of 64 bytes and holds anything at first.
        calls: Run one after the other.
        keep: Whatever must live as long as the program: constants, cfuncs.

    Raises:
        BridgeError: It has no input or no output, or a call names a base that does not exist, address 0, or no task.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    arena_bytes: int
    calls: tuple[Call, ...]
    keep: object = None

    def __post_init__(self) -> None:
        if not self.inputs or not self.outputs:
            raise BridgeError("a segment needs at least one input and one output.")
        if self.arena_bytes < 0:
            raise BridgeError(f"an arena of {self.arena_bytes} bytes is impossible.")
        bases = FIRST_TENSOR + len(self.inputs) + len(self.outputs)
        for index, call in enumerate(self.calls):
            if not call.function or call.tasks < 1:
                given = f"function {call.function:#x} with {call.tasks} tasks"
                raise BridgeError(f"call {index} of a segment has {given}. It needs an address and at least one task.")
            for base, offset in call.operands:
                if not 0 <= base < bases:
                    raise BridgeError(f"call {index} of a segment uses base {base}. Allowed: 0 to {bases - 1}.")
                if base == ARENA and not 0 <= offset < max(self.arena_bytes, 1):
                    raise BridgeError(
                        f"call {index} of a segment uses byte {offset} of an arena of {self.arena_bytes} bytes."
                    )


_keys = itertools.count(1)
_programs: dict[int, Program] = {}


def register(program: Program) -> int:
    """Make a program known to this process; returns the value for the attribute `segment` of its node."""
    key = next(_keys)
    _programs[key] = program
    return key


def unregister(key: int) -> None:
    """Forget a program. Sessions that use it keep it alive; new ones cannot be made.

    Raises:
        BridgeError: There is none of this key.
    """
    find(key)
    del _programs[key]


def find(key: int) -> Program:
    """The program registered under a key.

    Raises:
        BridgeError: There is none.
    """
    try:
        return _programs[key]
    except KeyError:
        raise BridgeError(
            f"segment {key} is not registered in this process. A model with {DOMAIN}.{OP_TYPE} nodes runs only in the "
            "session that made them: load the original model."
        ) from None
