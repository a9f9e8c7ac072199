"""onnxruntime's C functions by their place in its function table.

The table only ever grows: each version appends (onnxruntime's own `static_assert`s at the end of
onnxruntime/core/session/onnxruntime_c_api.cc pin the last place of every version). So a place, once shipped, is good
for all later versions, and one table serves them all.
"""

import ctypes
from collections.abc import Sequence
from typing import Any, NamedTuple

from edgebig.runtime.bridge.errors import BridgeError

WORD = 8
INVALID_ARGUMENT, FAIL = 2, 1  # OrtErrorCode
_INT_ATTRIBUTE = 1  # OrtOpAttrType
_POINTER, _SIZE, _INT = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int


class Slot(NamedTuple):
    """A function's place in the table, the version of the table that brought it, and its arguments after `->`."""

    place: int
    version: int
    arguments: tuple[Any, ...]


SLOTS = {
    "CreateStatus": Slot(0, 1, (_INT, ctypes.c_char_p)),
    "GetErrorMessage": Slot(2, 1, (_POINTER,)),
    "CreateCustomOpDomain": Slot(26, 1, (ctypes.c_char_p, _POINTER)),
    "CustomOpDomain_Add": Slot(27, 1, (_POINTER, _POINTER)),
    "AddCustomOpDomain": Slot(28, 1, (_POINTER, _POINTER)),
    "GetTensorMutableData": Slot(51, 1, (_POINTER, _POINTER)),
    "CreateTensorTypeAndShapeInfo": Slot(57, 1, (_POINTER,)),
    "SetTensorElementType": Slot(58, 1, (_POINTER, _INT)),
    "SetDimensions": Slot(59, 1, (_POINTER, _POINTER, _SIZE)),
    "GetTensorElementType": Slot(60, 1, (_POINTER, _POINTER)),
    "GetDimensionsCount": Slot(61, 1, (_POINTER, _POINTER)),
    "GetDimensions": Slot(62, 1, (_POINTER, _POINTER, _SIZE)),
    "GetTensorTypeAndShape": Slot(65, 1, (_POINTER, _POINTER)),
    "KernelInfoGetAttribute_int64": Slot(86, 1, (_POINTER, ctypes.c_char_p, _POINTER)),
    "KernelContext_GetInput": Slot(90, 1, (_POINTER, _SIZE, _POINTER)),
    "KernelContext_GetOutput": Slot(91, 1, (_POINTER, _SIZE, _POINTER, _SIZE, _POINTER)),
    "ReleaseStatus": Slot(93, 1, (_POINTER,)),
    "ReleaseTensorTypeAndShapeInfo": Slot(99, 1, (_POINTER,)),
    "ReleaseCustomOpDomain": Slot(101, 1, (_POINTER,)),
    "KernelInfo_GetInputCount": Slot(230, 14, (_POINTER, _POINTER)),
    "KernelInfo_GetOutputCount": Slot(231, 14, (_POINTER, _POINTER)),
    "ShapeInferContext_GetAttribute": Slot(269, 17, (_POINTER, ctypes.c_char_p, _POINTER)),
    "ShapeInferContext_SetOutputTypeShape": Slot(270, 17, (_POINTER, _SIZE, _POINTER)),
    "SetSymbolicDimensions": Slot(271, 17, (_POINTER, _POINTER, _SIZE)),
    "ReadOpAttr": Slot(272, 17, (_POINTER, _INT, _POINTER, _SIZE, _POINTER)),
    "KernelContext_ParallelFor": Slot(274, 17, (_POINTER, _POINTER, _SIZE, _SIZE, _POINTER)),
}

VERSION = max(slot.version for slot in SLOTS.values())  # the oldest table that has them all: onnxruntime 1.17


class Api:
    """onnxruntime's function table, for calls from Python.

    Args:
        address: Of the table (`OrtApi*`).
    """

    def __init__(self, address: int) -> None:
        self.address = address
        self._functions: dict[str, Any] = {}

    @classmethod
    def of_base(cls, base: int) -> "Api":
        """The table that an `OrtApiBase` gives.

        Raises:
            BridgeError: This onnxruntime is older than the functions used.
        """
        get_api = ctypes.CFUNCTYPE(_POINTER, ctypes.c_uint32)(_read(base))
        address = get_api(VERSION)
        if not address:
            raise BridgeError(
                f"onnxruntime lacks version {VERSION} of its C API. Install onnxruntime 1.{VERSION} or newer."
            )
        return cls(address)

    def raw(self, name: str, *arguments: Any) -> int:
        """Call a function; returns the pointer it gives, which for most is an OrtStatus (0 is success)."""
        if name not in self._functions:
            slot = SLOTS[name]
            address = _read(self.address + WORD * slot.place)
            self._functions[name] = ctypes.CFUNCTYPE(_POINTER, *slot.arguments)(address)
        return self._functions[name](*arguments) or 0

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function that gives a status.

        Raises:
            BridgeError: The status is not success; the message is onnxruntime's.
        """
        status = self.raw(name, *arguments)
        if status:
            text = ctypes.string_at(self.raw("GetErrorMessage", status)).decode(errors="replace")
            self.raw("ReleaseStatus", status)
            raise BridgeError(f"onnxruntime's {name} failed: {text}")

    def pointer(self, name: str, *arguments: Any) -> int:
        """Call a function that writes a pointer or count to its last argument; returns that."""
        result = ctypes.c_uint64(0)
        self.call(name, *arguments, ctypes.addressof(result))
        return result.value

    def status(self, message: str, code: int = FAIL) -> int:
        """A new OrtStatus, to be handed to onnxruntime."""
        return self.raw("CreateStatus", code, message.encode(errors="replace"))

    def attribute_for_inference(self, context: int, name: str) -> int:
        """A node's integer attribute, while shapes are inferred."""
        attribute = self.pointer("ShapeInferContext_GetAttribute", context, name.encode())
        value, size = ctypes.c_int64(0), ctypes.c_size_t(0)
        place = ctypes.addressof(value)
        self.call("ReadOpAttr", attribute, _INT_ATTRIBUTE, place, ctypes.sizeof(value), ctypes.addressof(size))
        return value.value

    def set_inferred_output(self, context: int, index: int, element_type: int, shape: Sequence[int]) -> None:
        """Tell shape inference the type and shape of a node's output."""
        info = self.pointer("CreateTensorTypeAndShapeInfo")
        try:
            dims = (ctypes.c_int64 * len(shape))(*shape)
            names = (ctypes.c_char_p * len(shape))(*[b""] * len(shape))
            self.call("SetTensorElementType", info, element_type)
            self.call("SetDimensions", info, ctypes.addressof(dims), len(shape))
            self.call("SetSymbolicDimensions", info, ctypes.addressof(names), len(shape))
            self.call("ShapeInferContext_SetOutputTypeShape", context, index, info)
        finally:
            self.raw("ReleaseTensorTypeAndShapeInfo", info)


def _read(address: int) -> int:
    return ctypes.c_uint64.from_address(address).value
