"""The custom op `edgebig::Segment`: what onnxruntime asks about it, and the making and unmaking of its kernels.

Python runs here while a session is made and destroyed, never while it runs. An exception becomes an OrtStatus, which
comes out of onnxruntime as its own exception with our message in it.
"""

import atexit
import ctypes
from collections.abc import Callable
from typing import Any

from edgebig.runtime.bridge import compute
from edgebig.runtime.bridge.api import VERSION, Api
from edgebig.runtime.bridge.errors import BridgeError
from edgebig.runtime.bridge.instances import Instance
from edgebig.runtime.bridge.program import OP_TYPE, find

_POINTER, _SIZE, _INT = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
_ANY_TYPE = 0  # ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED
_VARIADIC = 2  # INPUT_OUTPUT_VARIADIC
_DEFAULT_MEMORY = 0  # OrtMemTypeDefault
_EVERY_VERSION = 2**31 - 1

# OrtCustomOp of the C API, in order: name, result, arguments. What this op needs not is left a null pointer.
_MEMBERS: tuple[tuple[str, Any, tuple[Any, ...]], ...] = (
    ("CreateKernel", _POINTER, (_POINTER, _POINTER, _POINTER)),
    ("GetName", _POINTER, (_POINTER,)),
    ("GetExecutionProviderType", _POINTER, (_POINTER,)),
    ("GetInputType", _INT, (_POINTER, _SIZE)),
    ("GetInputTypeCount", _SIZE, (_POINTER,)),
    ("GetOutputType", _INT, (_POINTER, _SIZE)),
    ("GetOutputTypeCount", _SIZE, (_POINTER,)),
    ("KernelCompute", None, (_POINTER, _POINTER)),
    ("KernelDestroy", None, (_POINTER,)),
    ("GetInputCharacteristic", _INT, (_POINTER, _SIZE)),
    ("GetOutputCharacteristic", _INT, (_POINTER, _SIZE)),
    ("GetInputMemoryType", _INT, (_POINTER, _SIZE)),
    ("GetVariadicInputMinArity", _INT, (_POINTER,)),
    ("GetVariadicInputHomogeneity", _INT, (_POINTER,)),
    ("GetVariadicOutputMinArity", _INT, (_POINTER,)),
    ("GetVariadicOutputHomogeneity", _INT, (_POINTER,)),
    ("CreateKernelV2", _POINTER, (_POINTER, _POINTER, _POINTER, _POINTER)),
    ("KernelComputeV2", _POINTER, (_POINTER, _POINTER)),
    ("InferOutputShapeFn", _POINTER, (_POINTER, _POINTER)),
    ("GetStartVersion", _INT, (_POINTER,)),
    ("GetEndVersion", _INT, (_POINTER,)),
    ("GetMayInplace", _SIZE, (_POINTER, _POINTER)),
    ("ReleaseMayInplace", None, (_POINTER, _POINTER)),
    ("GetAliasMap", _SIZE, (_POINTER, _POINTER)),
    ("ReleaseAliasMap", None, (_POINTER, _POINTER)),
)
_TYPES = {name: ctypes.CFUNCTYPE(result, *arguments) for name, result, arguments in _MEMBERS}


class _Description(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), *((name, _POINTER) for name, _, _ in _MEMBERS)]


class SegmentOp:
    """The op's description for onnxruntime; one for sessions with one thread, one for the others.

    Args:
        api: onnxruntime's functions.
        parallel: Whether its kernels use onnxruntime's threads.
    """

    def __init__(self, api: Api, *, parallel: bool) -> None:
        self._api, self._parallel = api, parallel
        self._instances: dict[int, Instance] = {}
        self._name = ctypes.create_string_buffer(OP_TYPE.encode())
        self._description = _Description(version=VERSION)
        self.address = ctypes.addressof(self._description)
        answers: dict[str, Callable[..., Any]] = {
            "GetName": lambda _op: ctypes.addressof(self._name),
            "GetExecutionProviderType": lambda _op: None,
            "GetInputType": lambda _op, _index: _ANY_TYPE,
            "GetInputTypeCount": lambda _op: 1,
            "GetOutputType": lambda _op, _index: _ANY_TYPE,
            "GetOutputTypeCount": lambda _op: 1,
            "KernelDestroy": self._destroy,
            "GetInputCharacteristic": lambda _op, _index: _VARIADIC,
            "GetOutputCharacteristic": lambda _op, _index: _VARIADIC,
            "GetInputMemoryType": lambda _op, _index: _DEFAULT_MEMORY,
            "GetVariadicInputMinArity": lambda _op: 1,
            "GetVariadicInputHomogeneity": lambda _op: 0,
            "GetVariadicOutputMinArity": lambda _op: 1,
            "GetVariadicOutputHomogeneity": lambda _op: 0,
            "CreateKernelV2": self._guard(self._create),
            "InferOutputShapeFn": self._guard(self._infer),
            "GetStartVersion": lambda _op: 1,
            "GetEndVersion": lambda _op: _EVERY_VERSION,
        }
        self._callbacks = [self._set(name, function) for name, function in answers.items()]
        self._description.KernelComputeV2 = compute.compute.address
        # onnxruntime reads the description anew for every kernel it destroys: after this, it calls no Python.
        atexit.register(self._shut_down)

    def _set(self, name: str, function: Callable[..., Any]) -> Any:
        callback = _TYPES[name](function)
        setattr(self._description, name, ctypes.cast(callback, _POINTER).value)
        return callback

    def _guard(self, function: Callable[..., None]) -> Callable[..., int | None]:
        """The function as a callback that gives a status: none, or one with the exception's text."""

        def call(*arguments: Any) -> int | None:
            try:
                function(*arguments)
            except BridgeError as e:
                return self._api.status(str(e))
            except BaseException as e:  # nothing may get lost in the C code between here and whoever made the session
                return self._api.status(f"edgebig: {type(e).__name__}: {e}")
            return None

        return call

    def _create(self, _op: int, _api: int, info: int, kernel: int) -> None:
        key = ctypes.c_int64(0)
        self._api.call("KernelInfoGetAttribute_int64", info, b"segment", ctypes.addressof(key))
        program = find(key.value)
        for kind, tensors in (("Input", program.inputs), ("Output", program.outputs)):
            given = self._api.pointer(f"KernelInfo_Get{kind}Count", info)
            if given != len(tensors):
                raise BridgeError(f"the node of segment {key.value} has {given} {kind.lower()}s, not {len(tensors)}.")
        instance = Instance(key.value, program, self._api.address, parallel=self._parallel)
        self._instances[instance.address] = instance
        ctypes.c_uint64.from_address(kernel).value = instance.address

    def _destroy(self, address: int) -> None:
        self._instances.pop(address).close()

    def _infer(self, _op: int, context: int) -> None:
        program = find(self._api.attribute_for_inference(context, "segment"))
        for index, tensor in enumerate(program.outputs):
            self._api.set_inferred_output(context, index, tensor.element_type, tensor.shape)

    def _shut_down(self) -> None:
        """The interpreter is about to end, sessions may outlive it: let nothing they use be freed."""
        self._description.KernelDestroy = compute.forget.address
        for kept in (self, compute.compute, compute.forget, *self._instances.values()):
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))
