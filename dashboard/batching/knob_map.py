"""Which flag of one engine means what another calls otherwise. From the catalogue; pure.

Engines give knobs of the same meaning the same name (`servers.contract.Knob`), so the map is made
of the names; where an engine has the idea under no knob it says why (`Engine.no_knob`).
"""

import html
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from dashboard import text
from dashboard.words import t
from servers import knobs
from servers.contract import Engine, Knob

_CELL = "padding:5px 8px;border-bottom:1px solid rgba(128,128,128,.25);vertical-align:top;"
_COLUMN_PX = 132
_BREAKS = "_.)(-"


def engines_with_knobs(engines: Mapping[str, Engine]) -> dict[str, Engine]:
    """The engines that share a knob with another, in the catalogue's order.

    Engines whose knobs are the very same are one column, by both their titles.
    """
    servers = [one for one in engines.values() if one.job == "engine"]
    found: dict[str, Engine] = {}
    for engine in servers:
        others = [one for one in servers if one is not engine]
        if not any(other.knob(knob.name) for other in others for knob in engine.knobs):
            continue
        twin = next((one for one in found.values() if one.knobs == engine.knobs), None)
        if twin:
            found[twin.name] = replace(twin, title=f"{twin.title}, {engine.title}")
        else:
            found[engine.name] = engine
    return found


def names(engines: Mapping[str, Engine], chosen: Sequence[str]) -> list[str]:
    """The knobs of the chosen engines: those that most of them have (or explain) first."""
    found: dict[str, int] = {}
    for name in chosen:
        engine = engines[name]
        for knob in dict.fromkeys([*(one.name for one in engine.knobs), *engine.no_knob]):
            found[knob] = found.get(knob, 0) + (2 if engine.knob(knob) else 1)
    owned = [name for name in found if any(engines[one].knob(name) for one in chosen)]
    return sorted(owned, key=lambda name: -found[name])


def shared(engines: Mapping[str, Engine], chosen: Sequence[str]) -> list[str]:
    """Those that two of the chosen engines have, or one has and another explains."""
    return [
        name
        for name in names(engines, chosen)
        if sum(bool(engines[one].knob(name) or name in engines[one].no_knob) for one in chosen) > 1
    ]


def render(engines: Mapping[str, Engine], chosen: Sequence[str], rows: Sequence[str]) -> str:
    """The map as an HTML table: a row a knob, a column an engine; everything in it is escaped."""
    width = 100 / (len(chosen) + 1)
    head = "".join(
        f'<th scope="col" style="{_CELL}text-align:left;width:{width:.1f}%">'
        f"{_escaped(engines[name].title)}</th>"
        for name in chosen
    )
    body = "".join(
        f'<tr><th scope="row" style="{_CELL}text-align:left;font-weight:600">{_word(row)}</th>'
        + "".join(f'<td style="{_CELL}">{_cell(engines[name], row)}</td>' for name in chosen)
        + "</tr>"
        for row in rows
    )
    return (
        '<div style="overflow-x:auto"><table style="border-collapse:collapse;width:100%;'
        f"min-width:{_COLUMN_PX * (len(chosen) + 1)}px;table-layout:fixed;font-size:.8em;"
        f'line-height:1.35"><caption style="text-align:left;opacity:.75">'
        f"{html.escape(t('Flag, default, and what it takes'))}</caption><thead><tr>"
        f'<th scope="col" style="{_CELL}text-align:left;width:{width:.1f}%">'
        f"{html.escape(t('Knob'))}</th>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cell(engine: Engine, row: str) -> str:
    knob = engine.knob(row)
    if knob is None:
        why = engine.no_knob.get(row)
        words = f'<span style="opacity:.75">{_word(t(why))}</span>' if why else ""
        return f"– {words}"
    default = (
        t("default {value}", value=knobs.show(knob.default))
        if knob.default is not None
        else t("left to the engine")
    )
    return (
        f'<span title="{_escaped(t(knob.trades))}"><code style="background:none;padding:0;'
        f'font-size:1em">{_word(knob.flag)}</code><br>{_escaped(default)}'
        f'<br><span style="opacity:.75">{_escaped(knobs.describe(knob))}</span></span>'
    )


def detail(engines: Mapping[str, Engine], chosen: Sequence[str], name: str) -> pd.DataFrame:
    """One knob in each of the chosen engines, with what it trades there."""
    return pd.DataFrame(
        [
            {
                t("engine"): engines[one].title,
                t("flag"): knob.flag if knob else "–",
                t("default"): knobs.show(knob.default) if knob else "–",
                t("takes"): knobs.describe(knob) if knob else "–",
                t("what it trades, or why there is none"): _trades(engines[one], name, knob),
            }
            for one in chosen
            for knob in [engines[one].knob(name)]
        ]
    )


def _trades(engine: Engine, name: str, knob: Knob | None) -> str:
    return t(knob.trades) if knob else t(engine.no_knob.get(name, "–"))


def _word(value: str) -> str:
    """A long name that may break at its joints and nowhere else."""
    escaped = _escaped(value)
    for joint in _BREAKS:
        escaped = escaped.replace(joint, f"{joint}<wbr>")
    return escaped


def _escaped(value: str) -> str:
    return html.escape(text.plain(value, 600), quote=True)
