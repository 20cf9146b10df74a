"""The error budget of a run, and what its bad requests missed: figures and tables. Pure."""

from collections.abc import Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go

from dashboard import run_words, text, units
from dashboard.figures import common, lay_out_bars
from dashboard.slo.measured import Measured
from dashboard.theme import Line, lines_for_runs
from dashboard.told import told
from dashboard.words import t
from measure.arrival import in_words
from measure.attainment import FAILED, Attainment, Burn

_HEIGHT = 290
_WIDTHS_S = (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)
_NAMES = {"ttft": "TTFT", "itl": "ITL", "tpot": "TPOT", "e2e": "E2E"}


def widths_s(length_s: float) -> tuple[float, ...]:
    """A short and a long stretch for the burn rate: about a thirtieth and a sixth of the window."""
    return tuple(
        dict.fromkeys(
            next((w for w in _WIDTHS_S if w >= length_s / parts), _WIDTHS_S[-1])
            for parts in (30, 6)
        )
    )


def burn_figure(several: Sequence[Burn], line: Line) -> go.Figure:
    """How fast the budget burns; at the dashed 1 it lasts exactly as long as the window."""
    made = go.Figure()
    for place, one in enumerate(several):
        made.add_scatter(
            x=one.time_s,
            y=one.rate,
            name=t("over the last {width}", width=units.seconds(one.width_s)),
            mode="lines",
            line={
                "color": line.colour,
                "width": 1 + place,
                "dash": "dot" if not place else "solid",
            },
            text=[units.figures_or_dash(rate) for rate in one.rate.tolist()],
            hovertemplate="%{text} ×",
        )
    _mark(made, 1.0)
    made.update_layout(common(_HEIGHT))
    made.update_xaxes(ticksuffix=" s")
    made.update_yaxes(ticksuffix=" ×", rangemode="tozero", tickformat=",~g")
    return made


def used_figure(one: Burn, line: Line) -> go.Figure:
    """How much of the window's budget is gone; at the dashed 100 % all of it."""
    made = go.Figure()
    made.add_scatter(
        x=one.time_s,
        y=one.used,
        mode="lines",
        line={"color": line.colour, "width": 2},
        fill="tozeroy",
        fillcolor=line.fill(0.15),
        text=[units.show(share, "ratio") for share in one.used.tolist()],
        hovertemplate="%{text}",
    )
    _mark(made, 1.0)
    made.update_layout(common(_HEIGHT, legend=False))
    made.update_xaxes(ticksuffix=" s")
    made.update_yaxes(tickformat=",.2~%", rangemode="tozero")
    return made


def _mark(made: go.Figure, at: float) -> None:
    made.add_hline(y=at, line={"color": "rgba(128,128,128,0.9)", "dash": "dash", "width": 1})


def burn_numbers(several: Sequence[Burn]) -> pd.DataFrame:
    """What the two figures draw."""
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "time (seconds)": one.time_s,
                    "stretch (seconds)": one.width_s,
                    "burn rate (times)": one.rate,
                    "budget used (share)": one.used,
                }
            )
            for one in several
        ],
        ignore_index=True,
    )


def in_words_of(missed: tuple[str, ...]) -> str:
    """`failed`, `TTFT`, `TTFT and ITL`."""
    if missed == (FAILED,):
        return t("failed")
    return " + ".join(_NAMES[name] for name in missed)


def missed_figure(runs: Sequence[tuple[str, Attainment]], dark: bool) -> go.Figure:
    """What the bad requests missed, a bar a run, as shares of its finished requests."""
    found = {kind for _, one in runs for kind in one.missed}
    kinds = sorted(found, key=lambda kind: (kind != (FAILED,), len(kind), kind))
    colours = lines_for_runs([str(kind) for kind in kinds], dark)
    made = go.Figure()
    for kind in kinds:
        counts = [one.missed.get(kind, 0) for _, one in runs]
        shares = [
            count / one.finished if one.finished else 0.0
            for count, (_, one) in zip(counts, runs, strict=True)
        ]
        made.add_bar(
            orientation="h",
            y=[text.figure(name) for name, _ in runs],
            x=shares,
            name=in_words_of(kind),
            marker={
                "color": colours[str(kind)].colour,
                "line": {"width": 0},
                "pattern": {
                    "shape": "/" if kind == (FAILED,) else "",
                    "size": 8,
                    "fgopacity": 0.3,
                    "fillmode": "overlay",
                },
            },
            text=[f"{count:,}" if count else "" for count in counts],
            textposition="inside",
            insidetextfont={"color": colours[str(kind)].ink},
            insidetextanchor="middle",
            textangle=0,
            customdata=[units.show(share, "ratio") for share in shares],
            hovertemplate="%{text} · %{customdata}",
        )
    lay_out_bars(made, 100 + 28 * len(runs), "stack")
    most = max(
        (sum(one.missed.values()) / one.finished for _, one in runs if one.finished), default=0
    )
    made.update_xaxes(tickformat=".2~%", showgrid=True, range=[0, max(most * 1.03, 0.01)])
    return made


def missed_numbers(runs: Sequence[tuple[str, Attainment]]) -> pd.DataFrame:
    """What the figure draws."""
    rows = [
        (name, in_words_of(kind), count, count / one.finished)
        for name, one in runs
        for kind, count in one.missed.items()
    ]
    return pd.DataFrame(rows, columns=["run", "missed", "requests", "share of finished"])


def table(runs: Sequence[tuple[Measured, Attainment]], slos: Mapping[str, str]) -> pd.DataFrame:
    """A row a run: its load, SLO, attainment with interval, goodput, what was missed, verdict."""
    rows = []
    for one, found in runs:
        low, high = found.interval
        share = units.show(found.share, "ratio")
        if found.share is not None:
            share += f"  [{units.figures(low * 100)}–{units.show(high, 'ratio')}]"
        undefined = ", ".join(
            t("{count} without {quantity}", count=f"{count:,}", quantity=_NAMES[name])
            for name, count in found.undefined.items()
        )
        rows.append(
            {
                t("Run"): text.plain(one.run_id),
                t("Load"): text.plain(told(in_words(one.manifest["load"]["arrival"])), 60),
                t("SLO"): slos[one.run_id],
                t("Attainment"): share,
                t("Goodput"): units.show(found.goodput_rps, "rps"),
                t("Good of finished"): f"{found.good:,} / {found.finished:,}",
                t("Cut off"): f"{one.cut_off:,}",
                t("Missed"): ", ".join(
                    f"{in_words_of(kind)} {count:,}" for kind, count in found.missed.items()
                )
                + (f" ({undefined})" if undefined else ""),
                t("Client"): run_words.state("running")
                if one.running
                else run_words.verdict(one.verdict),
            }
        )
    return pd.DataFrame(rows)


def most_missed(
    runs: Sequence[tuple[Measured, Attainment]], most: int
) -> list[tuple[str, Attainment]]:
    """The runs that missed something, worst first, at most so many."""
    bad = [(one.run_id, found) for one, found in runs if found.missed]
    return sorted(bad, key=lambda pair: 1.0 if pair[1].share is None else pair[1].share)[:most]
