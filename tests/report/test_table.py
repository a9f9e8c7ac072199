"""The words and numbers of a report's table."""

from edgebig.report import table
from edgebig.report.rows import ModelRow

FLOAT = ModelRow(
    name="float",
    bytes=800_000,
    metric="top1",
    value=0.923,
    standard_error=0.006,
    latency_ms=(3.0, 1.0, 2.0),
    latency_interval_ms=(1.5, 2.5),
)
INT8 = ModelRow(
    name="int8",
    bytes=200_000,
    metric="top1",
    value=0.9215,
    standard_error=0.0061,
    difference_error=0.0012,
    latency_ms=(1.0,),
    speedup_interval=(1.9, 2.1),
)


def test_columns_that_nobody_fills_are_left_out() -> None:
    assert table.columns([FLOAT, INT8]) == ["model", "size", "top1", "vs first", "latency", "speed"]
    assert table.columns([FLOAT]) == ["model", "size", "top1", "latency"]
    bare = ModelRow(name="m", bytes=1)
    assert table.columns([bare, ModelRow(name="n", bytes=2)]) == ["model", "size"]
    assert table.cells(bare, [bare]) == [("0 KB", "")]
    assert table.legend([bare]) == ""


def test_cells() -> None:
    rows = [FLOAT, INT8]
    assert table.cells(FLOAT, rows) == [
        ("800 KB", ""),
        ("0.9230", "± 0.0060"),
        ("", ""),
        ("2 ms", "[1.5, 2.5]"),
        ("", ""),
    ]
    assert table.cells(INT8, rows) == [
        ("200 KB", "0.25x"),
        ("0.9215", "± 0.0061"),
        ("-0.0015", "± 0.0012"),
        ("1 ms", ""),
        ("2.00x", "[1.90, 2.10]"),
    ]


def test_rows_with_gaps() -> None:
    rows = [FLOAT, ModelRow(name="m", bytes=30_000_000)]
    assert table.cells(rows[1], rows) == [("30.0 MB", "37.50x"), ("-", ""), ("", ""), ("-", ""), ("", "")]
    assert table.summary(rows) == "m is 38 times larger than float."


def test_a_measured_ratio_comes_before_that_of_the_medians() -> None:
    row = ModelRow(name="m", bytes=1, latency_ms=(1.0,), speedup=1.8, speedup_interval=(1.7, 1.9))
    assert table.cells(row, [FLOAT, row])[-1] == ("1.80x", "[1.70, 1.90]")
    assert "1.8 times faster" in table.summary([FLOAT, row])


def test_the_summary() -> None:
    assert table.summary([FLOAT, INT8]) == (
        "int8 is 4 times smaller and 2 times faster than float; top1 0.9215, -0.0015 ± 0.0012."
    )
    assert "2 times slower" in table.summary([INT8, FLOAT])
    assert table.summary([FLOAT]) == "float: 800 KB."
