"""All pages in a real browser: the sizes of a laptop and a projector, light and dark, any text."""

import urllib.parse
from typing import Any

import pytest
from browsing import SIZES, Dashboard, faint, opened, pages, settle, sticks_out

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.browser


def _address(looking: Dashboard, name: str, runs: list[str]) -> str:
    # The first page stands at the address without a name.
    page = "" if name == pages()[0] else name
    asked = "&".join(f"runs={urllib.parse.quote(run)}" for run in runs)
    return f"{looking.url}/{page}?{asked}"


def _fits(page: Any) -> None:
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        settle(page)
        assert sticks_out(page) == []


@pytest.mark.parametrize("name", pages())
def test_an_empty_page_is_whole(browser: Any, looking: Dashboard, name: str) -> None:
    looking.show("empty")
    with opened(browser, _address(looking, name, []), color_scheme="dark") as (page, wrong):
        _fits(page)
        assert faint(page) == []
        assert page.locator('[data-testid="stException"]').count() == 0
        assert wrong == []


@pytest.mark.parametrize("name", pages())
def test_no_text_harms_a_page_or_is_wider_than_it(
    browser: Any, looking: Dashboard, name: str
) -> None:
    with opened(browser, _address(looking, name, looking.show("hostile"))) as (page, wrong):
        _fits(page)
        page.emulate_media(color_scheme="dark")
        page.wait_for_function(
            "getComputedStyle(document.querySelector('.stApp')).backgroundColor"
            " === 'rgb(20, 23, 26)'"
        )
        settle(page)
        assert page.locator('[data-testid="stException"]').count() == 0
        # None of the texts became a picture, a formula, a colour, an icon, a link or a script.
        for made in ('img[src="x"]', 'img[src*="a.b"]', ".katex", 'a[href*="a.b"]'):
            assert page.locator(made).count() == 0, made
        for word in ("zzred", "zzblue"):
            assert page.get_by_text(word, exact=True).count() == 0
        assert page.locator('[data-testid="stIconMaterial"]', has_text="home").count() == 0
        assert page.locator(".stPlotlyChart:not([aria-label])").count() == 0
        assert wrong == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_compare_shows_its_first_figures_without_scrolling(
    browser: Any, looking: Dashboard, scheme: str
) -> None:
    looking.show("usual")
    address = f"{looking.url}/compare?runs=20260101-a,20260102-b"
    with opened(browser, address, color_scheme=scheme) as (page, wrong):
        sync_api.expect(page.locator(".js-plotly-plot")).to_have_count(6, timeout=30_000)
        sync_api.expect(page.get_by_text("max_num_seqs 16 → 1").first).to_be_visible()
        sync_api.expect(page.get_by_text("Settings that differ").first).to_be_visible()
        box = page.locator(".js-plotly-plot").first.bounding_box()
        assert box["y"] + box["height"] <= 800
        assert sticks_out(page) == []
        settle(page)
        assert faint(page) == []
        assert wrong == []


def test_a_run_that_goes_on_is_followed(browser: Any, looking: Dashboard) -> None:
    looking.show("usual")
    with opened(browser, f"{looking.url}/compare?runs=20260103-c") as (page, wrong):
        sync_api.expect(page.get_by_text("still goes on").first).to_be_visible(timeout=30_000)
        sync_api.expect(page.locator(".js-plotly-plot")).to_have_count(5, timeout=30_000)
        assert wrong == []


def test_an_empty_value_in_the_address_stays_on_its_page(browser: Any, looking: Dashboard) -> None:
    looking.show("usual")
    with opened(browser, f"{looking.url}/slo?runs=20260101-a&objective=") as (page, wrong):
        page.wait_for_url("**/slo?runs=20260101-a")
        sync_api.expect(page.get_by_text("SLO", exact=True).first).to_be_visible()
        assert page.locator('[data-testid="stException"]').count() == 0
        assert wrong == []
