"""What opens under the buttons of the Runs page: tags and note, export, import, delete."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import streamlit as st

from dashboard import text, units
from dashboard.store import acts
from dashboard.store.acts import Outcome
from dashboard.store.listing import Entry
from dashboard.words import t
from measure import notes
from measure.errors import MeasureError


def describe(root: Path, picked: list[Entry]) -> None:
    """Tags and note of one run, or tags to add to several."""
    with st.popover(t("Tags and note"), icon=":material/sell:", disabled=not picked):
        if not picked:
            return
        if len(picked) > 1:
            _tag_several(root, [entry.run_id for entry in picked])
        else:
            _describe_one(root, picked[0])


def _tag_several(root: Path, names: list[str]) -> None:
    with st.form("tag-runs", border=False):
        st.markdown(t("Tags to add to {count} runs", count=len(names)))
        st.text_input(t("Tags, with commas between"), key="tags-added", max_chars=1000)
        st.form_submit_button(
            t("Add"),
            on_click=do,
            args=(lambda: acts.tag(root, names, st.session_state["tags-added"]),),
        )


def _describe_one(root: Path, entry: Entry) -> None:
    # What is kept is part of the key: the fields begin with what stands on the disk now.
    key = _short(repr((entry.run_id, entry.notes)))
    tags_key, note_key = f"tags-{key}", f"note-{key}"
    with st.form(f"describe-{key}", border=False, width=420):
        st.text_input(
            t("Tags, with commas between"),
            value=", ".join(entry.notes.tags),
            key=tags_key,
            max_chars=1000,
        )
        st.text_area(
            t("Note"),
            value=entry.notes.note,
            key=note_key,
            max_chars=notes.LONGEST_NOTE,
            height=140,
        )
        st.form_submit_button(
            t("Keep"),
            on_click=do,
            args=(
                lambda: acts.describe(
                    root,
                    entry.run_id,
                    st.session_state[tags_key],
                    st.session_state[note_key],
                    entry.notes,
                ),
            ),
        )


def export(root: Path, picked: list[Entry]) -> None:
    """The runs as a zip: by the browser, or to a file where it is too much for that."""
    with st.popover(t("Export"), icon=":material/download:", disabled=not picked):
        if not picked:
            return
        names = [entry.run_id for entry in picked]
        if any(entry.state == "running" for entry in picked):
            st.markdown(t("A run that still goes on is not exported. Wait for its end."))
            return
        size, file = acts.total_bytes(root, names), acts.file_name(names)
        st.markdown(
            t("One zip with a folder for each run: {size}.", size=units.show(size, "bytes"))
        )
        if size <= acts.MOST_BY_BROWSER_BYTES:
            st.download_button(
                t("Download"),
                data=lambda: acts.export_bytes(root, names),
                file_name=file,
                mime="application/zip",
                on_click="ignore",
                key="export",
            )
            return
        st.markdown(t("That is too much for a download: it is written to a file on this machine."))
        st.button(
            t("Write the file"),
            on_click=do,
            args=(lambda: acts.export_file(root, names, file),),
            key="export",
        )


def bring_in(root: Path) -> None:
    """Runs from a zip."""
    with st.popover(t("Import"), icon=":material/upload:"):
        file = st.file_uploader(
            t("A zip of runs, as Export makes it"), type="zip", key="import", max_upload_size=200
        )
        st.caption(
            t(
                "Each run is checked before it appears, and none is overwritten. Larger ones are "
                "unpacked by hand into {folder}.",
                folder=text.markdown(root),
            )
        )
        if file is not None:
            st.button(
                t("Import"),
                type="primary",
                on_click=do,
                args=(lambda: acts.bring_in(root, file),),
                key="import-now",
            )


def delete(root: Path, picked: list[Entry]) -> None:
    """Two steps: the runs by their names and a box to tick, then the button."""
    with st.popover(t("Delete"), icon=":material/delete:", disabled=not picked):
        if not picked:
            return
        names = [entry.run_id for entry in picked]
        size = units.show(acts.total_bytes(root, names), "bytes")
        if len(names) == 1:
            st.markdown(t("This run and its {size} will be gone for good:", size=size))
        else:
            st.markdown(
                t(
                    "These {count} runs and their {size} will be gone for good:",
                    count=len(names),
                    size=size,
                )
            )
        with st.container(height="content" if len(names) <= 8 else 200, border=False):
            st.markdown("\n".join(f"- {text.markdown(name, 200)}" for name in names))
        sure = st.checkbox(t("I do not need them any more"), key=f"sure-{_short(str(names))}")
        st.button(
            t("Delete for good"),
            type="primary",
            disabled=not sure,
            on_click=do,
            args=(lambda: acts.delete(root, names),),
            key="delete",
        )


def do(act: Callable[[], Outcome]) -> None:
    """Do it before the page is drawn anew, and keep what is to be said about it."""
    try:
        st.session_state["runs_said"] = act()
    except (MeasureError, OSError) as error:
        st.session_state["runs_said"] = Outcome(problems=(text.markdown(error, 600),))


def _short(words: str) -> str:
    return hashlib.sha256(words.encode("utf-8", "replace")).hexdigest()[:12]
