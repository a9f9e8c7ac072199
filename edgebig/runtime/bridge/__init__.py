"""Numba kernels as an onnxruntime custom op: `edgebig::Segment` runs a program that is registered in this process.

Nothing is compiled by a C compiler: the shared library that onnxruntime wants is written byte by byte (`elf`), the op's
description is filled in through ctypes (`custom_op`), and what runs at inference time is one Numba cfunc (`compute`)
that reads its orders from memory (`instances`). No Python runs, and the GIL is not needed, while a session runs.
"""

from edgebig.runtime.bridge.connection import attach, supported
from edgebig.runtime.bridge.errors import BridgeError
from edgebig.runtime.bridge.program import DOMAIN, OP_TYPE, Call, Program, Tensor, register, unregister

__all__ = [
    "DOMAIN",
    "OP_TYPE",
    "BridgeError",
    "Call",
    "Program",
    "Tensor",
    "attach",
    "register",
    "supported",
    "unregister",
]
