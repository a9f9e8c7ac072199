"""Optional packages: imported on use, and named with their install line when missing."""

import importlib
from types import ModuleType

from edgebig.errors import MissingDependencyError


def require(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import an optional module.

    Args:
        module: Its import name, e.g. "torch".
        extra: The edgebig extra that installs it.
        purpose: What needs it, for the message, e.g. "edgebig export".

    Raises:
        MissingDependencyError: It is not installed; the message holds the install line.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as e:
        if e.name is None or e.name.split(".")[0] != module.split(".")[0]:
            raise
        raise MissingDependencyError(
            f'{purpose} needs the package {module!r}, which is not installed. Run: pip install "edgebig[{extra}]"'
        ) from e
