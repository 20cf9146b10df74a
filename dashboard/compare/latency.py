"""Compare's latency: what the reader chooses, against the run the reader chooses."""

from collections.abc import Sequence

import streamlit as st

from dashboard import run_figures, run_pages, runs, tail_figure, text
from dashboard.chart import chart
from dashboard.compare import tables
from dashboard.compare.scatter import Called
from dashboard.quantities import Quantity, headline, of_runs
from dashboard.runs import LoadedRun
from dashboard.samples import Sample
from dashboard.words import t
from measure import compare
from measure.compare import Comparison, Distributions
from measure.distribution import Distribution
from measure.effect import Larger
from measure.table import OPEN_LOOP_ONLY
from measure.window import is_open_loop

EFFECTS_OF = ("p50", "p99")
_TABLE_PX = 110
Seen = tuple[tuple[str, runs.Fingerprint], ...]


def show(
    loaded: Sequence[LoadedRun], called: Sequence[Called], comparison: Comparison | None
) -> Comparison | None:
    """The latency that the reader chooses; returned is the comparison with the chosen baseline."""
    known = quantities(loaded)
    measured = [key for key in known if any(one.values[key].size for one in loaded)]
    if not measured:
        st.info(t("No request has been answered yet, so there is no latency to show."))
        return None
    left, right = st.columns([5, 3], vertical_alignment="center")
    with left:
        first = headline(measured, open_loop=all(is_open_loop(one.run.manifest) for one in loaded))
        what = known[_choice({key: known[key].title for key in measured}, first)]
    if comparison:
        with right:
            comparison = _against(loaded, called, comparison)
    samples = samples_of(loaded, called, what.key)
    _figures(samples, what)
    _carried(samples)
    packed = [one.short for one, run in zip(called, loaded, strict=True) if _packed(run)]
    if what.key == "chunk_gap_s" and packed:
        st.caption(
            t(
                "In {runs} chunks hold several tokens: these gaps are not ITL.",
                runs=text.markdown(", ".join(packed)),
            )
        )
    if comparison:
        _effects(loaded, called, what, comparison)
    return comparison


def _choice(titles: dict[str, str], first: str) -> str:
    return str(
        st.segmented_control(
            t("Latency"),
            list(titles),
            default=first,
            required=True,
            format_func=lambda key: titles[key],
            key="metric",
            bind="query-params",
            label_visibility="collapsed",
            persist_state="session",
        )
    )


def _figures(samples: Sequence[Sample], what: Quantity) -> None:
    left, right = st.columns(2)
    with left:
        chart(
            run_figures.ecdf(samples, what.unit),
            "ecdf",
            t("{quantity}: share of requests at or below", quantity=t(what.title)),
            help=t(what.help),
            data=lambda: run_figures.values(samples, what.unit),
        )
    with right:
        chart(
            tail_figure.figure(samples, what.unit),
            "tail",
            t("{quantity}: the tail, with 95% intervals", quantity=t(what.title)),
            help=t(
                "Each percentile the sample carries, to p99.9; the band is its distribution-free "
                "95% interval. Where the sample is too small a curve ends, and a band ends sooner."
            ),
            data=lambda: tail_figure.numbers(samples, what.unit),
        )


def quantities(loaded: Sequence[LoadedRun]) -> dict[str, Quantity]:
    """What says something of its own: in a closed loop the schedule is the users' own pace."""
    closed = all(not is_open_loop(one.run.manifest) for one in loaded)
    return {
        one.key: one
        for one in of_runs(*(one.run.summary for one in loaded))
        if not (closed and one.key in OPEN_LOOP_ONLY)
    }


def samples_of(loaded: Sequence[LoadedRun], called: Sequence[Called], key: str) -> list[Sample]:
    """The runs' values of this quantity, as figures want them."""
    return [
        Sample(name.name, name.line, one.values[key], one.effective[key], name.short)
        for one, name in zip(loaded, called, strict=True)
    ]


def distributions(loaded: Sequence[LoadedRun]) -> list[Distributions]:
    """What the runs have sorted already."""
    return [
        {key: Distribution(one.values[key], one.effective[key]) for key in one.values}
        for one in loaded
    ]


def seen(loaded: Sequence[LoadedRun]) -> Seen:
    """What of the runs' files has been read: what is worked out from them holds for these."""
    return tuple((one.run_id, runs.fingerprint(one.run.path)) for one in loaded)


def _packed(one: LoadedRun) -> bool:
    return one.tokens_per_chunk > 1.05


def _carried(samples: Sequence[Sample]) -> None:
    """Say which tails end early."""
    few = [f"{one.short}: {one.values.size:,}" for one in samples if one.values.size < 1000]
    if few:
        st.caption(
            t(
                "Few values ({counts}): p99 needs 100, p99.9 needs 1,000, and their intervals 368 "
                "and 3,688 independent ones.",
                counts=text.markdown("; ".join(few), 500),
            )
        )


def _against(
    loaded: Sequence[LoadedRun], called: Sequence[Called], comparison: Comparison
) -> Comparison:
    """The comparison with the run that the reader holds the others against."""
    names = [one.name for one in called]
    if st.session_state.get("baseline") not in names:
        of_address = st.query_params.get("baseline")
        st.session_state["baseline"] = of_address if of_address in names else names[0]
    # Streamlit keeps a choice by its words: these must be the same in every language.
    with st.container(horizontal=True, wrap=False, vertical_alignment="center"):
        st.markdown(t("Baseline"), width="content")
        asked = st.selectbox(
            t("Baseline"),
            names,
            key="baseline",
            label_visibility="collapsed",
            persist_state="session",
        )
    place = names.index(str(asked))
    if place:
        st.query_params["baseline"] = names[place]
    else:
        st.query_params.pop("baseline", None)
    if place == comparison.baseline:
        return comparison
    return compare.compare([one.run for one in loaded], baseline=place, known=distributions(loaded))


def _effects(
    loaded: Sequence[LoadedRun], called: Sequence[Called], what: Quantity, against: Comparison
) -> None:
    """Each run against the baseline, in the latency that is shown above."""
    baseline = called[against.baseline].name
    words = t("{quantity} against {run}", quantity=t(what.title), run=baseline)
    st.markdown(
        f"**{text.markdown(words)}**",
        help=t(
            "Ratios of quantiles, in brackets their 95% intervals. Then how often a request is "
            "slower than one of the baseline, over all pairs of requests: 50 % is no difference. "
            "Cliff's delta is the same from -1 (always faster) to +1 (always slower). Neither "
            "assumes a distribution."
        ),
    )
    rows = [row for row in against.rows if row.metric == what.key and row.quantile in EFFECTS_OF]
    with st.skeleton(height=_TABLE_PX):
        found = _slower(seen(loaded), what.key, against.baseline, distributions(loaded))
    run_pages.table(tables.effects(found, rows, [one.name for one in called], against.baseline))


@st.cache_data(max_entries=64, show_spinner=False)
def _slower(
    seen: Seen,
    metric: str,
    baseline: int,
    _known: list[Distributions],
) -> tuple[Larger | None, ...]:
    """Over all pairs of requests: a second for a million of them, so worked out once."""
    return compare.effects(metric, _known, baseline)
