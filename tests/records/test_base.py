"""Records: frozen, written as JSON, read back with checks."""

import dataclasses
import json
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebig.errors import InvalidDataError, UsageError
from edgebig.records.base import Record, options_from_dict


class Kind(Enum):
    SMALL = "small"
    LARGE = "large"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    name: str
    share: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Example(Record):
    schema: ClassVar[str] = "test.example"
    version: ClassVar[int] = 2

    count: int
    kind: Kind
    rows: tuple[Row, ...] = ()
    facts: dict[str, float] = dataclasses.field(default_factory=dict)


NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@given(
    st.builds(
        Example,
        count=st.integers(-(2**62), 2**62),
        kind=st.sampled_from(Kind),
        rows=st.lists(st.builds(Row, name=st.text(), share=st.none() | NUMBERS), max_size=3).map(tuple),
        facts=st.dictionaries(st.text(), NUMBERS, max_size=3),
    )
)
def test_records_survive_json(record: Example) -> None:
    assert Example.from_json(record.to_json()) == record
    assert Example.from_dict(json.loads(record.to_json())) == record


def test_the_json_names_its_schema(tmp_path: Path) -> None:
    record = Example(count=1, kind=Kind.LARGE, rows=(Row(name="a"),))
    assert list(record.to_dict())[:2] == ["schema", "version"]
    record.write_json(tmp_path / "r.json")
    content = json.loads((tmp_path / "r.json").read_text())
    assert content == {
        "schema": "test.example",
        "version": 2,
        "count": 1,
        "kind": "large",
        "rows": [{"name": "a", "share": None}],
        "facts": {},
    }
    with pytest.raises(dataclasses.FrozenInstanceError):
        record.count = 2  # type: ignore[misc]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": "other"}, "expected a record 'test.example' version 2, got 'other' 2"),
        ({"version": 1}, "version 2, got 'test.example' 1"),
        ({"count": "1"}, r"Expected `int`, got `str` - at `\$.count`"),
        ({"count": None}, "Expected `int`, got `null`"),
        ({"kind": "huge"}, "Invalid enum value 'huge'"),
        ({"rows": [{"share": 1.0}]}, "missing required field `name`"),
    ],
)
def test_what_is_not_this_record(change: dict[str, Any], words: str) -> None:
    content = Example(count=1, kind=Kind.SMALL).to_dict() | change
    with pytest.raises(InvalidDataError, match=words):
        Example.from_dict(content)


@pytest.mark.parametrize("text", ["", "{", "[]", "5", b"\xff\xfe"])
def test_what_is_not_json(text: str | bytes) -> None:
    with pytest.raises(InvalidDataError, match="is not valid JSON"):
        Example.from_json(text)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    sparsity: float = 0.5
    pattern: str = "block"

    def __post_init__(self) -> None:
        if not 0 <= self.sparsity <= 1:
            raise UsageError(f"sparsity is {self.sparsity}; give 0 to 1")


def test_options_from_a_recipe() -> None:
    assert options_from_dict(Options, {"sparsity": 1}, where="r.toml") == Options(sparsity=1.0)
    for content, words in [
        ({"sparsty": 0.5}, "r.toml: unknown option 'sparsty'. Did you mean 'sparsity'"),
        ({"x": 0.5}, "unknown option 'x'. Known: sparsity, pattern"),
        ({"sparsity": "0.5"}, "r.toml: Expected `float`, got `str`"),
        ({"sparsity": 2.0}, "r.toml: sparsity is 2.0; give 0 to 1"),
    ]:
        with pytest.raises(UsageError, match=words):
            options_from_dict(Options, content, where="r.toml")
