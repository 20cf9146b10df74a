"""The figure of where the time to the first token went: a bar a run, piece upon piece. Pure."""

import math
from collections.abc import Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go

from dashboard import text, units
from dashboard.figures import lay_out_bars, ticks
from dashboard.tails.split import RESIDUAL, REST, WAIT, Split, titles
from dashboard.theme import Line, lines_for_runs

_COLOURS = {
    WAIT: 0, "queue_time": 1, "prefill_time": 2, "validation_time": 3, "decode_time": 4,
    "classify_compute_input": 3, "classify_compute_infer": 2, "classify_compute_output": 4,
    REST: 5, RESIDUAL: 6,
}  # fmt: skip
"""Piece to its place in the palette; the same place for what never stands in one bar."""


def lines(dark: bool) -> dict[str, Line]:
    """Each piece its colour, the same on every page."""
    palette = list(lines_for_runs([str(place) for place in range(7)], dark).values())
    return {piece: palette[place] for piece, place in _COLOURS.items()}


def figure(splits: Sequence[Split], called: Mapping[str, str], dark: bool) -> go.Figure:
    """A bar a run, piece after piece; what is below zero goes to the left.

    `called` are short names of the runs, no two alike.
    """
    made = go.Figure()
    colours, on_page = lines(dark), "#ffffff" if dark else "#000000"
    names = [text.figure(called[one.run_id]) for one in splits]
    for piece, title in titles().items():
        means = [
            next((part.mean_s for part in one.pieces if part.name == piece), None) for one in splits
        ]
        if not any(means):
            continue
        made.add_bar(
            orientation="h",
            y=names,
            x=means,
            name=title,
            marker={
                "color": colours[piece].fill(0.35 if piece == RESIDUAL else 1),
                "line": {"width": 0},
                "pattern": {"shape": "/" if piece == RESIDUAL else "", "size": 6},
            },
            text=[units.show(mean, "s") if mean else "" for mean in means],
            textposition="inside",
            insidetextfont={"color": on_page if piece == RESIDUAL else colours[piece].ink},
            insidetextanchor="middle",
            textangle=0,
            hovertemplate="%{text}",
        )
    lay_out_bars(made, 110 + 34 * len(splits), "relative")
    made.update_xaxes(**ticks("s"), showgrid=True, zeroline=True)
    return made


def numbers(splits: Sequence[Split]) -> pd.DataFrame:
    """What the figure draws."""
    return pd.DataFrame(
        [
            (one.run_id, piece.name, piece.mean_s, piece.count or math.nan)
            for one in splits
            for piece in one.pieces
        ],
        columns=["run", "piece", "mean (seconds)", "requests"],
    )
