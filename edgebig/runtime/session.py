"""`InferenceSession`: onnxruntime's, with the parts of the graph that kernels run faster replaced by kernels."""

import os
import threading
import warnings
import weakref
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import psutil

from edgebig.errors import EdgebigError
from edgebig.graph.load import load_model
from edgebig.records.runtime import RuntimeRecord
from edgebig.runtime.accelerate import Accelerated, accelerate
from edgebig.runtime.binding import RecordedBinding
from edgebig.runtime.bridge import attach, supported, unregister
from edgebig.runtime.cache import Cache
from edgebig.runtime.explain import tell
from edgebig.runtime.sessions import open_with
from edgebig.runtime.specialise import Shapes, dynamic_inputs

CPU = "CPUExecutionProvider"
MAX_SHAPES = 4


class InferenceSession(ort.InferenceSession):
    """A drop-in for `onnxruntime.InferenceSession` that runs quantized and sparse models faster on CPUs.

    The same arguments, methods and answers. Groups of nodes that were measured faster with edgebig's kernels, on this
    machine and for these shapes, run with them; everything else is onnxruntime's, and where nothing is faster all of it
    is. `explain` tells what happened. Compiled code and verdicts are cached: the second session of a model is built
    quickly.

    A model with dynamic axes is specialised for the input shapes that arrive, when they first arrive (this takes as
    long as building), for `max_shapes` of them; other shapes are run by onnxruntime.

    Args:
        path_or_bytes: An `.onnx` file, or its contents.
        sess_options: As for onnxruntime; the number of threads within an operator is what kernels use as well.
        providers: As for onnxruntime. Kernels run where the first is the CPU's (the default).
        provider_options: As for onnxruntime.
        shapes: Input shapes to specialise for at once, for models with dynamic axes: each a dict from the name of an
            input to its shape.
        max_shapes: Most shapes to specialise for.
        measure: Whether segments must be measured faster to be used; False uses all of them, for tests.
        cache: Where compiled code and verdicts lie; by default the user's cache folder.
    """

    def __init__(
        self,
        path_or_bytes: str | bytes | os.PathLike[str],
        sess_options: Any = None,
        providers: Sequence[Any] | None = None,
        provider_options: Sequence[dict[Any, Any]] | None = None,
        *,
        shapes: Sequence[Shapes] = (),
        max_shapes: int = MAX_SHAPES,
        measure: bool = True,
        cache: Cache | None = None,
        **kwargs: Any,
    ) -> None:
        options = ort.SessionOptions() if sess_options is None else sess_options
        self._arguments = (options, providers, provider_options, kwargs)
        self._edgebig = _State(options, measure, max_shapes)
        model = self._edgebig.readable(path_or_bytes, providers)
        if model is None:
            self._start(path_or_bytes)
            return
        self._edgebig.cache = cache or Cache()
        self._edgebig.model = model
        self._edgebig.dynamic = dynamic_inputs(model)
        if self._edgebig.dynamic:
            self._start(path_or_bytes)
            for given in shapes:
                self._session_of(_key(self._edgebig.dynamic, given))
            return
        found = self._edgebig.accelerated({})
        if found is None or found.model is None:
            self._start(path_or_bytes)
        else:
            attach(options)
            open_with(found.model, self._start)
            weakref.finalize(self, _forget, found.keys)

    def _start(self, source: Any) -> None:
        options, providers, provider_options, kwargs = self._arguments
        super().__init__(source, options, providers, provider_options, **kwargs)

    @property
    def records(self) -> tuple[RuntimeRecord, ...]:
        """What was done, per set of input shapes."""
        return tuple(self._edgebig.records)

    def explain(self) -> str:
        """What the kernels took over, what it gained, and why not the rest, in words."""
        if self._edgebig.reason is not None:
            return f"onnxruntime runs all of it: {self._edgebig.reason}."
        if not self._edgebig.records:
            return "Nothing built yet: the model has dynamic axes and is specialised for the shapes that arrive."
        return "\n\n".join(tell(record) for record in self._edgebig.records)

    def run(
        self, output_names: Sequence[str] | None, input_feed: Mapping[str, Any], run_options: Any = None
    ) -> list[Any]:
        """As onnxruntime's."""
        session = self._chosen(input_feed)
        if session is self:
            return super().run(output_names, input_feed, run_options)
        return session.run(output_names, input_feed, run_options)

    def io_binding(self) -> Any:
        """As onnxruntime's."""
        return RecordedBinding() if self._edgebig.dynamic else super().io_binding()

    def run_with_iobinding(self, iobinding: Any, run_options: Any = None) -> None:
        """As onnxruntime's."""
        if not isinstance(iobinding, RecordedBinding):
            super().run_with_iobinding(iobinding, run_options)
            return
        run = iobinding.ready.get(id(self))
        if run is None:
            session = self._chosen(iobinding.shapes)
            native = iobinding.on(session, super().io_binding if session is self else session.io_binding)
            run = partial(super().run_with_iobinding if session is self else session.run_with_iobinding, native)
            iobinding.ready[id(self)] = run
        run(run_options)

    def _chosen(self, feed: Mapping[str, Any]) -> Any:
        """The session for the shapes of a feed."""
        if not self._edgebig.dynamic:
            return self
        try:
            key = tuple(np.shape(feed[name]) for name in self._edgebig.dynamic)
        except (KeyError, ValueError):
            return self  # onnxruntime says what is wrong with the feed
        return self._session_of(key)

    def _session_of(self, key: "Key") -> Any:
        state = self._edgebig
        found = state.sessions.get(key)
        if found is not None:
            return found
        with state.lock:
            if key in state.sessions or len(state.sessions) >= state.max_shapes:
                return state.sessions.get(key, self)
            accelerated = state.accelerated(dict(zip(state.dynamic, key, strict=True)))
            session: Any = self
            if accelerated is not None and accelerated.model is not None:
                options, providers, provider_options, kwargs = self._arguments
                attach(options)
                session = open_with(
                    accelerated.model,
                    lambda source: ort.InferenceSession(source, options, providers, provider_options, **kwargs),
                )
                weakref.finalize(session, _forget, accelerated.keys)
            state.sessions[key] = session
            return session


Key = tuple[tuple[int, ...], ...]


class _State:
    """What a session knows besides onnxruntime's own."""

    def __init__(self, options: Any, measure: bool, max_shapes: int) -> None:
        self.threads = int(options.intra_op_num_threads) or threads_by_default()
        self.measure, self.max_shapes = measure, max_shapes
        self.model: ir.Model | None = None
        self.cache: Cache | None = None
        self.dynamic: tuple[str, ...] = ()
        self.sessions: dict[Key, Any] = {}
        self.records: list[RuntimeRecord] = []
        self.reason: str | None = None
        self.lock = threading.RLock()

    def readable(self, source: Any, providers: Sequence[Any] | None) -> ir.Model | None:
        """The model, where kernels may run it at all; else `reason` says why not."""
        first = CPU if not providers else providers[0]
        first = first if isinstance(first, str) else first[0]
        if first != CPU:
            self.reason = f"{first} was asked for, and kernels run on the CPU"
            return None
        self.reason = supported()
        if self.reason is not None:
            return None
        try:
            if isinstance(source, bytes):
                return ir.from_proto(onnx.ModelProto.FromString(source))
            return load_model(Path(source))
        except Exception as e:  # whatever is wrong with it, onnxruntime is asked and says so
            self.reason = f"the model cannot be read ({e})"
            return None

    def accelerated(self, shapes: Shapes) -> Accelerated | None:
        """The model made faster; None where that failed, with a warning unless the model is to blame."""
        if self.model is None or self.cache is None:
            return None
        try:
            found = accelerate(self.model, shapes, threads=self.threads, cache=self.cache, measure=self.measure)
        except EdgebigError as e:
            self.reason = str(e)
            return None
        except Exception as e:  # a defect of ours must not take away what onnxruntime can do
            self.reason = f"{type(e).__name__}: {e}"
            warnings.warn(f"edgebig could not speed this model up: {self.reason}", RuntimeWarning, stacklevel=4)
            return None
        self.records.append(found.record)
        return found


def threads_by_default() -> int:
    """Threads within an operator where the options leave it to onnxruntime: the physical cores that may be used."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(usable, psutil.cpu_count(logical=False) or usable))


def _key(names: Sequence[str], shapes: Mapping[str, Sequence[int]]) -> Key:
    missing = [name for name in names if name not in shapes]
    if missing:
        raise ValueError(f"shapes lack the inputs {missing}; inputs with dynamic axes are {list(names)}")
    return tuple(tuple(int(size) for size in shapes[name]) for name in names)


def _forget(keys: Sequence[int]) -> None:
    for key in keys:
        unregister(key)
