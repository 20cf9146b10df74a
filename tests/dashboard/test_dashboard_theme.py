"""Colours of the dashboard: measured as people with and without colour blindness see them.

Dichromacy after Machado, Oliveira and Fernandes (2009), distances in CAM02-UCS (Luo, Cui and Li
2006), contrast after WCAG 2.2.
"""

import itertools
import tomllib
from pathlib import Path

import numpy as np
import pytest
from colorspacious import cspace_convert

from dashboard import sources, theme
from dashboard.theme import Line

CONFIG = Path(__file__).resolve().parents[2] / ".streamlit" / "config.toml"
APART, CONTRAST = 11.0, 3.0
VISIONS = ["normal", "protanomaly", "deuteranomaly", "tritanomaly"]


def rgb(colour: str) -> np.ndarray:
    return np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2.2."""
    parts = rgb(colour)
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("vision", VISIONS)
@pytest.mark.parametrize("dark", [False, True])
def test_any_two_colours_are_told_apart_by_every_reader(dark: bool, vision: str) -> None:
    seen = {}
    for colour in theme.palette(dark):
        shown = rgb(colour)
        if vision != "normal":
            space = {"name": "sRGB1+CVD", "cvd_type": vision, "severity": 100}
            shown = np.clip(cspace_convert(shown, space, "sRGB1"), 0, 1)
        seen[colour] = cspace_convert(shown, "sRGB1", "CAM02-UCS")
    near = {
        (one, other): float(np.linalg.norm(seen[one] - seen[other]))
        for one, other in itertools.combinations(seen, 2)
    }
    assert min(near.values()) >= APART, min(near, key=near.__getitem__)


@pytest.mark.parametrize("name", ["light", "dark"])
def test_every_colour_stands_out_from_the_page(name: str) -> None:
    background = tomllib.loads(CONFIG.read_text())["theme"][name]["backgroundColor"]
    for colour in theme.palette(name == "dark"):
        bright, dim = sorted([luminance(colour), luminance(background)], reverse=True)
        assert (bright + 0.05) / (dim + 0.05) >= CONTRAST, colour


@pytest.mark.parametrize("dark", [False, True])
def test_every_engine_of_the_catalogue_has_a_colour_of_its_own(dark: bool) -> None:
    kinds = sources.MODEL_SERVERS
    lines = theme.lines_for_instances({kind: kind for kind in kinds}, sources.KINDS, dark)
    assert len({line.colour for line in lines.values()}) == len(kinds)


def test_an_engine_keeps_its_colour_whatever_runs_beside_it() -> None:
    alone = theme.lines_for_instances({"a": "vllm"}, sources.KINDS, False)
    beside = theme.lines_for_instances({"0": "triton", "a": "vllm"}, sources.KINDS, False)
    assert alone["a"] == beside["a"]


def test_more_kinds_than_colours_differ_by_their_dash() -> None:
    kinds = [f"kind-{i:02}" for i in range(2 * len(theme.palette(False)))]
    lines = theme.lines_for_instances({kind: kind for kind in kinds}, kinds, False)
    assert len(set(lines.values())) == len(kinds)


def test_instances_of_one_engine_share_its_colour_and_differ_by_their_dash() -> None:
    lines = theme.lines_for_instances({"a": "vllm", "b": "vllm"}, sources.KINDS, False)
    assert lines["a"].colour == lines["b"].colour
    assert isinstance(lines["a"], Line) and lines["a"].dash != lines["b"].dash


@pytest.mark.parametrize("colour", [*theme.palette(False), *theme.palette(True), "#757575"])
def test_numbers_on_bars_are_readable(colour: str) -> None:
    high, low = sorted((luminance(colour), luminance(Line(colour, "solid").ink)), reverse=True)
    assert (high + 0.05) / (low + 0.05) >= 4.5
