"""Where the time to the first token went, on the Tails page."""

from collections.abc import Mapping, Sequence

import streamlit as st

from dashboard import run_pages, runs, text
from dashboard.chart import chart
from dashboard.runs import Fingerprint, LoadedRun
from dashboard.tails import split, split_figure, split_tables
from dashboard.tails.split import Split
from dashboard.words import language, t
from measure.errors import MeasureError
from servers.catalog import ENGINES

_TABLE_HEIGHT = 420
_SKELETON_PX = 300


def show(loaded: Sequence[LoadedRun], called: Mapping[str, str], dark: bool) -> None:
    """The runs' means in pieces; `called` are short names of the runs, no two alike."""
    st.subheader(t("Where the time went"), anchor=False)
    with st.skeleton(height=_SKELETON_PX):
        found = [
            _pieces(one.run_id, runs.fingerprint(one.run.path), language(), one.run.running, one)
            for one in loaded
        ]
    for said in (one for one in found if isinstance(one, str)):
        st.warning(text.markdown(said, 600))
    splits = [one for one in found if isinstance(one, Split)]
    if not splits:
        st.caption(t("No request was answered."))
        return
    chart(
        split_figure.figure(splits, called, dark),
        "split",
        t("Mean {quantity} from schedule, in pieces", quantity=_split_of(splits)),
        help=t(
            "Means, for means add up and quantiles do not. Client: exact, from the records in the "
            "window. Engine: the exact means of its own histograms in the window, of what ended "
            "there. The hatched piece is what the client waited and the engine does not account "
            "for. Answers that came in one piece are split from schedule to their end (E2E)."
        ),
        data=lambda: split_figure.numbers(splits),
    )
    run_pages.remarks(split_tables.remarks(splits))
    run_pages.table(
        split_tables.table(splits, called), _TABLE_HEIGHT if len(splits) > 2 else "auto"
    )
    st.caption(
        t(
            "Means add up. The quantiles beside them do not: the engine's are the bounds of the "
            "bucket each lies in, the client's are exact. A request begun in warm-up is in the "
            "engine's numbers only."
        )
    )


def _split_of(splits: Sequence[Split]) -> str:
    return " / ".join(dict.fromkeys(split.title_of(one.what) for one in splits))


@st.cache_data(max_entries=64, show_spinner=False)
def _pieces(
    name: str, seen: Fingerprint, language: str, running: bool, _one: LoadedRun
) -> Split | str | None:
    """The pieces; why there are none, where what was kept of the engine cannot be read."""
    engine = ENGINES.get(str(_one.run.manifest["engine"].get("name")))
    try:
        return split.split(_one.run, engine.metrics if engine else (), _one.run.server_metrics)
    except MeasureError as error:
        return str(error)
