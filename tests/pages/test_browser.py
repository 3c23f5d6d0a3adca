"""The pages in a real browser: Debian's Chromium, driven by Playwright. Nothing is asked of a network."""

from __future__ import annotations

import itertools
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support.records import made_result
from udbench.pages.methods import Catalog
from udbench.pages.report import write_report
from udbench.pages.shell import render
from udbench.pages.views import boards, domain_url
from udbench.plugin.published import PublishedRow, PublishedTable

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not here: pip install playwright")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not here")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here: apt-get install chromium"),
]
WIDE, PHONE = {"width": 1400, "height": 900}, {"width": 360, "height": 740}
PAGES = (
    "index.html", "figures.html", "domains.html", "domains/left.html", "boards/small.html", "boards/alone.html",
    "entries/small/a0.html",
)  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with playwright.sync_playwright() as started:
        # Chromium's own sandbox cannot start for the root user of a container.
        made = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield made
        made.close()


@pytest.fixture
def pages(entries: Path, site: Callable[..., Any]) -> Path:
    """A site with pictures, published rows, refused files, and a report beside it."""
    rows = (PublishedRow(key="a", method="theirs", errors={"left": 0.1}, mean_error=0.1, note="at 32 px"),)
    table = PublishedTable(name="t", title="their table", suite="small", domains=("left", "right"), rows=rows)
    (entries / "small" / "broken.json").write_text("{")
    out, _ = site(
        published=(("Somebody", table), ("Somebody", table.model_copy(update={"suite": "alone"}))), images=True
    )
    run = out.parent / "run"
    run.mkdir()
    shutil.copy(entries / "small" / "a0.json", run / "result.json")
    shutil.copy(entries / "small" / "a0.npz", run / "predictions.npz")
    step = '{"event": "stepped", "round": %d, "lr": 0.1, "losses": {"left": %f}, "images": %d, "seconds": %d}'
    (run / "log.jsonl").write_text("\n".join(step % (n, 1 / n, n * 4, n) for n in range(1, 30)))
    shutil.copy(write_report(run, entries, Catalog(), "0"), out / "report.html")
    return out


@contextmanager
def opened(browser: Browser, path: Path, **about: Any) -> Iterator[Page]:
    """A page that complains of nothing and asks for nothing but itself."""
    context = browser.new_context(**{"viewport": WIDE, "reduced_motion": "reduce", **about})
    try:
        page = context.new_page()
        said: list[str] = []
        asked: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        yield page
        assert said == []
        assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    finally:
        context.close()


def column(page: Page, at: int) -> list[str]:
    """The words of a column, as far as its rows are shown."""
    return [
        row.locator("th, td").nth(at).inner_text().split("\n")[0]
        for row in page.locator(".ranking tbody tr:visible").all()
    ]


def test_columns_are_sorted_by_mouse_and_by_keyboard(browser: Browser, pages: Path) -> None:
    with opened(browser, pages / "boards/small.html") as page:
        assert column(page, 1) == ["domain-bn", "third", "other"]
        right = page.locator(".ranking thead th").nth(7)
        right.get_by_role("button").click()
        assert right.get_attribute("aria-sort") == "ascending" and column(page, 1) == ["third", "domain-bn", "other"]
        assert "3 of 3 methods, by right, ascending" in page.get_by_role("status").inner_text()
        right.get_by_role("button").press("Enter")
        assert right.get_attribute("aria-sort") == "descending" and column(page, 1)[0] == "other"
        page.get_by_role("button", name="adapter").press("Space")
        assert column(page, 1) == ["domain-bn", "other", "third"] and right.get_attribute("aria-sort") is None
        page.get_by_role("button", name="rank").click()
        assert column(page, 0)[0].endswith("1")


def test_rows_are_filtered(browser: Browser, pages: Path) -> None:
    with opened(browser, pages / "boards/small.html") as page:
        page.get_by_label("Filter").fill("toy OTH")
        assert column(page, 1) == ["other"] and page.get_by_role("status").inner_text() == "1 of 3 methods"
        page.get_by_label("Filter").fill("")
        page.get_by_label("Standing").select_option("verified")
        assert column(page, 1) == [] and page.get_by_role("status").inner_text() == "0 of 3 methods"
        page.get_by_label("Standing").select_option("")
        page.get_by_label("Filter").press("Enter")
        assert len(column(page, 1)) == 3 and page.url.endswith("small.html")


def test_links_lead_through_the_site(browser: Browser, pages: Path) -> None:
    with opened(browser, pages / "index.html") as page:
        page.get_by_role("link", name="small").click()
        page.get_by_role("link", name="seed 1 of domain-bn").click()
        assert page.get_by_role("heading", level=1).inner_text() == "domain-bn on toy, seed 1"
        page.get_by_role("link", name="left").first.click()
        assert page.get_by_role("heading", level=1).inner_text() == "left"
        assert page.locator("img").count() == 2
        assert page.evaluate("[...document.images].every((image) => image.naturalWidth > 0)")
        page.get_by_role("link", name="udbench").click()
        assert page.get_by_role("heading", level=1).inner_text() == "Boards"


def test_the_keyboard_reaches_everything_and_shows_where_it_is(browser: Browser, pages: Path) -> None:
    with opened(browser, pages / "boards/small.html") as page:
        page.keyboard.press("Tab")
        skip = page.locator(".skip")
        assert skip.evaluate("(e) => e === document.activeElement && e.getBoundingClientRect().left >= 0")
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        reached: set[str] = set()
        for _ in range(60):
            page.keyboard.press("Tab")
            reached.add(page.evaluate("document.activeElement.tagName"))
            if page.evaluate("document.activeElement.tagName") == "BODY":
                break
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none", page.evaluate("document.activeElement.outerHTML.slice(0, 200)")
        assert {"A", "INPUT", "SELECT", "BUTTON", "DIV"} <= reached


@pytest.mark.parametrize("url", [*PAGES, "report.html"])
def test_nothing_serious_is_found_by_axe_in_either_scheme(browser: Browser, pages: Path, url: str) -> None:
    grounds: set[str] = set()
    for scheme in ("light", "dark"):
        with opened(browser, pages / url, color_scheme=scheme) as page:
            seen = axe.Axe().run(page).response
            assert {"color-contrast", "html-has-lang"} <= {each["id"] for each in seen["passes"]}
            serious = [
                (each["id"], each["help"], [node["html"][:200] for node in each["nodes"][:3]])
                for each in seen["violations"]
                if each["impact"] in ("serious", "critical")
            ]
            assert serious == [], (url, scheme)
            grounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(grounds) == 2, "light and dark"


@pytest.mark.parametrize("url", [*PAGES, "report.html"])
def test_a_phone_needs_no_sideways_scrolling(browser: Browser, pages: Path, url: str) -> None:
    with opened(browser, pages / url, viewport=PHONE) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        table = page.locator(".ranking")
        if table.count():
            page.locator(".tall").evaluate("(e) => { e.scrollLeft = 300; }")
            box = table.locator("tbody th").first.bounding_box()
            assert box is not None and 0 <= box["x"] < 60, "the name of a method stays in sight"


def test_a_page_is_read_without_script(browser: Browser, pages: Path) -> None:
    with opened(browser, pages / "boards/small.html", java_script_enabled=False) as page:
        assert page.locator(".ranking tbody tr").count() == 3 and page.locator("svg.plot").count() == 3
        assert not page.locator(".controls").is_visible() and page.locator("th button").count() == 0


TIMED = """() => {
  const timed = (act) => { const began = performance.now(); act(); document.querySelector(".ranking").offsetHeight;
                           return performance.now() - began; };
  const body = document.querySelector(".ranking tbody"), search = document.querySelector("input[type=search]");
  const [name, mean] = [1, 5].map((at) => document.querySelectorAll(".ranking thead button")[at]);
  const filter = (word) => () => { search.value = word; search.dispatchEvent(new Event("input")); };
  const seen = {rows: [], number: [], words: [], filter: [], all: []};
  for (let turn = 0; turn < 4; turn++) {
    seen.rows.push(timed(() => body.append(...[...body.rows].reverse())));
    seen.number.push(timed(() => mean.click()));
    seen.words.push(timed(() => name.click()));
    seen.filter.push(timed(filter("lr=0.001" + turn)));
    seen.all.push(timed(filter("")));
  }
  return Object.fromEntries(Object.entries(seen).map(([key, of]) => [key, Math.min(...of)]));
}"""


def test_a_board_of_two_thousand_methods_is_opened_sorted_and_filtered(browser: Browser, tmp_path: Path) -> None:
    """Against what the browser itself needs: to open the same table without style, script and figures, and to set its
    rows in another order."""
    folder = tmp_path / "boards" / "small"
    folder.mkdir(parents=True)
    for place in range(2000):
        made = made_result(f"{place:08d}", (10 + place % 61, 20 + place % 53))
        settings = made.config.settings.model_copy(update={"lr": 0.001 + place * 1e-6})
        config = made.config.model_copy(update={"settings": settings})
        (folder / f"{made.id}.json").write_text(made.model_copy(update={"config": config}).dumps())
    recipes = {"short": made_result().config.settings}
    (board,) = boards(tmp_path / "boards", Catalog(recipes=recipes), ())
    html = render(
        "board.html", root="", here=board.url, version="0", title="t", board=board, parts=[], domain_url=domain_url
    )
    (tmp_path / "page.html").write_text(html)
    bare = re.sub(r"<(style|script|svg|meta)\b.*?(</\1>|(?<=<meta)[^>]*>)", "", html, flags=re.DOTALL)
    (tmp_path / "bare.html").write_text(bare)
    opening: dict[str, list[float]] = {"page": [], "bare": []}
    for _, name in itertools.product(range(3), opening):
        with opened(browser, tmp_path / f"{name}.html") as page:
            opening[name].append(page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd"))
    with opened(browser, tmp_path / "page.html") as page:
        assert page.locator(".ranking tbody tr").count() == 2000
        seen = page.evaluate(TIMED)
        page.get_by_label("Filter").fill("lr=0.00100")
        assert page.get_by_role("status").inner_text().startswith("9 of 2000 methods")
    ratios = {
        "open": min(opening["page"]) / min(opening["bare"]),
        **{key: seen[key] / seen["rows"] for key in ("number", "words", "filter", "all")},
    }
    print({key: f"{ratio:.2f}" for key, ratio in ratios.items()}, opening, seen)
    assert ratios["open"] < 5 and max(ratios["number"], ratios["words"]) < 3, ratios
    assert max(ratios["filter"], ratios["all"]) < 2, ratios


def test_names_that_would_do_harm_do_none(browser: Browser, hostile: Path, site: Callable[..., Any]) -> None:
    out, _ = site()
    for path in sorted(out.rglob("*.html")):
        with opened(browser, path, viewport=PHONE) as page:
            page.on("dialog", lambda dialog: pytest.fail(dialog.message))
            assert page.evaluate("document.documentElement.scrollWidth") <= 360, path
    with opened(browser, out / "boards/small.html") as page:
        assert len(column(page, 1)) == 8
        page.get_by_label("Filter").first.fill("nothing")
        assert len(column(page, 1)) == 7
