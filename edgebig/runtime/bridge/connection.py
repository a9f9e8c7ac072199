"""Making the op known to a session's options."""

import ctypes
import platform
import sys
import threading
import weakref
from typing import Any

from edgebig.runtime.bridge import elf
from edgebig.runtime.bridge.api import VERSION, Api
from edgebig.runtime.bridge.errors import BridgeError
from edgebig.runtime.bridge.program import DOMAIN

_REGISTER = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)


def supported() -> str | None:
    """Why Numba kernels cannot run inside onnxruntime here, in words; None where they can."""
    if sys.platform != "linux" or sys.maxsize < 2**32 or sys.byteorder != "little":
        return f"needs 64-bit Linux on x86-64 or aarch64; this is {platform.system()} on {platform.machine()}"
    try:
        elf.shared_object(platform.machine())
        _bridge()
    except BridgeError as e:
        return str(e)
    return None


def attach(session_options: Any) -> None:
    """Make `edgebig::Segment` known to a session's options; once is enough. Set their number of threads before.

    Args:
        session_options: An `onnxruntime.SessionOptions`.

    Raises:
        BridgeError: This platform, its onnxruntime or its file system cannot; says why and what to do.
    """
    reason = supported()
    if reason:
        raise BridgeError(f"Numba kernels cannot run inside onnxruntime: {reason}")
    _bridge().attach(session_options)


class _Bridge:
    """The process's one connection to onnxruntime."""

    def __init__(self) -> None:
        _check_onnxruntime()
        try:
            import numba

            from edgebig.runtime.bridge import custom_op, library
        except ImportError as e:
            raise BridgeError(f"numba cannot be imported ({e}). Install it: pip install numba") from e
        except Exception as e:  # Numba has many kinds: a processor it does not know, a broken LLVM
            first = next(iter(str(e).strip().splitlines()), "no message")
            raise BridgeError(f"numba cannot compile here ({type(e).__name__}: {first})") from e
        if vars(numba.config).get("DISABLE_JIT"):
            raise BridgeError("numba is switched off. Unset NUMBA_DISABLE_JIT.")
        self._op_type, self._library_type = custom_op.SegmentOp, library.Library
        self._callback = _REGISTER(self._register)
        self._address = ctypes.cast(self._callback, ctypes.c_void_p).value or 0
        self._library = self._library_type(self._address)
        self._ops: dict[bool, Any] = {}
        self._domains: dict[bool, int] = {}
        self._name = ctypes.create_string_buffer(DOMAIN.encode())
        self._now = threading.local()
        self._attached: weakref.WeakSet[Any] = weakref.WeakSet()

    def attach(self, session_options: Any) -> None:
        if session_options in self._attached:
            return
        if not self._library.valid():
            self._library = self._library_type(self._address)
        self._now.parallel, self._now.error = session_options.intra_op_num_threads != 1, None
        try:
            session_options.register_custom_ops_library(self._library.path)
        except Exception as e:  # onnxruntime has many kinds, and this is about any of them
            self._now.error = self._now.error or e
        error, self._now.error = self._now.error, None
        if error:
            raise BridgeError(f"onnxruntime does not take the custom op: {error}") from error
        self._attached.add(session_options)

    def _register(self, session_options: int, base: int) -> int | None:
        """What onnxruntime calls through the library; gives a status."""
        api = None
        try:
            api = Api.of_base(base)
            api.call("AddCustomOpDomain", session_options, self._domain(api, parallel=self._now.parallel))
        except BaseException as e:  # goes on in `attach`
            self._now.error = e
            return api.status(str(e)) if api else None
        return None

    def _domain(self, api: Api, *, parallel: bool) -> int:
        if parallel not in self._domains:
            op = self._op_type(api, parallel=parallel)
            domain = api.pointer("CreateCustomOpDomain", self._name)
            api.call("CustomOpDomain_Add", domain, op.address)
            self._ops[parallel], self._domains[parallel] = op, domain
        return self._domains[parallel]


_made: list[_Bridge] = []


def _bridge() -> _Bridge:
    if not _made:
        _made.append(_Bridge())
    return _made[0]


def _check_onnxruntime() -> None:
    """Refuse what is too old before onnxruntime writes about it to stderr."""
    try:
        import onnxruntime
    except ImportError as e:
        raise BridgeError(f"onnxruntime cannot be imported ({e}). Install it: pip install edgebig[cpu]") from e
    version = onnxruntime.__version__
    if tuple(map(int, version.split(".")[:2])) < (1, VERSION):
        raise BridgeError(f"onnxruntime {version} is too old. Install onnxruntime 1.{VERSION} or newer.")
