"""KV cache and GPUs now, from the catalogue of panels, on the Memory page."""

from functools import partial

import streamlit as st

from dashboard import figures, panels, promql, sources, text, theme
from dashboard.chart import chart, side_by_side
from dashboard.live.drawing import shapes as shapes_of
from dashboard.live.readings import PanelReadings, idle
from dashboard.sources import Source
from dashboard.words import t

COLUMNS = 3
_OF_KV = ("kv_cache_usage", "preemptions", "prefix_cache_hit_rate")
_OF_GPU = ("gpu_memory", "gpu_memory_util")
PANELS = tuple(one for one in panels.PANELS if one.key in (*_OF_KV, *_OF_GPU))


def show(readings: list[PanelReadings], shown: list[Source], span: promql.Span) -> None:
    """Those of which something was seen; why the others show nothing is folded away."""
    dark = st.context.theme.type == "dark"
    lines = theme.lines_for_instances({one.name: one.kind for one in shown}, sources.KINDS, dark)
    drawable = [one for one in readings if one.by_source]
    if drawable:
        st.subheader(t("KV cache and GPU"), anchor=False)
    models = [f"{one.name}: {text.markdown(one.about)}" for one in shown if one.kind == sources.GPU]
    if models:
        st.caption(" · ".join(models))
    for column, one in side_by_side(drawable, COLUMNS):
        with column:
            shapes = shapes_of(one, lines, 0.99)
            chart(
                figures.panel(
                    shapes,
                    one.panel.unit,
                    span.start_s,
                    span.end_s,
                    span.step_s,
                ),
                f"panel-{one.panel.key}",
                t(one.panel.title),
                help=t(one.panel.help),
                data=partial(figures.numbers, shapes, one.panel.unit),
                queries=one.queries,
                quantiles=one.quantile_queries(0.99),
                aside=t("idle") if idle(one) else "",
            )
    notes = list(dict.fromkeys(note for one in readings for note in one.notes))
    if notes:
        with st.expander(t("What is not shown, and why ({count})", count=len(notes))):
            st.markdown("\n".join(f"- {text.markdown(note)}" for note in notes))
