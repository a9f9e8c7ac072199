"""Execution providers by name. A new provider is one line here."""

from collections.abc import Sequence
from dataclasses import dataclass

from edgebig.errors import MissingDependencyError
from edgebig.registry import Registry


@dataclass(frozen=True)
class Provider:
    """An execution provider of onnxruntime.

    Attributes:
        full_name: onnxruntime's name of it.
        extra: The edgebig extra that installs it.
    """

    full_name: str
    extra: str


providers: Registry[Provider] = Registry("provider")
providers.register("cpu", Provider("CPUExecutionProvider", extra="cpu"))


def check_available(provider: Provider, available: Sequence[str], version: str) -> None:
    """Refuse a provider that the installed build of onnxruntime does not have.

    Raises:
        MissingDependencyError: It is not among `available`; the message holds the install line.
    """
    if provider.full_name not in available:
        raise MissingDependencyError(
            f"{provider.full_name} is not in the installed onnxruntime {version}, which has {', '.join(available)}. "
            f'Run: pip install "edgebig[{provider.extra}]"'
        )


def check_in_force(provider: Provider, in_force: Sequence[str]) -> None:
    """Refuse a session that fell back to another provider: its times would be those of something else.

    Raises:
        MissingDependencyError: The requested provider is not the first in force.
    """
    if list(in_force[:1]) != [provider.full_name]:
        raise MissingDependencyError(
            f"{provider.full_name} was requested and did not load; onnxruntime fell back to {', '.join(in_force)}. "
            "Run edgebig doctor: it names the library that is missing, and the line that mends it."
        )
