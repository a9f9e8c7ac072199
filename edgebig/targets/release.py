"""What a version of a runtime reads: the newest operator set and the newest IR version."""

from collections.abc import Sequence
from dataclasses import dataclass

from packaging.version import InvalidVersion, Version

from edgebig.errors import UsageError


@dataclass(frozen=True)
class Release:
    """One version of a runtime.

    Attributes:
        version: The version, e.g. "1.20".
        opset: Newest standard operator set it reads.
        ir_version: Newest IR version of files it reads; None where it does not look at it.
    """

    version: str
    opset: int
    ir_version: int | None = None


# onnxruntime refuses newer IR versions, and newer operator sets with "under development".
# 1.14 to 1.20: onnxruntime.ai/docs/reference/compatibility, and the onnx release named in its cmake/deps.txt;
# microsoft/onnxruntime issues 16638 (1.15: IR 8), 20559 (1.17: IR 9), 23602 (1.20: IR 10). 1.31: tried.
ONNXRUNTIME = (
    Release("1.14", 18, 8),
    Release("1.15", 19, 8),
    Release("1.16", 19, 9),
    Release("1.17", 20, 9),
    Release("1.18", 21, 10),
    Release("1.20", 21, 10),
    Release("1.31", 26, 13),
)


def release_for(releases: Sequence[Release], version: str, *, runtime: str) -> Release | None:
    """What a version reads: the newest release listed that is not newer than it, so that nothing is promised too much.

    Args:
        releases: Oldest first.
        version: E.g. "1.17.1".
        runtime: The runtime's name, for messages.

    Returns:
        None where no releases are listed.

    Raises:
        UsageError: It is no version, or older than all that are listed.
    """
    try:
        wanted = Version(version)
    except InvalidVersion:
        raise UsageError(f"{version!r} is no version of {runtime}. Write e.g. 1.20.") from None
    if not releases:
        return None
    older = [release for release in releases if Version(release.version) <= wanted]
    if not older:
        raise UsageError(f"{runtime} {version} is older than {releases[0].version}, the oldest version known here.")
    return older[-1]
