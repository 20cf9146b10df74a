import html
import math
import re

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard import chart, text, tiles, units
from dashboard.theme import DASHES, Line, lines_for_instances, lines_for_runs
from dashboard.tiles import Fact, Mark, Tile


@given(st.text())
def test_no_tag_survives_in_a_figure(value: str) -> None:
    shown = text.figure(value, 10_000)
    assert "<" not in shown
    assert ">" not in shown


@given(st.text())
def test_markdown_is_escaped_to_the_last_mark(value: str) -> None:
    shown = text.markdown(value, 10_000)
    assert "\n" not in shown
    assert not re.search(r"(?<!\\)[<\[*_`$!~#:]", re.sub(r"\\\\", "", shown))


@pytest.mark.parametrize(
    "words", ["see http://a.b", "HTTPS://a.b", "www.a.b", "write to x.y+z@a.b", "(http://a.b)"]
)
def test_no_address_is_left_that_markdown_makes_a_link_of(words: str) -> None:
    shown = text.markdown(words).replace("\\", "")
    assert not re.search(r"(?i)https?://|www\.|[-.\w+]@", shown)
    assert shown.replace("\u2060", "") == words


@given(st.text(), st.text(), st.text())
def test_a_tile_holds_nothing_but_the_tile_s_own_tags(title: str, value: str, note: str) -> None:
    own = tiles.render([Tile("", "", Line("#000000", "solid"), [Fact("", "", "")])])
    tile = Tile(title, note, Line("#000000", "solid"), [Fact(note, value, title)])
    names = re.compile(r"<(/?\w+)")
    assert names.findall(tiles.render([tile])) == names.findall(own)


def test_a_mark_says_its_word() -> None:
    tile = Tile("r", "", Line("#000000", "dot"), [], Mark("invalid", "bad", 'why "so"'))
    shown = tiles.render([tile])
    assert ">invalid</span>" in shown
    assert html.escape('why "so"') in shown


def test_half_a_letter_becomes_a_mark_that_can_be_sent() -> None:
    for shown in (text.plain("a\udcffb"), text.markdown("a\ud800b"), text.figure("a\udfffb")):
        assert shown == "a\ufffdb"


def test_long_text_is_cut_and_control_characters_go() -> None:
    assert text.plain("a\x00b\nc") == "a b c"
    assert text.plain("x" * 400).endswith("…")
    assert len(text.plain("x" * 400)) == 300


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (0.0752, "s", "75.2 ms"),
        (0.00012, "s", "120 µs"),
        (0.9999, "s", "1 s"),
        (12.345, "s", "12.3 s"),
        (1200, "s", "20 min"),
        (0, "s", "0 s"),
        (3.41e9, "bytes", "3.41 GB"),
        (999_600, "bytes", "1 MB"),
        (0.934, "ratio", "93.4 %"),
        (0, "ratio", "0 %"),
        (12_345, "rps", "12,300/s"),
        (290, "tok/s", "290 tok/s"),
        (16, "count", "16"),
        (None, "s", "–"),
        (math.nan, "bytes", "–"),
        (math.inf, "s", "∞"),
    ],
)
def test_numbers_have_three_figures_and_a_unit_that_fits(
    value: float | None, unit: units.Unit, shown: str
) -> None:
    assert units.show(value, unit) == shown


def test_what_is_no_number_and_what_is_beyond_all_bounds_stays_short() -> None:
    assert units.figures(math.nan) == units.show(None, "count")
    assert units.figures(-math.inf) == "-∞"
    for unit in ("s", "bytes", "count", "tok/s", "W", "ratio", "Hz", "rps"):
        assert len(units.show(1e308, unit)) < 16
    assert units.show(6e7, "s") == "1,000,000 min"


@given(st.floats(1e-9, 1e12))
def test_figures_stay_within_half_a_percent(value: float) -> None:
    shown = float(units.figures(value).replace(",", ""))
    assert abs(shown - value) <= max(0.0051 * value, 5e-7)


@pytest.mark.parametrize(
    ("lower", "upper", "shown"),
    [
        (0.02, 0.04, "20–40 ms"),
        (0.5, 2.0, "500 ms–2 s"),
        (0.0, 0.01, "≤ 10 ms"),
        (80.0, math.inf, "> 80 s"),
        (0.02, 0.02, "20 ms"),
    ],
)
def test_bounds_say_what_a_histogram_knows(lower: float, upper: float, shown: str) -> None:
    assert units.between(lower, upper, "s") == shown


def test_bounds_in_little_room_give_the_upper_one() -> None:
    assert units.at_most(0.5, 0.63, "s") == "≤ 630 ms"
    assert units.at_most(80.0, math.inf, "s") == "> 80 s"
    assert units.at_most(0.02, 0.02, "s") == "20 ms"


def test_an_engine_keeps_its_colour_and_its_instances_differ_by_dash() -> None:
    kinds = ["a", "b", "load"]
    alone = lines_for_instances({"b1": "b"}, kinds, dark=False)
    both = lines_for_instances({"a1": "a", "b1": "b", "b2": "b"}, kinds, dark=False)
    assert alone["b1"] == both["b1"]
    assert both["b1"].colour == both["b2"].colour
    assert both["b1"].dash != both["b2"].dash
    assert both["a1"].colour != both["b1"].colour


def _luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize(("dark", "background"), [(False, "#ffffff"), (True, "#14171a")])
def test_every_colour_stands_three_to_one_against_the_page(dark: bool, background: str) -> None:
    for line in lines_for_runs([str(i) for i in range(7)], dark).values():
        light, other = sorted((_luminance(line.colour), _luminance(background)), reverse=True)
        assert (light + 0.05) / (other + 0.05) >= 3
        assert line.dash in DASHES


def test_names_that_differ_only_in_marks_have_figures_of_their_own() -> None:
    keys = [
        chart._safe(f"memory-{name}") for name in ("a.b", "a b", "a/b", "하나", "둘", "x" * 200)
    ]
    assert len(set(keys)) == len(keys)
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,100}", key) for key in keys)
    assert chart._safe("memory-vllm-2") == "memory-vllm-2"


def test_no_cell_and_no_title_of_a_table_is_a_formula() -> None:
    evil = "=cmd|' /C calc'!A0"
    frame = pd.DataFrame({evil: [1.5], "run": [evil], "kind": pd.Categorical(["+1"])})
    saved = chart.csv(frame).decode("utf-8-sig").splitlines()
    assert saved == [f"'{evil},run,kind", f"1.5,'{evil},'+1"]
