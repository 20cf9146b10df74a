"""The frame of a figure in a real browser: what is saved of it, its menu, its keys, its zoom."""

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from browsing import opened, streamlit
from PIL import Image

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.browser

SVG = "{http://www.w3.org/2000/svg}"
TITLE = "Latency <b>of</b> $x$ & *others*"
QUERY = 'sum by (instance) (rate(requests_total{job="<b>"}[1m]))'
FOCUSED = """() => {
  let one = document.activeElement
  while (one.shadowRoot?.activeElement) one = one.shadowRoot.activeElement
  return one.innerText.split("\\n")[0]
}"""
GROUND = {"light": (255, 255, 255), "dark": (20, 23, 26)}


@pytest.fixture(scope="module")
def frame(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("frame")
    with streamlit("tests/dashboard/frame_page.py", folder / "log") as url:
        yield url


def _menu(page: Any, key: str) -> None:
    page.locator(f".st-key-menu-{key} button").first.click()
    page.locator("button[data-does=svg]").wait_for()


def _saved(page: Any, button: Any) -> bytes:
    with page.expect_download(timeout=20_000) as waited:
        button.click()
    return Path(waited.value.path()).read_bytes()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_figure_is_saved_as_it_is_seen(browser: Any, frame: str, scheme: str) -> None:
    with opened(browser, frame, color_scheme=scheme) as (page, wrong):
        box = page.locator(".st-key-still .js-plotly-plot").bounding_box()
        _menu(page, "still")
        picture = Image.open(io.BytesIO(_saved(page, page.locator("button[data-does=png]"))))
        assert abs(picture.width - 2 * box["width"]) <= 2
        assert abs(picture.height - 2 * (box["height"] + 30)) <= 2
        seen = picture.convert("RGB")
        assert seen.getpixel((1, 1)) == GROUND[scheme]
        for part in ((0, 0, seen.width, 56), (0, 60, seen.width, seen.height)):
            assert len(seen.crop(part).getcolors(100_000)) > 10, "nothing is drawn here"

        drawn = ElementTree.fromstring(_saved(page, page.locator("button[data-does=svg]")))
        assert drawn.tag == f"{SVG}svg"
        lines = ["".join(one.itertext()) for one in drawn.iter(f"{SVG}text")]
        assert TITLE in lines
        assert "a long name of a run, 20261123-061302" in lines
        assert not {one.tag for one in drawn.iter()} & {f"{SVG}script", f"{SVG}foreignObject"}
        assert wrong == []


def test_the_numbers_are_those_of_the_figure_and_no_formula(browser: Any, frame: str) -> None:
    with opened(browser, frame) as (page, wrong):
        _menu(page, "still")
        saved = _saved(page, page.get_by_role("button", name="Numbers (CSV)"))
        rows = list(csv.DictReader(io.StringIO(saved.decode("utf-8-sig"))))
        drawn = page.evaluate(
            "[...document.querySelector('.st-key-still .js-plotly-plot').data[0].y]"
        )
        assert [float(row["value (seconds)"]) for row in rows] == drawn
        assert [row["run"] for row in rows] == ["'=1+1", "b", "c"]
        assert wrong == []


def test_a_query_is_shown_and_copied(browser: Any, frame: str) -> None:
    allowed = ["clipboard-read", "clipboard-write"]
    with opened(browser, frame, permissions=allowed) as (page, wrong):
        _menu(page, "still")
        assert page.locator('[data-testid="stCode"]').inner_text().strip() == QUERY
        page.get_by_role("button", name="Copy the query").click()
        page.get_by_role("button", name="Copied").wait_for()
        assert page.evaluate("navigator.clipboard.readText()") == QUERY
        assert wrong == []


def test_beside_a_query_for_buckets_stands_the_one_for_their_quantile(
    browser: Any, frame: str
) -> None:
    with opened(browser, frame) as (page, wrong):
        _menu(page, "moving")
        codes = page.locator('[data-testid="stCode"]')
        codes.nth(1).wait_for()
        shown = [one.strip() for one in codes.all_inner_texts()]
        assert shown == [QUERY, f"histogram_quantile(0.99, {QUERY})"]
        assert page.get_by_text("the bounds of the bucket that holds the quantile").is_visible()
        assert page.get_by_role("button", name="Copy the query").count() == 2
        assert wrong == []


def test_every_control_is_reached_and_opened_by_keys(browser: Any, frame: str) -> None:
    with opened(browser, frame) as (page, wrong):
        page.locator(".js-plotly-plot").first.wait_for()
        for _ in range(10):
            page.keyboard.press("Tab")
            if page.evaluate(FOCUSED) == "⋯":
                break
        page.keyboard.press("Enter")
        page.locator("button[data-does=png]").wait_for()
        reached = []
        for _ in range(12):
            page.keyboard.press("Tab")
            reached.append(page.evaluate(FOCUSED))
        asked = ["Picture (PNG)", "Picture (SVG)", "Numbers (CSV)", QUERY, "Copy the query"]
        first = reached.index(asked[0])
        assert reached[first : first + 5] == asked
        page.keyboard.press("Escape")
        page.locator("button[data-does=png]").wait_for(state="detached")
        assert page.evaluate(FOCUSED) == "⋯"
        names = page.locator(".stPlotlyChart")
        said = [one.get_attribute("aria-label") for one in names.all()]
        assert said == [f"{TITLE}. What stands **still**.", "Moves. What moves."]
        assert wrong == []


def _drawn(page: Any) -> int:
    return int(re.sub(r"\D", "", page.get_by_text(re.compile(r"^drawn \d+$")).inner_text()))


def test_a_menu_stays_open_and_a_zoom_stays_while_the_page_is_drawn_anew(
    browser: Any, frame: str
) -> None:
    with opened(browser, frame) as (page, wrong):
        place = page.locator(".st-key-still .nsewdrag")
        box = place.bounding_box()
        page.mouse.move(box["x"] + 30, box["y"] + 20)
        page.mouse.down()
        page.mouse.move(box["x"] + 120, box["y"] + 60, steps=4)
        page.mouse.up()
        across = "document.querySelector('.st-key-still .js-plotly-plot').layout.xaxis.range"
        page.wait_for_function(f"{across}[1] < 1.5")
        zoomed = page.evaluate(across)
        _menu(page, "moving")
        before = _drawn(page)
        page.wait_for_function(f"document.body.innerText.includes('drawn {before + 3}')")
        assert page.locator("button[data-does=svg]").is_visible()
        numbers = page.get_by_role("button", name="Numbers (CSV)")
        # At any moment of a drawing. Chromium lets a page save ten files in quick succession.
        saved = [_saved(page, numbers).decode("utf-8-sig") for _ in range(8)]
        last = [int(one.split()[-1].split(",")[1]) for one in saved]
        assert before < last[0] and last == sorted(last)
        page.keyboard.press("Escape")
        assert page.evaluate(across) == zoomed
        page.mouse.dblclick(box["x"] + 60, box["y"] + 40)
        page.wait_for_function(f"{across}[1] > 1.5")
        assert wrong == []
