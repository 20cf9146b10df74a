"""The Live page's parts: figures of pairs and of sections, and what they do not show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import streamlit as st

from dashboard import figures, panels, promql, text
from dashboard.chart import chart, side_by_side
from dashboard.figures import Stretch
from dashboard.live import drawing, loads
from dashboard.live.readings import PanelReadings, Reading, empty, idle, in_one_piece
from dashboard.live.sections import Pair, Section
from dashboard.theme import Line
from dashboard.words import t

COLUMNS = 3
_OF_STREAMS = ("client_ttft", "client_ttft_from_schedule", "client_chunk_gap")


@dataclass(frozen=True)
class Look:
    """Everything that one look at Prometheus gave, and how to draw it."""

    readings: Sequence[PanelReadings]
    lines: Mapping[str, Line]
    span: promql.Span
    quantile_name: str
    quantile: float
    marked: tuple[Stretch, ...]

    @property
    def by_key(self) -> dict[str, PanelReadings]:
        """The readings by their panel's key."""
        return {one.panel.key: one for one in self.readings}

    def without(self, panel: panels.Panel) -> list[str]:
        """The load tests of which the panel says nothing: answers in one piece have no TTFT."""
        if panel.key not in _OF_STREAMS:
            return []
        names = self.by_key["client_e2e"].by_source
        return [name for name in names if in_one_piece(self.by_key, name)]


def pairs(look: Look, wanted: Sequence[Pair]) -> None:
    """The same quantities from both sides, each pair in one figure with one axis."""
    by_key = look.by_key
    drawable = [
        pair for pair in wanted if any(_sources(look, by_key[one.key]) for one in pair.both)
    ]
    for column, pair in side_by_side(drawable, COLUMNS):
        with column:
            _pair(look, pair)


def _sources(look: Look, readings: PanelReadings) -> list[str]:
    without = look.without(readings.panel)
    return [name for name in readings.by_source if name not in without]


def _pair(look: Look, pair: Pair) -> None:
    both = [look.by_key[panel.key] for panel in pair.both]
    shapes = [shape for one in both for shape in _shapes(look, one)]
    _chart(
        look,
        shapes,
        f"pair-{pair.key}",
        _title(look, pair.title, pair.client),
        " ".join(t(panel.help) for panel in pair.both),
        pair.client.unit,
        both,
        nothing=all(idle(one) or not one.by_source for one in both),
    )


def section(look: Look, one: Section) -> None:
    """A section's figures, three in a row, and what it does not show."""
    members = [look.by_key[panel.key] for panel in one.panels]
    cells = [(readings, source) for readings in members for source in _figures_of(look, readings)]
    for column, (readings, source) in side_by_side(cells, COLUMNS):
        with column:
            _figure(look, readings, source)
    notes(look, one.panels)


def _figures_of(look: Look, readings: PanelReadings) -> list[str | None]:
    """One figure for all sources, or, where their areas would hide each other, one for each."""
    names = _sources(look, readings)
    if not _apart(readings.panel):
        return [None] if names else []
    return [name for name in names if not _nothing(readings, name)]


def _nothing(readings: PanelReadings, source: str) -> bool:
    """Whether nothing of the kind happened, so that areas or cells would be an empty figure."""
    several = readings.by_source[source]
    return _apart(readings.panel) and all(empty(one) and not one.labels for one in several)


def _apart(panel: panels.Panel) -> bool:
    return panel.stacked or panel.reading in ("heatmap", "labels")


def _figure(look: Look, readings: PanelReadings, source: str | None) -> None:
    panel = readings.panel
    if source is None:
        _chart(
            look,
            _shapes(look, readings),
            f"panel-{panel.key}",
            _title(look, panel.title, panel),
            t(panel.help),
            panel.unit,
            [readings],
            nothing=idle(readings),
        )
        return
    several = readings.by_source[source]
    title = t("{panel}: {instance}", panel=t(panel.title), instance=loads.called(source))
    key = f"panel-{panel.key}-{source}"
    if panel.reading == "labels":
        st.markdown(f"**{text.markdown(title)}**", help=t(panel.help))
        st.dataframe(drawing.facts(several[0]), hide_index=True, height=figures.PANEL_HEIGHT)
    elif panel.reading == "heatmap":
        _heatmap(look, readings, several[0], look.lines[source], key, title)
    else:
        dark = st.context.theme.type == "dark"
        shapes = drawing.stack(several, dark)
        _chart(look, shapes, key, title, t(panel.help), panel.unit, [readings], nothing=False)


def _heatmap(
    look: Look, readings: PanelReadings, one: Reading, line: Line, key: str, title: str
) -> None:
    unit = readings.panel.unit
    chart(
        drawing.heatmap(one, unit, line, look.span, look.marked),
        key,
        title,
        help=t(readings.panel.help),
        data=partial(drawing.heat_numbers, one, unit),
        queries=readings.queries,
    )


def _shapes(look: Look, readings: PanelReadings) -> list[figures.Curve | figures.Band]:
    return drawing.shapes(
        readings, look.lines, look.quantile, look.without(readings.panel), loads.called
    )


def _title(look: Look, title: str, panel: panels.Panel) -> str:
    return f"{t(title)} {look.quantile_name}" if panel.reading == "quantile" else t(title)


def _chart(
    look: Look,
    shapes: Sequence[figures.Curve | figures.Band],
    key: str,
    title: str,
    help: str,
    unit: figures.units.Unit,
    asked: Sequence[PanelReadings],
    *,
    nothing: bool,
) -> None:
    span = look.span
    chart(
        figures.panel(
            shapes,
            unit,
            span.start_s,
            span.end_s,
            span.step_s,
            look.marked,
            named=True,
        ),
        key,
        title,
        help=help,
        data=partial(figures.numbers, shapes, unit),
        queries=[query for one in asked for query in one.queries],
        quantiles={
            query: whole
            for one in asked
            for query, whole in one.quantile_queries(look.quantile).items()
        },
        aside=t("idle") if nothing else "",
    )


def notes(look: Look, of: Sequence[panels.Panel]) -> None:
    """What these panels do not show, or show otherwise, and why."""
    by_key = look.by_key
    said = [note for panel in of for note in by_key[panel.key].notes]
    whole = [name for panel in of for name in look.without(panel)]
    said += [
        t("{load}: its answers come in one piece, so that its TTFT is its E2E.", load=name)
        for name in whole
    ]
    said += [
        t("{panel}: {instance} had none in this time range.", panel=t(panel.title), instance=name)
        for panel in of
        for name in by_key[panel.key].by_source
        if _nothing(by_key[panel.key], name)
    ]
    said = list(dict.fromkeys(said))
    if said:
        with st.popover(
            t("What is not shown, or shown otherwise, and why ({count})", count=len(said)),
            type="tertiary",
        ):
            st.markdown("\n".join(f"- {text.markdown(note)}" for note in said))
