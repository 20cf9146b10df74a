"""The interface's words: every English text that a page shows has a Korean one that fits it."""

import ast
import re
import string
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from dashboard_runs import records, write_run
from streamlit.testing.v1 import AppTest

from dashboard import engine_side, panels, quantities, sources, words
from dashboard.compare import definition_tables
from dashboard.live import sections, tiles
from dashboard.memory import plan
from measure import table
from servers.catalog import ENGINES

DASHBOARD = Path(__file__).resolve().parents[2] / "dashboard"
APP = DASHBOARD / "app.py"
HANGUL = re.compile("[가-힣]")
SENTENCE = re.compile(r"[A-Za-z]+ [a-z]+ [a-z]+ [a-z]+")


def pages() -> dict[str, str]:
    """The pages of the app, by file, with their English titles."""
    for node in ast.parse(APP.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "PAGES":
            return {name: title for name, (title, _) in ast.literal_eval(node.value).items()}
    raise AssertionError("app.py has no PAGES")


TITLES = {
    *pages().values(),
    *(title for title, _ in engine_side.BATCHES.values()),
    *(one.title for one in (*sections.PAIRS, *sections.SECTIONS)),
    *(one.title for one in panels.PANELS),
}
# In which catalogue the text stands that is asked for by an expression and not by a literal.
CATALOGUES = {
    "title": TITLES,
    "one.title": TITLES,
    "label": {label for facts in (tiles._ENGINE, tiles._GPU, tiles._LOAD) for label, *_ in facts},
    "what.title": {
        *(one.title for one in quantities.QUANTITIES),
        *table.TITLES.values(),
        "E2E from schedule",
    },
    "what.help": {one.help for one in quantities.QUANTITIES},
    "panel.title": {one.title for one in panels.PANELS},
    "panel.help": {one.help for one in panels.PANELS},
    "reading.label": {part.label for one in panels.PANELS for part in one.parts if part.label},
    "what": {plan.WEIGHTS, plan.KV_CACHE, plan.OVERHEAD, plan.ACTIVATIONS},
    "source.state": {
        "runs",
        "starts",
        "ended",
        "does not answer",
        sources.FIRST_GONE,
        sources.ALL_GONE,
    },
    "engine_side.AT_END": {engine_side.AT_END},
    "engine_side.NOTE": {engine_side.NOTE},
    "definition_tables.NOTE": {definition_tables.NOTE},
}
ALIKE = {
    "self.quantity.title": "what.title",
    "part.what": "what",
    "one.state": "source.state",
    "state": "source.state",
    "one.panel.title": "panel.title",
    "one.panel.help": "panel.help",
    "readings.panel.help": "panel.help",
}
# What the engines' folders say of their knobs is documentation of the engine: it stays English.
ENGLISH = {"knob.trades", "why", "engine.no_knob.get(name, '–')"}


def calls() -> Iterator[tuple[str, ast.Call]]:
    """Every call of `t` in the dashboard, with where it stands."""
    for file in sorted(DASHBOARD.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("t", "words.t"):
                yield f"{file.relative_to(DASHBOARD)}:{node.lineno}", node


def literals(node: ast.expr) -> list[str] | None:
    """The texts that an expression can be, if it is a literal or a choice of them."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.IfExp):
        both = literals(node.body), literals(node.orelse)
        return None if None in both else [*(both[0] or []), *(both[1] or [])]
    return None


def texts() -> dict[str, str]:
    """Every English text to its first place."""
    found = {text: name for name, several in CATALOGUES.items() for text in several}
    for where, call in calls():
        found |= dict.fromkeys(literals(call.args[0]) or [], where)
    return found


def placeholders(text: str) -> list[str]:
    return sorted(name for _, name, _, _ in string.Formatter().parse(text) if name is not None)


def test_every_text_has_a_korean_one() -> None:
    korean = words.translations("ko")
    missing = {text: where for text, where in texts().items() if text not in korean}
    assert missing == {}, "add them to dashboard/locale/ko/<page>.toml"


def test_a_korean_text_has_the_placeholders_of_the_english_one() -> None:
    wrong = {
        english: korean
        for english, korean in words.translations("ko").items()
        if placeholders(english) != placeholders(korean) or not korean.strip()
    }
    assert wrong == {}


def test_no_korean_text_is_for_an_english_one_that_nothing_shows() -> None:
    assert sorted(words.translations("ko").keys() - texts().keys()) == []


def test_a_text_names_what_is_filled_into_it() -> None:
    for where, call in calls():
        given = sorted(str(keyword.arg) for keyword in call.keywords)
        for text in literals(call.args[0]) or []:
            # Without values it is a template, to be filled in later.
            assert given in ([], sorted(set(placeholders(text)))), f"{where}: {text!r}"


def test_a_text_that_is_no_literal_stands_in_a_catalogue() -> None:
    known = {*CATALOGUES, *ALIKE, *ENGLISH}
    strange = {
        where: ast.unparse(call.args[0])
        for where, call in calls()
        if literals(call.args[0]) is None and ast.unparse(call.args[0]) not in known
    }
    assert strange == {}, "a translator finds only literal texts, and the catalogues named here"


def test_the_states_of_sources_are_those_that_are_translated() -> None:
    for state in CATALOGUES["source.state"]:
        assert f'"{state}"' in (DASHBOARD / "sources.py").read_text(encoding="utf-8")


def test_the_engines_page_says_in_korean_what_stays_english(lab: Path) -> None:
    app = AppTest.from_file(str(APP), default_timeout=60)
    app.query_params |= {"lang": "ko", "engine": "vllm"}
    app.switch_page("views/engines.py").run()
    assert words.translations("ko")[
        "What engines say of themselves, their knobs and metrics is in English."
    ] in _shown(app)


def test_what_engines_say_of_themselves_stays_english() -> None:
    said = {knob.trades for engine in ENGINES.values() for knob in engine.knobs}
    assert said & words.translations("ko").keys() == set()


def test_the_parts_of_every_forecast_are_translated() -> None:
    """`memory.py` of each engine names parts by these words."""
    names = CATALOGUES["what"]
    for file in (DASHBOARD.parent / "servers").glob("*/memory.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Part" and node.args:
                assert set(literals(node.args[0]) or names) <= names, f"{file}:{node.lineno}"


def test_two_files_do_not_say_different_things_of_one_text(tmp_path, monkeypatch) -> None:
    (tmp_path / "ko").mkdir()
    for name, korean in (("a", "하나"), ("b", "둘")):
        (tmp_path / "ko" / f"{name}.toml").write_text(f'"One" = "{korean}"\n', encoding="utf-8")
    monkeypatch.setattr(words, "_FOLDER", tmp_path)
    words.translations.cache_clear()
    try:
        with pytest.raises(ValueError, match=r"b\.toml translates 'One' otherwise"):
            words.translations("ko")
    finally:
        words.translations.cache_clear()


def test_every_file_of_words_is_toml_of_texts() -> None:
    for file in DASHBOARD.glob("locale/*/*.toml"):
        held = tomllib.loads(file.read_text(encoding="utf-8"))
        assert all(isinstance(korean, str) for korean in held.values()), file.name


@pytest.mark.parametrize("page", list(pages()))
def test_a_page_opened_in_korean_speaks_korean(lab: Path, page: str) -> None:
    app = AppTest.from_file(str(APP), default_timeout=60)
    app.query_params["lang"] = "ko"
    app.switch_page(f"views/{page}.py").run()
    assert not app.exception
    assert app.session_state["lang"] == "ko"
    assert HANGUL.search(_shown(app))


@pytest.mark.parametrize("page", ["tails", "batching", "memory", "compare", "slo"])
def test_what_was_worked_out_for_another_language_is_not_shown_in_it(lab: Path, page: str) -> None:
    """Texts that a page keeps in a cache are kept by language."""
    write_run(lab / "runs", "20260101-a", records(60))
    write_run(lab / "runs", "20260102-b", records(60, seed=2))
    shown = []
    for language in ("en", "ko"):
        app = AppTest.from_file(str(APP), default_timeout=60)
        app.query_params |= {"lang": language, "runs": "20260101-a,20260102-b"}
        shown.append(_shown(app.switch_page(f"views/{page}.py").run()))
        assert not app.exception
    caught = set(shown[0].splitlines()) & set(shown[1].splitlines())
    assert {line for line in caught if SENTENCE.search(line)} == set()


def test_a_page_opened_without_a_language_speaks_english(lab: Path) -> None:
    app = AppTest.from_file(str(APP), default_timeout=60).run()
    assert not app.exception
    assert app.session_state["lang"] == "en"
    assert not HANGUL.search(_shown(app))


def _shown(app: AppTest) -> str:
    kinds = ("markdown", "caption", "subheader", "text", "info", "warning", "error")
    return "\n".join(str(one.value) for kind in kinds for one in app.get(kind))
