"""Which remedies are named, and in which order."""

from collections.abc import Collection

import onnx_ir as ir
import pytest

from edgebig.diagnose.causes import Context
from edgebig.diagnose.damage import Judgement, recovered
from edgebig.diagnose.remedies import Candidate, best_exclusion, find_remedies, float_nodes, ordered, remedy
from tests.diagnose.build import context, layer, net, net_samples, qdq

SOUND = {"x": (-4.0, 4.0), "b": (0.0, 5.0), "d": (0.0, 5.0), "y": (-5.0, 5.0)}
WEIGHTS = {"wa": 1, "wb": 1, "wc": 1}
BASE = Judgement(1.0, 1.0)


class StubJudge:
    """Errors as a test wants them: the base, less what each layer takes back."""

    def __init__(self, takes_back: dict[str, float], defined: float = 1.0) -> None:
        self.takes_back, self.defined = takes_back, defined
        self.calls = 0

    def of(self, model: ir.Model) -> Judgement:
        return BASE

    def as_defined(self, model: ir.Model) -> Judgement:
        return Judgement(self.defined, self.defined)

    def restored(self, inspected: object, layers: Collection[ir.Node]) -> Judgement:
        self.calls += 1
        return Judgement(1.0 - sum(self.takes_back.get(item.outputs[0].name or "", 0.0) for item in layers), 0.0)


@pytest.fixture(scope="module")
def found() -> Context:
    return context(net(), qdq(net(), SOUND, WEIGHTS), net_samples())


def candidates(found: Context, judge: StubJudge, names: str) -> list[Candidate]:
    layers = [layer(found, name) for name in names]
    return [Candidate(item, frozenset({item}), judge.restored(None, [item])) for item in layers]


def test_the_exclusion_is_as_small_as_can_be(found: Context) -> None:
    judge = StubJudge({"a": 0.5, "c": 0.4, "b": 0.02})
    chosen, judgement = best_exclusion(judge, found, candidates(found, judge, "abcdy"), BASE)  # type: ignore[arg-type]
    assert {item.outputs[0].name for item in chosen} == {"a", "c"}
    assert judgement.error == pytest.approx(0.1)
    lone = StubJudge({"d": 0.95})
    chosen, _ = best_exclusion(lone, found, candidates(found, lone, "abcdy"), BASE)  # type: ignore[arg-type]
    assert [item.outputs[0].name for item in chosen] == ["d"]
    assert float_nodes(found.inspected, layer(found, "d")) == ["d"]


def test_a_processor_that_saturates_is_told_from_a_bad_file(found: Context) -> None:
    judge = StubJudge({}, defined=0.02)
    remedies, findings = find_remedies(judge, found, [], BASE, "edgebig quantize f", healthy=False, wide=True)  # type: ignore[arg-type]
    assert [cause.kind for cause in findings] == ["U8S8 saturation"]
    assert "off by 100.0% here, by 2.0% by the definition" in findings[0].text
    assert remedies[0].command == "edgebig quantize f --weight-bits 7"
    assert remedies[0].helps
    same = StubJudge({}, defined=0.95)
    _, findings = find_remedies(same, found, [], BASE, "edgebig quantize f", healthy=True, wide=True)  # type: ignore[arg-type]
    assert findings == []


def test_the_order_weighs_what_a_remedy_costs() -> None:
    half = remedy("half in float", "q --exclude a --exclude b", BASE, Judgement(0.10, 0))
    ranges = remedy("ranges", "q --calibration minmax", BASE, Judgement(0.15, 0))
    wide = remedy("16 bits", "q --activation-bits 16", BASE, Judgement(0.12, 0))
    useless = remedy("nothing", "q", BASE, Judgement(0.9, 0))
    broken = remedy("worse", "q", BASE, Judgement(float("inf"), 0))
    order = ordered([broken, useless, half, wide, ranges], layers=4)
    assert [item.what for item in order] == ["ranges", "16 bits", "half in float", "nothing", "worse"]
    assert [item.helps for item in order] == [True, True, True, False, False]


def test_what_is_recovered() -> None:
    nan = Judgement(float("inf"), float("inf"))
    assert recovered(BASE, Judgement(0.25, 0)) == 0.75
    assert recovered(nan, BASE) == 1.0
    assert recovered(nan, nan) == 0.0
    assert recovered(BASE, nan) is None
