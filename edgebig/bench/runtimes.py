"""What runs a model, by name. A new runtime is one line at the end."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edgebig.bench.binding import open_session
from edgebig.bench.providers import Provider
from edgebig.errors import UsageError
from edgebig.graph.session import Session
from edgebig.records.runtime import RuntimeRecord
from edgebig.registry import Registry

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Opened:
    """A session that is ready.

    Attributes:
        session: The session.
        story: What edgebig's runtime did with the model; None where another runs it, or kernels cannot run at all.
        doubt: Why the runtime that was asked for runs nothing of it; None where it does.
    """

    session: Session
    story: RuntimeRecord | None = None
    doubt: str | None = None


@dataclass(frozen=True)
class Runtime:
    """A way to run models.

    Attributes:
        full_name: Its name in words.
        open: Builds a session of a file, on a provider, with so many threads within an operator (0: its own choice),
            for inputs of these shapes.
        providers: Names of the providers it runs on; empty for all.
    """

    full_name: str
    open: Callable[[Path, Provider, int, Shapes], Opened]
    providers: tuple[str, ...] = ()


def check_provider(runtime: Runtime, provider: str) -> None:
    """Refuse a provider that a runtime does not run on.

    Raises:
        UsageError: It does not; the message names those it runs on.
    """
    if runtime.providers and provider not in runtime.providers:
        allowed = ", ".join(runtime.providers)
        raise UsageError(f"{runtime.full_name} runs on {allowed}, not on {provider}. Leave one of the two out.")


def _open_onnxruntime(path: Path, provider: Provider, threads: int, shapes: Shapes) -> Opened:
    return Opened(open_session(path, provider, threads=threads))


def _open_edgebig(path: Path, provider: Provider, threads: int, shapes: Shapes) -> Opened:
    from edgebig.runtime.session import InferenceSession

    opener = partial(InferenceSession, shapes=[shapes])
    session = open_session(path, provider, threads=threads, opener=opener)
    records = session.inner.records
    return Opened(session, records[0], None) if records else Opened(session, None, session.inner.explain())


runtimes: Registry[Runtime] = Registry("runtime")
runtimes.register("ort", Runtime("onnxruntime", _open_onnxruntime))
runtimes.register("edgebig", Runtime("edgebig in onnxruntime", _open_edgebig, providers=("cpu",)))
