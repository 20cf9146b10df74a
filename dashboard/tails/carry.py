"""How far into the tail each run's sample goes, and what further would need. Pure."""

from collections.abc import Sequence
from itertools import cycle

import pandas as pd
import plotly.graph_objects as go

from dashboard import tail_figure, text
from dashboard.quantities import LEVEL_TITLES
from dashboard.samples import Sample
from dashboard.words import t
from measure.quantiles import LEVELS, carried, interval_ranks


def furthest(sample: Sample) -> tuple[str | None, str | None]:
    """The last of a summary's levels that the sample carries, and the last with an interval."""
    size = sample.values.size
    shown = [name for name, level in LEVELS.items() if carried(size, level)]
    known = [
        name
        for name, level in LEVELS.items()
        if level in sample.effective and interval_ranks(sample.effective[level], level)
    ]
    return shown[-1] if shown else None, known[-1] if known else None


def mark_ends(figure: go.Figure, samples: Sequence[Sample]) -> None:
    """A point where a curve ends before p99.9, and of how many values it is."""
    said: set[int] = set()
    places = cycle(("top right", "bottom right", "top left", "bottom left"))
    for sample in samples:
        points, size = tail_figure.points(sample), sample.values.size
        if not points.survival.size or carried(size, 1 - tail_figure.FURTHEST_SURVIVAL):
            continue
        # Samples of one size end at one place: a text for each would hide the others.
        words = "" if size in said else t("{count} values", count=f"{size:,}")
        said.add(size)
        figure.add_scatter(
            x=points.survival[-1:],
            y=points.value[-1:],
            mode="markers+text",
            marker={"color": sample.line.colour, "size": 8},
            text=[words],
            textposition=next(places) if words else "top right",
            textfont={"size": 11},
            hovertext=[
                t(
                    "{count} values carry no quantile beyond this one; p99.9 needs 1,000.",
                    count=f"{size:,}",
                )
            ],
            hovertemplate="%{hovertext}<extra></extra>",
            showlegend=False,
            legendgroup=text.figure(sample.name),
        )


def table(samples: Sequence[Sample]) -> pd.DataFrame:
    """A row a run: values, what they are worth, the last quantile and the last interval."""
    rows = []
    for sample in samples:
        last, known = furthest(sample)
        worth = sample.effective.get(LEVELS["p99"]) or sample.effective.get(LEVELS["p50"])
        rows.append(
            {
                t("Run"): text.plain(sample.name),
                t("Values"): f"{sample.values.size:,}",
                t("Worth, independent"): f"{worth:,}" if worth else "–",
                t("Carried to"): _name(last),
                t("With an interval to"): _name(known),
                t("For p99.9"): _needed(sample),
            }
        )
    return pd.DataFrame(rows)


def _name(level: str | None) -> str:
    return "–" if level is None else LEVEL_TITLES.get(level, level)


def _needed(sample: Sample) -> str:
    """How many times as many requests the sample would need for p99.9, and for its interval."""
    size = sample.values.size
    if not size:
        return "–"
    if not carried(size, 1 - tail_figure.FURTHEST_SURVIVAL):
        return t("{times} times as many", times=f"{max(1000 / size, 1.01):,.3g}")
    worth = sample.effective.get(LEVELS["p999"], 0)
    if not worth or not interval_ranks(worth, LEVELS["p999"]):
        return t("carried, without an interval")
    return t("carried")
