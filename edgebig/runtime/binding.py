"""An IO binding of a session that runs in one of several sessions, chosen by the shapes that are bound."""

from collections.abc import Callable
from typing import Any

import numpy as np


class RecordedBinding:
    """Takes what `onnxruntime.IOBinding` takes, and repeats it on the binding of the session that will run.

    Attributes:
        shapes: Of the inputs bound, by name.
        ready: What runs the session by whose identity it is kept, with all that is bound; empty after each change.
    """

    def __init__(self) -> None:
        self.ready: dict[int, Callable[[Any], None]] = {}
        self.shapes: dict[str, _Shaped] = {}
        self._inputs: dict[str, tuple[str, tuple[Any, ...]]] = {}
        self._outputs: dict[str, tuple[str, tuple[Any, ...], dict[str, Any]]] = {}
        self._natives: dict[int, tuple[Any, Any]] = {}
        self._last: Any = None

    def bind_cpu_input(self, name: str, arr_on_cpu: Any) -> None:
        """As onnxruntime's."""
        self._bind_input(name, "bind_cpu_input", (arr_on_cpu,), np.shape(arr_on_cpu))

    def bind_input(
        self, name: str, device_type: str, device_id: int, element_type: Any, shape: Any, buffer_ptr: int
    ) -> None:
        """As onnxruntime's."""
        self._bind_input(name, "bind_input", (device_type, device_id, element_type, shape, buffer_ptr), tuple(shape))

    def bind_ortvalue_input(self, name: str, ortvalue: Any) -> None:
        """As onnxruntime's."""
        self._bind_input(name, "bind_ortvalue_input", (ortvalue,), tuple(ortvalue.shape()))

    def bind_output(self, name: str, *arguments: Any, **options: Any) -> None:
        """As onnxruntime's."""
        self._bind_output(name, "bind_output", arguments, options)

    def bind_ortvalue_output(self, name: str, ortvalue: Any) -> None:
        """As onnxruntime's."""
        self._bind_output(name, "bind_ortvalue_output", (ortvalue,), {})

    def synchronize_inputs(self) -> None:
        """As onnxruntime's; on the CPU there is nothing to wait for."""

    def synchronize_outputs(self) -> None:
        """As onnxruntime's; on the CPU there is nothing to wait for."""

    def get_outputs(self) -> Any:
        """As onnxruntime's: of the last run."""
        return self._ran().get_outputs()

    def get_outputs_as_ortvaluevector(self) -> Any:
        """As onnxruntime's: of the last run."""
        return self._ran().get_outputs_as_ortvaluevector()

    def copy_outputs_to_cpu(self) -> Any:
        """As onnxruntime's: of the last run."""
        return self._ran().copy_outputs_to_cpu()

    def clear_binding_inputs(self) -> None:
        """As onnxruntime's."""
        self._inputs.clear()
        self.shapes.clear()
        self._forget()

    def clear_binding_outputs(self) -> None:
        """As onnxruntime's."""
        self._outputs.clear()
        self._forget()

    def on(self, session: Any, make: Callable[[], Any]) -> Any:
        """The binding of a session, with all that is bound; made when it is first needed.

        Args:
            session: The session that will run.
            make: Makes its own binding.
        """
        if id(session) not in self._natives:
            native = make()
            for name, (method, arguments) in self._inputs.items():
                getattr(native, method)(name, *arguments)
            for name, (method, arguments, options) in self._outputs.items():
                getattr(native, method)(name, *arguments, **options)
            self._natives[id(session)] = (session, native)
        self._last = self._natives[id(session)][1]
        return self._last

    def _ran(self) -> Any:
        if self._last is None:
            raise ValueError("nothing was run with this binding yet")
        return self._last

    def _forget(self) -> None:
        self._natives.clear()
        self.ready.clear()

    def _bind_input(self, name: str, method: str, arguments: tuple[Any, ...], shape: tuple[int, ...]) -> None:
        self._inputs[name] = (method, arguments)
        self.shapes[name] = _Shaped(shape)
        self._forget()

    def _bind_output(self, name: str, method: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
        self._outputs[name] = (method, arguments, options)
        self._forget()


class _Shaped:
    """Something with a shape, for `numpy.shape`."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
