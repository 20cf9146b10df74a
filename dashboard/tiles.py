"""The big numbers at the top of a page, as a little HTML. Pure; everything in it is escaped."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from dashboard import text
from dashboard.theme import Line

_CSS_DASHES = {"solid": "solid", "dot": "dotted"}


@dataclass(frozen=True)
class Fact:
    """A number with the words above it; `help` appears on hover."""

    label: str
    value: str
    help: str = ""


Mood = Literal["good", "doubtful", "bad"]
_MOODS: dict[Mood, str] = {"good": "#00805e", "doubtful": "#a35a00", "bad": "#b3261e"}


@dataclass(frozen=True)
class Mark:
    """A word in a coloured box beside a title; the word says it too, for who sees no colour."""

    word: str
    mood: Mood
    help: str = ""


@dataclass(frozen=True)
class Tile:
    """One engine, load test or run: what it is called, how it is, its facts."""

    title: str
    subtitle: str
    line: Line
    facts: Sequence[Fact]
    mark: Mark | None = None


def render(tiles: Sequence[Tile]) -> str:
    """The tiles side by side, as many in a row as fit."""
    return (
        '<div style="display:grid;grid-template-columns:repeat(auto-fit,minmax(330px,1fr));'
        'gap:10px">' + "".join(_tile(tile) for tile in tiles) + "</div>"
    )


def _escaped(value: str, longest: int = 120) -> str:
    return html.escape(text.plain(value, longest), quote=True)


def _tile(tile: Tile) -> str:
    dash = _CSS_DASHES.get(tile.line.dash, "dashed")
    facts = "".join(_fact(fact) for fact in tile.facts)
    return (
        '<div style="border:1px solid rgba(128,128,128,.3);border-radius:6px;padding:8px 12px;'
        'min-width:0">'
        # What has no room beside the title goes below it.
        '<div style="display:flex;flex-wrap:wrap;align-items:center;column-gap:8px;'
        'white-space:nowrap"><div style="display:flex;align-items:center;gap:8px;max-width:100%">'
        f'<span style="flex:none;width:26px;border-top:4px {dash} {tile.line.colour}"></span>'
        '<strong style="overflow:hidden;text-overflow:ellipsis" '
        f'title="{_escaped(tile.title)}">{_escaped(tile.title)}</strong></div>'
        '<div style="display:flex;align-items:center;gap:8px;min-width:0;max-width:100%;'
        f'flex:1 1 {_beside_px(tile)}px">'
        '<span style="opacity:.72;font-size:.85em;overflow:hidden;text-overflow:ellipsis;'
        f'flex:1 1 auto;min-width:0" title="{_escaped(tile.subtitle)}">'
        f"{_escaped(tile.subtitle)}</span>{_mark(tile.mark)}</div></div>"
        '<div style="display:grid;grid-template-columns:repeat(4,minmax(min-content,1fr));'
        f'gap:4px 10px;margin-top:4px">{facts}</div></div>'
    )


def _beside_px(tile: Tile) -> int:
    """The room that the subtitle and the mark need beside the title; what is longer is cut."""
    return min(6 * len(tile.subtitle) + (60 if tile.mark else 0), 260)


def _mark(mark: Mark | None) -> str:
    if mark is None:
        return ""
    return (
        f'<span title="{_escaped(mark.help, 600)}" style="flex:none;border-radius:4px;'
        f"padding:0 7px;font-size:.8em;line-height:1.6;color:#fff;"
        f'background:{_MOODS[mark.mood]}">{_escaped(mark.word)}</span>'
    )


def _fact(fact: Fact) -> str:
    return (
        f'<div style="min-width:0" title="{_escaped(fact.help, 300)}">'
        '<div style="opacity:.72;font-size:.78em;white-space:nowrap">'
        f"{_escaped(fact.label)}</div>"
        '<div style="font-size:1.12em;font-weight:600;line-height:1.25;white-space:nowrap;'
        f'font-variant-numeric:tabular-nums">{_escaped(fact.value, 24)}</div></div>'
    )
