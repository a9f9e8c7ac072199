"""How export's options are written."""

import pytest

from edgebig.errors import UsageError
from edgebig.records.export import ExportOptions
from edgebig.records.export_syntax import AxisRequest, InputRequest, parse_axis, parse_input, parse_sizes


def test_inputs_with_dynamic_axes_and_ranges() -> None:
    assert parse_input("image:float32:?x3x224x224") == InputRequest("image", "float32", (None, 3, 224, 224))
    assert parse_input("ids:int64:2x?:0..30521") == InputRequest("ids", "int64", (2, None), 0.0, 30521.0)
    assert parse_input("scale:float32:") == InputRequest("scale", "float32", ())


@pytest.mark.parametrize(
    "text",
    [
        "image",
        "image:float32",
        ":float32:2",
        "image:float32:2x",
        "image:float32:0x3",
        "image:float32:2,3",
        "a:int64:2:5",
        "a:int64:2:9..1",
        "a b:int64:2",
        "a:int64:-1x2",
        "a:int64:2:0..5:x",
    ],
)
def test_other_forms_of_an_input_are_refused_with_the_form(text: str) -> None:
    with pytest.raises(UsageError, match="NAME:DTYPE:SHAPE"):
        parse_input(text)


def test_an_unknown_dtype_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"'float'.*Known: float32, float64"):
        parse_input("image:float:2x3")


def test_axes_and_sizes() -> None:
    assert parse_axis("image:0=batch") == AxisRequest("image", 0, "batch")
    assert parse_axis("x:-1=width") == AxisRequest("x", -1, "width")
    assert parse_sizes("batch=1,2,8") == ("batch", (1, 2, 8))
    for text in ("image:0", "image=batch", "image:a=batch", "image:0=2", ":0=batch"):
        with pytest.raises(UsageError, match="INPUT:AXIS=NAME"):
            parse_axis(text)
    for text in ("batch", "batch=", "batch=0", "batch=1,,2", "batch=1.5"):
        with pytest.raises(UsageError, match="AXIS=N"):
            parse_sizes(text)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"external_data": "maybe"}, "Known: auto, yes, no"),
        ({"tolerance": 0.0}, "between 0 and 1"),
        ({"tolerance": float("nan")}, "between 0 and 1"),
        ({"samples": 0}, "at least one"),
        ({"outputs": ("a", "a")}, "a name of its own"),
        ({"inputs": ("a:int64:2", "a:int64:3")}, "input 'a' is given twice"),
        ({"dynamic": ("a:0=x", "a:0=y")}, "dynamic axis 'a:0' is given twice"),
        ({"sizes": ("a=1", "a=2")}, "given twice"),
        ({"inputs": ("a",)}, "NAME:DTYPE:SHAPE"),
        ({"dynamic": ("a",)}, "INPUT:AXIS=NAME"),
        ({"sizes": ("a",)}, "AXIS=N"),
    ],
)
def test_options_are_checked_when_they_are_made(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ExportOptions(**options)  # type: ignore[arg-type]
