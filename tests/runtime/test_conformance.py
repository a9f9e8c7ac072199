"""The node tests of `onnx.backend.test`: what stock onnxruntime passes, ours passes, with kernels in place of nodes.

Kernels take over wherever they can, not only where it pays: nothing is measured, and every operator that can be lowered
counts as work. Each case is run as it is, and with all inputs but the first as constants, since kernels want constant
weights. The whole set takes about six minutes of one core the first time, most of it compiling the kernels of some
hundred segments; they are kept in pytest's cache.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

import onnx
import pytest
from onnx.backend.test.case.test_case import TestCase

from edgebig.runtime import Cache, partition
from edgebig.runtime.lower.handlers import HANDLERS, MICROSOFT
from tests.runtime.node_tests import load_cases, run_case, with_constants

# Modules of onnx.backend.test.case.node for every day: those whose kernels do the work of quantized models.
SAMPLE = (
    "averagepool",
    "concat",
    "conv",
    "dequantizelinear",
    "flatten",
    "gemm",
    "globalaveragepool",
    "matmul",
    "maxpool",
    "qlinearconv",
    "qlinearmatmul",
    "quantizelinear",
)


@pytest.fixture
def kept(pytestconfig: pytest.Config) -> Cache:
    """A cache that outlives the test run: kernels are compiled again only where they, or their compiler, changed."""
    return Cache(pytestconfig.cache.mkdir("kernels"))


@pytest.fixture
def everything_is_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """A segment need not hold a product to be worth it."""
    monkeypatch.setattr(partition, "WORK", frozenset(HANDLERS) | frozenset(MICROSOFT))


def variants(cases: Iterable[TestCase]) -> Iterator[tuple[str, TestCase, onnx.ModelProto]]:
    """Each case as it is, and with constants."""
    for case in cases:
        yield case.name, case, case.model
        changed = with_constants(case)
        if changed is not None:
            yield f"{case.name} with constants", case, changed


def run_all(cases: Iterable[TestCase], cache: Cache, *, measure: bool = False) -> tuple[Counter[str], list[str]]:
    """Counts, and what stock onnxruntime passes and ours does not."""
    counts, wrong = Counter[str](), []
    for name, case, model in variants(cases):
        found = run_case(case, model, cache, measure=measure)
        counts["run"] += 1
        counts["stock passes"] += found.stock is None
        counts["ours passes"] += found.stock is None and found.ours is None
        counts["kernels ran"] += found.kernels
        if found.ours is not None:
            wrong.append(f"{name}: {found.ours.splitlines()[0]}")
    print(dict(counts))
    return counts, wrong


@pytest.mark.usefixtures("everything_is_work")
def test_a_sample(kept: Cache) -> None:
    counts, wrong = run_all(load_cases(SAMPLE), kept)
    assert wrong == []
    assert counts["stock passes"] == counts["ours passes"] > 130
    assert counts["kernels ran"] > 70


def test_a_sample_with_measuring(cache: Cache) -> None:
    """As users have it: kernels run where they were measured faster, whichever these are."""
    counts, wrong = run_all(load_cases(("qlinearconv", "qlinearmatmul", "globalaveragepool")), cache, measure=True)
    assert wrong == []
    assert counts["stock passes"] == counts["ours passes"] > 10


@pytest.mark.exhaustive
@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("everything_is_work")
def test_all_of_them(kept: Cache) -> None:
    counts, wrong = run_all(load_cases(), kept)
    assert wrong == []
    assert counts["stock passes"] == counts["ours passes"] > 2000
    assert counts["kernels ran"] > 500
