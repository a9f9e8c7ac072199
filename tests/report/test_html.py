"""The page: complete, self-contained, escaped, and drawn by a real browser."""

import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from edgebig.errors import MissingDependencyError, OutputError, UsageError
from edgebig.report import LayerRow, ModelRow, charts, write_report

NASTY = 'int8 <script>alert(1)</script> & "co"'
GENERATOR = np.random.default_rng(0)


def row(name: str, value: float | None = 0.9, size: int = 800_000, runs: int = 500) -> ModelRow:
    return ModelRow(
        name=name,
        bytes=size,
        metric="top1",
        value=value,
        standard_error=None if value is None else 0.006,
        latency_ms=tuple(GENERATOR.gamma(20, 0.02, runs).tolist()),
        latency_interval_ms=(0.39, 0.41) if runs else None,
    )


ROWS = [row("float"), row(NASTY, 0.89, 200_000), row("pruned", 0.88, 790_000)]
LAYERS = [LayerRow(model="pruned", layer=f"conv{i}", sparsity=i / 4, weights=100) for i in range(4)]


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.found)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "r.html"
    facts = {"processor": "An <odd> CPU", "threads": "1"}
    return write_report(path, "Float & int8", ROWS, layers=LAYERS, facts=facts)


def test_the_page_is_whole(page: Path) -> None:
    text = page.read_text()
    tags = Tags(text)
    assert text.startswith("<!doctype html>")
    assert tags.count("svg") == 4
    assert tags.count("tr") == 1 + len(ROWS)
    assert "<h1>Float &amp; int8</h1>" in text
    assert "An &lt;odd&gt; CPU" in text


def test_nothing_is_fetched_and_nothing_runs(page: Path) -> None:
    text = page.read_text()
    tags = Tags(text)
    assert not {"script", "link", "img", "iframe", "image"} & {name for name, _ in tags.found}
    for name, attributes in tags.found:
        for key in ("src", "href", "xlink:href"):
            assert not (attributes.get(key) or "").startswith(("http", "//")), (name, attributes)
    assert "@import" not in text
    assert not re.search(r"url\((?!['\"]?#)", text)


def test_ids_are_unique_and_refer_to_something(page: Path) -> None:
    text = page.read_text()
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"url\(['\"]?#([^)'\"]+)", text)) <= set(ids)


@pytest.mark.parametrize(
    ("rows", "layers", "charts_drawn"),
    [
        ([row("only")], [], 1),
        ([row("a", None), row("b", None)], [], 1),
        ([row("a", runs=0), row("b", runs=0)], [], 1),
        ([row("a", None, runs=0)], LAYERS, 1),
        ([row("a"), row("b", None, runs=0)], [], 1),
    ],
)
def test_gaps_leave_plots_out(tmp_path: Path, rows: list[ModelRow], layers: list[LayerRow], charts_drawn: int) -> None:
    path = write_report(tmp_path / "r.html", "t", rows, layers=layers)
    assert Tags(path.read_text()).count("svg") == charts_drawn


def test_many_runs_are_thinned_to_quantiles_without_the_slowest() -> None:
    values = 1 + GENERATOR.random(9_900)
    thinned = charts._thinned([*values.tolist(), *[1e9] * 100])
    assert len(thinned) == charts.MAX_TICKS
    assert (thinned[0], thinned[-1]) == (values.min(), values.max())
    assert np.median(thinned) == pytest.approx(np.median(values), abs=0.01)
    assert charts._thinned([3.0, 1.0, 2.0]) == [1.0, 2.0, 3.0]


def test_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "r.html"
    with pytest.raises(UsageError, match="at least one model"):
        write_report(path, "t", [])
    with pytest.raises(UsageError, match="a name of its own; got a, a"):
        write_report(path, "t", [row("a"), row("a")])
    path.write_text("old")
    with pytest.raises(OutputError, match="exists"):
        write_report(path, "t", [row("a")])
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "edgebig\[report\]"'):
        write_report(path, "t", [row("a")], force=True)
    assert path.read_text() == "old"


@pytest.mark.slow
def test_a_browser_draws_it(page: Path, tmp_path: Path) -> None:
    """Chromium parses the page into the expected elements, without scripts, and paints a picture."""
    browser = next(
        (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
    )
    if browser is None:
        pytest.skip("no Chromium is installed")
    picture = tmp_path / "page.png"
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    flags += ["--disable-component-update", "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}"]
    flags += ["--window-size=900,1500", "--host-resolver-rules=MAP * ~NOTFOUND"]
    dom = subprocess.run(
        [browser, *flags, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=120, check=True
    ).stdout
    tags = Tags(dom)
    assert (tags.count("svg"), tags.count("tr"), tags.count("script")) == (4, 4, 0)
    assert "int8 &lt;script&gt;" in dom
    subprocess.run(
        [browser, *flags, f"--screenshot={picture}", page.as_uri()], capture_output=True, timeout=120, check=True
    )
    assert picture.stat().st_size > 20_000
