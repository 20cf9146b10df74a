"""Engines: what each is, its knobs and metrics, where it is taught, what of it runs now."""

from collections import Counter

import streamlit as st

from dashboard import run_pages, runs, text
from dashboard.engines import catalogue
from dashboard.store import listing
from dashboard.words import language, t
from servers.catalog import ENGINES
from servers.contract import Engine


def page() -> None:
    """All engines, or the one that is chosen; what a search finds in all of them."""
    left, right = st.columns([1, 2], vertical_alignment="bottom")
    name = left.selectbox(
        t("Engine"),
        list(ENGINES),
        index=None,
        key="engine",
        bind="query-params",
        placeholder=t("All engines"),
    )
    query = right.text_input(
        t("Search in all engines"),
        key="find",
        bind="query-params",
        placeholder=t("A knob, a flag, a metric, a word of what it means"),
    )
    if query.strip():
        _found(query)
    engine = ENGINES.get(name or "")
    if engine is not None:
        _one(engine)
    elif not query.strip():
        _all()


def _found(query: str) -> None:
    hits = catalogue.search(query, ENGINES.values())
    if not hits:
        st.info(t("No engine has a knob or a metric of that kind."), icon=":material/search_off:")
        return
    many = t("{count} knobs and metrics", count=len(hits))
    st.caption(t("1 knob or metric") if len(hits) == 1 else many)
    _in_english()
    run_pages.sentences(catalogue.hits_table(hits))


def _in_english() -> None:
    """What the engines' folders say of them is their documentation, which is not translated."""
    if language() != "en":
        st.caption(t("What engines say of themselves, their knobs and metrics is in English."))


def _all() -> None:
    _in_english()
    run_pages.sentences(catalogue.overview(ENGINES.values()))
    st.caption(t("Choose one above to see its knobs, its metrics and what of it runs."))


def _one(engine: Engine) -> None:
    st.subheader(text.markdown(engine.title), anchor=False)
    st.markdown(text.markdown(engine.summary, 600))
    _in_english()
    facts, taught = st.columns(2, gap="large")
    with facts:
        _facts(engine)
    with taught:
        _taught(engine)
    _running(engine)
    st.subheader(t("Knobs"), anchor=False)
    if engine.knobs:
        st.caption(t("Set one with: {command}", command=f"`lab up {engine.name} --set KNOB=VALUE`"))
        run_pages.sentences(catalogue.knobs_table(engine))
    else:
        st.caption(t("It has none."))
    st.subheader(t("Metrics"), anchor=False)
    if engine.metrics:
        run_pages.sentences(catalogue.metrics_table(engine))
    else:
        st.caption(t("The lab reads none from it."))


def _facts(engine: Engine) -> None:
    lines = [t("Runs as: {ways}", ways=text.markdown("; ".join(catalogue.ways(engine)), 600))]
    if engine.protocols:
        lines.append(
            t("Answers: {protocols}", protocols=text.markdown(", ".join(engine.protocols)))
        )
    if engine.memory is not None:
        lines.append(t("Says before it starts how much memory it will take."))
    panels = catalogue.panels_of(engine)
    if panels:
        titles = ", ".join(t(panel.title) for panel in panels)
        lines.append(t("Fills on Live: {panels}", panels=text.markdown(titles, 900)))
    st.markdown("\n".join(f"- {line}" for line in lines))
    with st.container(horizontal=True):
        st.page_link("views/live.py", label=t("Live"), icon=":material/monitoring:")
        count = Counter(entry.engine for entry in listing.entries(runs.root()))[engine.name]
        if count:
            st.page_link(
                "views/runs.py",
                label=t("Its runs ({count})", count=count),
                icon=":material/folder_open:",
                query_params={"engine": engine.name},
            )


def _taught(engine: Engine) -> None:
    lessons = catalogue.lessons(engine)
    if not lessons:
        return
    st.markdown(f"**{t('Notebooks that teach it')}**")
    for lesson in lessons:
        st.markdown(
            f"- {text.markdown(lesson.title)}  \n"
            f"  `{lesson.file}`  \n  :gray[{text.markdown(lesson.goal, 400)}]"
        )


def _running(engine: Engine) -> None:
    st.subheader(t("What runs now"), anchor=False)
    found = catalogue.running(engine)
    if found.empty:
        st.caption(t("None of it runs. Start one:"))
        st.code(f"lab up {engine.name}", language="bash")
    else:
        run_pages.sentences(found)
        st.caption(
            t(
                "By its processes. Whether it answers is said on Live and Health. One whose first "
                "process is gone is ended by: {command}",
                command="`lab down NAME`",
            )
        )


page()
