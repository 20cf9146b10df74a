"""The table of where the time to the first token went, and what to mind of it. Pure."""

from collections.abc import Mapping, Sequence

import pandas as pd

from dashboard import text, units
from dashboard.engine_side import LEVELS
from dashboard.tails.split import Split, title_of, titles
from dashboard.words import t
from measure.server_histogram import Bounds

_OTHERS = 0.05
"""By which share engine and client may count other requests before their means are too unlike."""


def table(splits: Sequence[Split], called: Mapping[str, str]) -> pd.DataFrame:
    """Means that add up, and beside them quantiles, which do not: bounds, exact at the client."""
    names = titles()
    rows = []
    for one in splits:
        run = called[one.run_id]
        rows += [_row(run, names[piece.name], piece.mean_s, piece.bounds) for piece in one.pieces]
        whole = title_of(one.what)
        total = t("{quantity} from schedule, client", quantity=whole)
        rows.append(_row(run, total, one.total_s, None))
        if one.engine:
            title = t("{quantity}, engine", quantity=whole)
            rows.append(_row(run, title, one.engine.mean_s, one.engine.bounds))
        exact = {name: units.show(value, "s") for name, value in one.client.items()}
        title = t("{quantity}, client", quantity=whole)
        rows.append(_row(run, title, one.client_s, None) | exact)
    return pd.DataFrame(rows)


def _row(
    run: str, title: str, mean_s: float, bounds: Mapping[str, Bounds] | None
) -> dict[str, str]:
    found = bounds or {}
    return {
        t("Run"): run,
        t("Piece"): title,
        t("Mean"): units.show(mean_s, "s"),
        **{
            level: units.between(found[level].lower, found[level].upper, "s")
            if level in found
            else ""
            for level in LEVELS
        },
    }


def remarks(splits: Sequence[Split]) -> list[str]:
    """What a reader must know of each bar: what its engine does not export, what is below zero."""
    found = []
    for one in splits:
        if one.note:
            found.append(t("{run}: {what}.", run=text.plain(one.run_id), what=one.note))
        elif one.missing:
            found.append(
                t(
                    "{run}: its engine exports no exact {concepts}; that time is in what is not "
                    "explained, or in the rest of the engine.",
                    run=text.plain(one.run_id),
                    concepts=", ".join(one.missing),
                )
            )
        below = [titles()[piece.name] for piece in one.pieces if piece.mean_s < -1e-6]
        if below:
            found.append(
                t(
                    "{run}: below zero is “{pieces}”: the means are of different requests "
                    "({engine} in the engine, {client} at the client), or the engine's pieces "
                    "overlap.",
                    run=text.plain(one.run_id),
                    pieces=", ".join(below),
                    engine=f"{one.engine.count:,.0f}" if one.engine else "–",
                    client=f"{one.count:,}",
                )
            )
        elif one.engine and abs(one.engine.count - one.count) > _OTHERS * one.count:
            found.append(
                t(
                    "{run}: the engine's means are of {engine} requests, the client's of {client}: "
                    "what is not explained is in part that difference.",
                    run=text.plain(one.run_id),
                    engine=f"{one.engine.count:,.0f}",
                    client=f"{one.count:,}",
                )
            )
    return found
