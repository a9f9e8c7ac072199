"""The operator set and the file version, as the installed onnxruntime loads them."""

import onnx
import onnx_ir as ir
import pytest

from edgebig.errors import UsageError
from edgebig.export.opset import (
    PREFERRED_OPSET,
    choose_opset,
    newest_loadable_ir_version,
    newest_loadable_opset,
    stamp_ir_version,
)


def test_what_is_found_by_trying_is_plausible() -> None:
    assert 20 <= newest_loadable_opset() <= onnx.defs.onnx_opset_version()
    assert 10 <= newest_loadable_ir_version() <= int(onnx.IR_VERSION)


def test_the_default_is_the_preferred_one_or_what_an_older_runtime_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_opset(None) == min(PREFERRED_OPSET, newest_loadable_opset())
    monkeypatch.setattr("edgebig.export.opset.newest_loadable_opset", lambda: 17)
    assert choose_opset(None) == 17


def test_an_opset_that_the_runtime_does_not_load_is_refused() -> None:
    newest = newest_loadable_opset()
    assert choose_opset(newest) == newest
    assert choose_opset(13) == 13
    for opset in (newest + 1, 12, -1):
        with pytest.raises(UsageError, match=f"Choose one from 13 to {newest}"):
            choose_opset(opset)


@pytest.mark.parametrize(("opset", "version"), [(13, 8), (18, 8), (20, 10), (21, 10), (23, 11)])
def test_the_file_version_is_the_oldest_that_the_opset_allows(opset: int, version: int) -> None:
    model = ir.Model(ir.Graph([], [], nodes=[], opset_imports={"": opset}, name="g"), ir_version=13)
    stamp_ir_version(model)
    assert model.ir_version == min(version, newest_loadable_ir_version())
