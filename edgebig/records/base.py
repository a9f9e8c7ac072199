"""Records: frozen dataclasses that are written as JSON with a schema name and a version, and read back with checks."""

import dataclasses
import difflib
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

import msgspec

from edgebig.errors import InvalidDataError, UsageError
from edgebig.files import write_text

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """Base of what a step reports: a frozen dataclass with a versioned JSON form.

    A child sets `schema`; fields are JSON types, tuples, dicts, enums, and other dataclasses.
    """

    schema: ClassVar[str]
    version: ClassVar[int] = 1

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON types, `schema` and `version` first."""
        return {"schema": self.schema, "version": self.version, **msgspec.to_builtins(self)}

    def to_json(self) -> str:
        """The record as indented JSON text."""
        return msgspec.json.format(msgspec.json.encode(self.to_dict()), indent=2).decode()

    def write_json(self, path: Path) -> None:
        """Write the JSON form to a file, replacing it in one step."""
        write_text(path, self.to_json() + "\n")

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Self:
        """Read the record back.

        Raises:
            InvalidDataError: Another schema or version, a missing field, or a field of the wrong type.
        """
        fields = dict(content)
        found = (fields.pop("schema", None), fields.pop("version", None))
        if found != (cls.schema, cls.version):
            raise InvalidDataError(
                f"expected a record {cls.schema!r} version {cls.version}, got {found[0]!r} {found[1]!r}"
            )
        try:
            return msgspec.convert(fields, cls)
        except msgspec.ValidationError as e:
            raise InvalidDataError(f"record {cls.schema!r} cannot be read: {e}") from e

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read the record from JSON text.

        Raises:
            InvalidDataError: Not JSON, or not this record.
        """
        try:
            content = msgspec.json.decode(text, type=dict[str, Any])
        except msgspec.DecodeError as e:
            raise InvalidDataError(f"record {cls.schema!r} is not valid JSON: {e}") from e
        return cls.from_dict(content)


def options_from_dict(cls: type[T], content: dict[str, Any], *, where: str) -> T:
    """Build a frozen options dataclass from a table of a recipe.

    Args:
        cls: The dataclass.
        content: Its fields by name.
        where: Where the table stands, for messages, e.g. "recipe.toml, step 2 (prune)".

    Raises:
        UsageError: An unknown field (the nearest known one is named), a wrong type, or a value that the class refuses.
    """
    known = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    for name in content:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise UsageError(f"{where}: unknown option {name!r}.{hint} Known: {', '.join(known)}.")
    try:
        return msgspec.convert(content, cls)
    except (msgspec.ValidationError, UsageError) as e:
        raise UsageError(f"{where}: {e}") from e
