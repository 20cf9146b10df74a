"""What a page shows that cannot ask Prometheus: why, what to do, and that it tries again."""

import streamlit as st

from dashboard import prometheus, sources, text
from dashboard.prometheus import Failure
from dashboard.words import t

AGAIN_S = 3.0


def title(failure: Failure) -> str:
    """What is the matter, in a few words."""
    return {
        "unreachable": t("No numbers: Prometheus does not answer"),
        "starting": t("No numbers yet: Prometheus is starting"),
        "timeout": t("No numbers now: Prometheus is too slow"),
        "refused": t("No numbers: Prometheus refuses the query"),
        "unreadable": t("No numbers: what answers is not Prometheus"),
    }[failure.kind]


def advice(failure: Failure) -> tuple[str, str]:
    """What to do, and the command that does it, if one does."""
    if failure.kind == "unreachable":
        return t("Start it in a terminal, and this page fills by itself:"), "lab up prometheus"
    if failure.kind == "starting":
        return t("It reads its data back. This page fills by itself."), ""
    if failure.kind == "timeout":
        return (
            t(
                "It may be busy, or the machine is. This page asks again every few seconds. If it "
                "stays so, see what it says:"
            ),
            "lab logs prometheus",
        )
    if failure.kind == "refused":
        return t("This is a fault of the page. The Health page says which version answers."), ""
    return t("Another program has this port. See where the lab's own Prometheus is:"), "lab ps"


def show(failure: Failure, said_by: str) -> None:
    """The whole page, where Prometheus does not answer. It looks again by itself, paused or not."""
    st.subheader(title(failure), anchor=False)
    where = t("The address comes from {source}.", source=said_by) if said_by else ""
    st.text(f"{failure.message} {where}".strip())
    words, command = advice(failure)
    st.markdown(words)
    if command:
        st.code(command, language="bash")
    local = sources.local_sources()
    if local:
        st.markdown(t("Engines started by the lab on this machine:"))
        st.text(
            "\n".join(
                text.plain(" · ".join(filter(None, (one.name, one.title, t(one.state), one.about))))
                for one in local
            )
        )
    if not st.session_state.get("follow", True):
        st.fragment(_again, run_every=AGAIN_S)()


def _again() -> None:
    """A paused page is drawn anew as soon as there is something to draw."""
    if not isinstance(prometheus.query(prometheus.address()[0], "vector(1)"), Failure):
        st.rerun(scope="app")
