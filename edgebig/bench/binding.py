"""A session on the provider asked for, and a run of it without copies: memory is bound to it once."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edgebig.bench.providers import Provider, check_available, check_in_force
from edgebig.data.feeds import Feed
from edgebig.dependencies import require
from edgebig.errors import EdgebigError, InvalidModelError
from edgebig.graph.session import Session
from edgebig.timing.clock import Run


def open_session(path: Path, provider: Provider, *, threads: int, opener: Callable[..., Any] | None = None) -> Session:
    """Build a session on a provider, or refuse.

    Args:
        path: The `.onnx` file.
        provider: Where to run it.
        threads: Threads within an operator; 0 leaves the choice to onnxruntime.
        opener: Opens a file in place of `onnxruntime.InferenceSession`, with the same arguments.

    Raises:
        InvalidModelError: onnxruntime refuses the model.
        MissingDependencyError: The provider is not in this build of onnxruntime, or did not load.
    """
    ort = require("onnxruntime", extra=provider.extra, purpose="edgebig bench")
    check_available(provider, ort.get_available_providers(), ort.__version__)
    session = Session(path, threads=threads, providers=(provider.full_name,), opener=opener)
    check_in_force(provider, session.inner.get_providers())
    return session


def bind_run(session: Session, feed: Feed, outputs: Mapping[str, Any]) -> Run:
    """Bind a feed and outputs of known shapes, and run once to see that it works.

    Args:
        session: The session.
        feed: Its inputs, which are read in place.
        outputs: What it gave for this feed: outputs are bound to memory of these shapes. Where one is no tensor of
            numbers, or changes its shape from run to run, onnxruntime allocates all of them in every run.

    Returns:
        A callable that runs once.

    Raises:
        InvalidModelError: onnxruntime cannot bind these inputs, or fails to run with them.
    """
    ort = require("onnxruntime", extra="cpu", purpose="edgebig bench")
    binding = session.inner.io_binding()
    with explained(session.name):
        for name, array in feed.items():
            binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(array))
        if all(isinstance(value, np.ndarray) and value.dtype != object for value in outputs.values()):
            for name, value in outputs.items():
                binding.bind_ortvalue_output(name, ort.OrtValue.ortvalue_from_numpy(np.empty_like(value)))
            run: Run = partial(session.inner.run_with_iobinding, binding)
            try:
                run()
            except Exception:  # another shape this time; onnxruntime raises classes without a common base
                binding.clear_binding_outputs()
            else:
                return run
        run = partial(_run_allocating, session, binding, tuple(outputs))
        run()
    return run


@contextmanager
def explained(where: str) -> Iterator[None]:
    """Turn what onnxruntime raises while it runs into an error in plain words.

    Args:
        where: The model, or models, for the message.

    Raises:
        InvalidModelError: Anything was raised that is not edgebig's own.
    """
    try:
        yield
    except EdgebigError:
        raise
    except Exception as e:  # onnxruntime raises many classes without a common base
        reason = str(e).strip().split("\n")[0]
        raise InvalidModelError(f"{where}: onnxruntime cannot run it with bound inputs: {reason}") from e


def _run_allocating(session: Session, binding: Any, outputs: Sequence[str]) -> None:
    for name in outputs:
        binding.bind_output(name)  # or the memory of the run before would be used again, with its shape
    session.inner.run_with_iobinding(binding)
