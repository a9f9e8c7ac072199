"""Whether edgebig's kernels run here, what they are compiled for, and the cache of what was compiled."""

from edgebig.bench.installed_runtime import last_words, run_probe
from edgebig.bench.probe import KERNELS
from edgebig.records.doctor import CacheState, KernelState, Problem
from edgebig.runtime.cache import Cache
from edgebig.runtime.cache_folder import VARIABLE, default_folder


def examine_kernels() -> KernelState:
    """Try the way into onnxruntime in a process of its own, and ask Numba what it compiles for."""
    report, output = run_probe(KERNELS)
    if report is None:
        return KernelState(reason=last_words(output), processor=None, features=(), products=())
    return KernelState(
        reason=report["reason"],
        processor=report["processor"],
        features=tuple(report["features"]),
        products=tuple(report["products"]),
    )


def examine_cache() -> CacheState:
    """Look at the cache that this process would use."""
    cache = Cache()
    entries = cache.entries()
    return CacheState(
        folder=str(cache.folder),
        wanted=str(default_folder()),
        entries=len(entries),
        bytes=sum(entry.bytes for entry in entries),
        limit_bytes=cache.limit_bytes,
    )


def clear_cache() -> CacheState:
    """Empty the cache.

    Returns:
        How it was before.
    """
    before = examine_cache()
    Cache().clear()
    return before


def cache_problem(state: CacheState) -> Problem | None:
    """What is wrong with the cache, if anything."""
    if state.folder == state.wanted:
        return None
    return Problem(
        what=f"The cache folder {state.wanted} cannot be used: kernels are compiled anew in every process.",
        mend=f"Let {VARIABLE} name a folder that belongs to you and that nobody else may write to.",
    )
