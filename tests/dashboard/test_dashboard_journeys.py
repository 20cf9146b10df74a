"""What people do with the dashboard, from page to page and from browser to browser."""

import re
from typing import Any

import pytest
from browsing import Dashboard, opened, settle

from dashboard import words

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.browser

PATIENCE_MS = 30_000
BOTH = ("20260101-a", "20260102-b")


def _choose(page: Any, label: str, option: str) -> None:
    page.get_by_role("combobox", name=label).click()
    page.keyboard.type(option)
    page.keyboard.press("Enter")
    settle(page)


def _view(page: Any) -> dict[str, Any]:
    """What a reader sees of Compare: the runs, the quantity, the axes, the language."""
    scatter = page.locator(".st-key-scatter .js-plotly-plot")
    scatter.wait_for(timeout=PATIENCE_MS)
    return {
        "runs": [
            one.get_attribute("aria-label")
            for one in page.locator(".st-key-chosen_runs [data-tag]").all()
        ],
        "quantity": page.locator('.st-key-metric [aria-checked="true"]').inner_text(),
        "language": page.locator('.st-key-lang [aria-checked="true"]').inner_text(),
        "axes": page.evaluate(
            "(() => { const all = document.querySelector('.st-key-scatter .js-plotly-plot').layout;"
            " return [all.xaxis.title.text, all.yaxis.title.text] })()"
        ),
        "points": page.evaluate(
            "document.querySelector('.st-key-scatter .js-plotly-plot').data.map("
            "one => [one.x[0], one.y[0]])"
        ),
        "baseline": page.locator(".st-key-baseline input").input_value(),
    }


def test_a_copied_link_shows_the_same_view_in_another_browser(
    browser: Any, looking: Dashboard
) -> None:
    looking.show("usual")
    address = f"{looking.url}/compare?runs={','.join(BOTH)}"
    with opened(browser, address) as (page, wrong):
        sync_api.expect(page.get_by_text("max_num_seqs 16 → 1").first).to_be_visible(
            timeout=PATIENCE_MS
        )
        page.locator(".st-key-metric").get_by_text("ITL", exact=True).click()
        settle(page)
        _choose(page, "Across", "TTFT p50")
        _choose(page, "Upwards", "E2E p99")
        _choose(page, "Baseline", BOTH[1])
        page.locator(".st-key-lang").get_by_text(words.LANGUAGES["ko"]).click()
        page.wait_for_url(re.compile("lang=ko"))
        settle(page)
        seen, link = _view(page), page.url
        assert tuple(name.split()[0] for name in seen["runs"]) == BOTH
        assert seen["quantity"] == "ITL"
        assert seen["language"] == words.LANGUAGES["ko"]
        assert [title.split(",")[0] for title in seen["axes"]] == ["TTFT p50", "E2E p99"]
        assert seen["baseline"] == BOTH[1]
        assert wrong == []
    with opened(browser, link) as (page, wrong):
        assert _view(page) == seen
        assert wrong == []


def test_the_language_is_changed_and_changed_back(browser: Any, looking: Dashboard) -> None:
    looking.show("empty")
    there = words.translations("ko")["Compare"]
    with opened(browser, f"{looking.url}/compare") as (page, wrong):
        choice = page.locator(".st-key-lang")
        for language, title in (("ko", there), ("en", "Compare")):
            choice.get_by_text(words.LANGUAGES[language]).click()
            sync_api.expect(page.get_by_role("link", name=title)).to_be_visible(timeout=PATIENCE_MS)
        settle(page)
        assert "lang=" not in page.url
        # The choice goes along to other pages.
        choice.get_by_text(words.LANGUAGES["ko"]).click()
        page.get_by_role("link", name=words.translations("ko")["Engines"]).click()
        page.wait_for_url(re.compile("/engines.*lang=ko"), timeout=PATIENCE_MS)
        assert wrong == []


def test_runs_picked_in_the_list_are_compared(browser: Any, looking: Dashboard) -> None:
    looking.show("usual")
    picked = "&".join(f"picked={name}" for name in BOTH)
    with opened(browser, f"{looking.url}/runs?{picked}") as (page, wrong):
        page.locator(".st-key-to-compare button").click()
        sync_api.expect(page.get_by_text("max_num_seqs 16 → 1").first).to_be_visible(
            timeout=PATIENCE_MS
        )
        settle(page)
        assert re.search(r"/compare\?.*20260101-a.*20260102-b", page.url)
        assert wrong == []


def test_the_number_of_serial_calls_stands_in_the_address(browser: Any, looking: Dashboard) -> None:
    looking.show("usual")
    with opened(browser, f"{looking.url}/tails?runs={BOTH[0]}&calls=25") as (page, wrong):
        calls = page.get_by_role("spinbutton", name="Serial calls")
        sync_api.expect(calls).to_have_value("25", timeout=PATIENCE_MS)
        sync_api.expect(page.get_by_text("one of 25 calls").first).to_be_visible()
        calls.fill("7")
        calls.press("Enter")
        page.wait_for_url(re.compile("calls=7"), timeout=PATIENCE_MS)
        sync_api.expect(page.get_by_text("one of 7 calls").first).to_be_visible(timeout=PATIENCE_MS)
        assert wrong == []


@pytest.mark.parametrize("path", ["/", "/live"])
def test_the_first_page_is_found_by_its_name_too(
    browser: Any, looking: Dashboard, path: str
) -> None:
    looking.show("usual")
    with opened(browser, f"{looking.url}{path}?quantile=p50") as (page, wrong):
        sync_api.expect(page.locator('.st-key-quantile [aria-checked="true"]')).to_have_text("p50")
    assert wrong == []
