"""Numba as a front end only: the LLVM assembly of a function, optimised once and never loaded into Numba's own engine.

Numba optimises and loads whatever it compiles: a kernel, then the function that calls it with a copy of the kernel in
it. Only the latter is wanted, as an object file. What Numba loads stays until the process ends, machine code and LLVM
module, some megabytes per kernel; and optimising everything twice doubles the time. So, while a function is compiled,
Numba gets a code generator that leaves the optimisation to us and loads nothing.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any


def assembly_of(function: Callable[..., Any], signature: Any) -> tuple[str, str]:
    """Compile a function to assembly.

    Args:
        function: A plain function; jitted functions that it calls cannot be called from Python afterwards.
        signature: Numba's.

    Returns:
        Optimised LLVM assembly, and the name of Numba's entry point for C in it.

    Raises:
        NumbaError: It cannot be compiled.
    """
    from numba import cfunc

    try:
        return _optimised_once(function, signature)
    except (AttributeError, TypeError, ValueError):  # a Numba with other insides: then it compiles in its own way
        made = cfunc(signature)(function)
        return str(made.inspect_llvm()), str(made.native_name)


def _optimised_once(function: Callable[..., Any], signature: Any) -> tuple[str, str]:
    from numba import cfunc

    with _front_end() as generator:
        made: Any = cfunc(signature)(function)
        module = made._library._final_module
        for options in ({"loop_vectorize": False, "slp_vectorize": False, "opt": 0, "cost": "cheap"}, {}):
            passes, builder = generator._module_pass_manager(**options)
            passes.run(module, builder)
        return str(module), str(made.native_name)


@contextmanager
def _front_end() -> Iterator[Any]:
    """Our code generator in place of Numba's, for this thread: others wait for Numba's lock."""
    from numba.core.compiler_lock import global_compiler_lock
    from numba.core.registry import cpu_target

    with global_compiler_lock:
        context = cpu_target.target_context
        kept = context._internal_codegen, context.cached_internal_func
        context._internal_codegen, context.cached_internal_func = _generator(), {}
        try:
            yield context._internal_codegen
        finally:
            context._internal_codegen, context.cached_internal_func = kept


@cache
def _generator() -> Any:
    from numba.core.codegen import JITCodeLibrary, JITCPUCodegen

    class Library(JITCodeLibrary):
        def _optimize_functions(self, module: Any) -> None:
            module.data_layout = self._codegen._data_layout

        def _optimize_final_module(self) -> None:
            pass

    class Generator(JITCPUCodegen):
        _library_class = Library

        def _add_module(self, module: Any) -> None:
            pass

        def set_env(self, env_name: str, env: Any) -> None:
            pass

    return Generator("edgebig")
