"""Which packages edgebig needs by its own metadata, and which are installed."""

from collections.abc import Callable, Sequence
from importlib import metadata

from packaging.requirements import Requirement

from edgebig.records.doctor import PackageState

# Extras that only edgebig's own developers need.
_DEVELOPMENT = frozenset({"dev"})


def installed_version(name: str) -> str | None:
    """The version of an installed package; None when it is missing."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def package_states(version_of: Callable[[str], str | None] = installed_version) -> tuple[PackageState, ...]:
    """The state of every package of the core and of the extras, each extra's own packages once.

    Empty where edgebig itself is not installed, since its metadata says what it needs.
    """
    try:
        distribution = metadata.distribution("edgebig")
    except metadata.PackageNotFoundError:
        return ()
    extras = [extra for extra in distribution.metadata.get_all("Provides-Extra") or [] if extra not in _DEVELOPMENT]
    return states_of(distribution.requires or [], extras, version_of)


def states_of(
    requirements: Sequence[str], extras: Sequence[str], version_of: Callable[[str], str | None]
) -> tuple[PackageState, ...]:
    """Judge requirements as a package's metadata writes them.

    Args:
        requirements: Requirement strings, with markers.
        extras: The extras to look at, besides the core.
        version_of: Gives the installed version of a package.

    Returns:
        Core packages first, then each extra's; a package is listed where it comes first.
    """
    parsed = [Requirement(text) for text in requirements]
    states: dict[str, PackageState] = {}
    for extra in ("", *extras):
        for requirement in parsed:
            if requirement.name != "edgebig" and _belongs(requirement, extra):
                states.setdefault(requirement.name, _state(requirement, extra, version_of(requirement.name)))
    return tuple(states.values())


def runtime_distributions() -> tuple[str, ...]:
    """Installed packages that bring the module `onnxruntime`. More than one overwrite each other's files."""
    return tuple(sorted(set(metadata.packages_distributions().get("onnxruntime", ()))))


def _belongs(requirement: Requirement, extra: str) -> bool:
    """Whether a requirement holds for an extra (the empty one: the core) and not for the core already."""
    if requirement.marker is None:
        return not extra
    core = requirement.marker.evaluate({"extra": ""})
    return core if not extra else not core and requirement.marker.evaluate({"extra": extra})


def _state(requirement: Requirement, extra: str, installed: str | None) -> PackageState:
    fits = installed is not None and requirement.specifier.contains(installed, prereleases=True)
    target = f"edgebig[{extra}]" if extra and installed is None else f"{requirement.name}{requirement.specifier}"
    return PackageState(
        name=requirement.name,
        required=str(requirement.specifier),
        extra=extra,
        installed=installed,
        fits=fits,
        mend=None if fits else f'pip install "{target}"',
    )
