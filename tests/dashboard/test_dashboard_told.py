"""Sentences made elsewhere, told in Korean: all of them, whole, their values unchanged."""

import re
import string
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from told_sentences import (
    ARRIVALS,
    BUSY,
    DIFFERENT,
    FACTS,
    ODD_RUNS,
    PROBLEMS,
    RUNS,
    UNKNOWN,
    WORST,
    alert_texts,
    definition_texts,
    row_titles,
    run,
)

from dashboard import alerts, told, words
from measure import compare
from measure.arrival import in_words
from measure.verdict import Facts, judge

HANGUL = re.compile("[가-힣]")
LATIN = re.compile("[A-Za-z]{2,}")
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
# Names and units that Korean readers read as they are, and commands to type.
KEPT = {
    *("TTFT", "ITL", "TPOT", "SLO", "CPU", "KV", "Goodput", "Prometheus"),
    *("ms", "rate", "usage", "tokenizer", "metrics", "role", "DONE", "goodput"),
}
COMMAND = re.compile("`[^`]*`")
FILES = sorted((Path(told.__file__).parent / "locale").glob("*/told/*.toml"))


@pytest.fixture(scope="module", autouse=True)
def korean() -> Iterator[None]:
    before = words._asked
    words.ask_language_of(lambda: "ko")
    yield
    words.ask_language_of(before)


def check(english: str, *, hangul: bool = True) -> None:
    """Told in Korean: no English word is left, every number is still there, and no gap."""
    said = told.told(english)
    assert HANGUL.search(said) or not hangul, said
    assert set(LATIN.findall(COMMAND.sub("", said))) <= KEPT, said
    assert Counter(NUMBER.findall(english)) <= Counter(NUMBER.findall(said)), (english, said)
    assert "{" not in said


# ---- what is told --------------------------------------------------------------------------


@example(WORST)
@example(BUSY)
@example(UNKNOWN)
@given(FACTS)
def test_every_reason_of_a_verdict_is_told(facts: Facts) -> None:
    for reason in judge(facts)[1]:
        check(reason)


def test_every_reason_of_a_window_is_told() -> None:
    assert len({re.sub(r"[\d.]+", "", one) for one in PROBLEMS}) == 4
    for problem in PROBLEMS:
        check(problem)


@example(ODD_RUNS, DIFFERENT[-1])
@given(st.lists(RUNS, min_size=1, max_size=4), st.sampled_from(DIFFERENT))
def test_every_warning_of_a_comparison_is_told(
    runs: list[Any], settings: list[compare.Setting]
) -> None:
    for warning in compare.warnings(runs, settings):
        check(warning)


def test_a_list_of_reasons_is_told_one_by_one() -> None:
    (warning,) = compare.warnings([run("r1", verdict="suspect", reasons=judge(WORST)[1])])
    reasons = "; ".join(told.told(one) for one in judge(WORST)[1])
    assert told.told(warning) == f"r1: 의심. {reasons}."


@pytest.mark.parametrize("arrival", ARRIVALS, ids=in_words)
def test_a_load_is_told(arrival: dict[str, Any]) -> None:
    check(in_words(arrival))


@given(st.floats(0.01, 1e6), st.floats(0.01, 1e6), st.floats(0.01, 100))
def test_a_load_is_told_at_every_rate(low: float, high: float, burstiness: float) -> None:
    for arrival in ARRIVALS:
        drawn = {
            **dict.fromkeys(("rate_rps", "from_rps", "low_rps", "base_rps"), low),
            **dict.fromkeys(("to_rps", "high_rps", "peak_rps"), high),
            "rates_rps": [low, high],
            "burstiness": burstiness,
            "speed": burstiness,
        }
        check(in_words({key: drawn.get(key, value) for key, value in arrival.items()}))


@pytest.mark.parametrize("title", sorted(set(row_titles())))
def test_a_row_an_axis_and_a_column_are_told(title: str) -> None:
    """Where nothing but a term of the field is in it, it stays."""
    check(title, hangul=bool(set(LATIN.findall(title)) - KEPT))


def test_how_other_tools_differ_is_told(tmp_path: Path) -> None:
    for text in definition_texts(tmp_path):
        check(text, hangul=bool(set(LATIN.findall(text)) - KEPT))


@pytest.mark.parametrize("text", alert_texts())
def test_what_an_alert_says_is_told(text: str) -> None:
    check(text)


def test_a_drawn_alert_speaks_korean() -> None:
    one = alerts.Alert(
        "KvCacheFull", "firing", "page", "i1", 0.0, "1", "i1: its KV cache is 97.5% full",
        "Not the lab's own words.", "", {},
    )  # fmt: skip
    drawn = alerts.render([one], 1.0)
    assert "i1: KV 캐시가 97.5% 찼습니다" in drawn
    assert "Not the lab&#x27;s own words." in drawn


# ---- the files -----------------------------------------------------------------------------


def gaps(text: str) -> list[str]:
    return sorted(name for _, name, _, _ in string.Formatter().parse(text) if name is not None)


def lines() -> list[tuple[str, str]]:
    files = [tomllib.loads(file.read_text(encoding="utf-8")) for file in FILES]
    return [line for file in files for line in file.items()]


def test_a_korean_sentence_has_the_gaps_of_the_english_one() -> None:
    assert [english for english, said in lines() if gaps(english) != gaps(said)] == []
    for _, said in lines():
        of_its_own = "".join(literal for literal, *_ in string.Formatter().parse(said))
        assert set(LATIN.findall(COMMAND.sub("", of_its_own))) <= KEPT, said


def test_no_sentence_stands_twice_or_is_one_that_the_pages_say_themselves() -> None:
    keys = [english for english, _ in lines()]
    assert [key for key, count in Counter(keys).items() if count > 1] == []
    assert set(keys) & set(words.translations("ko")) == set()


def test_gaps_do_not_touch() -> None:
    for english, _ in lines():
        assert "}{" not in english


def test_every_line_tells_something_that_is_really_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it, something would be told otherwise."""
    several = [reason for facts in (WORST, BUSY, UNKNOWN) for reason in judge(facts)[1]]
    several += [*PROBLEMS, *alert_texts(), *row_titles(), *(in_words(one) for one in ARRIVALS)]
    several += definition_texts(tmp_path)
    several += [one for different in DIFFERENT for one in compare.warnings(ODD_RUNS, different)]
    several = list(dict.fromkeys(several))
    before, all_lines = [told.told(one) for one in several], dict(lines())
    dead = []
    for english in all_lines:
        left = {key: said for key, said in all_lines.items() if key != english}
        monkeypatch.setattr(told, "_lines", lambda language, left=left: left)
        _forget()
        if [told.told(one) for one in several] == before:
            dead.append(english)
    monkeypatch.undo()
    _forget()
    assert dead == []


def _forget() -> None:
    for kept in (told._told, told.patterns, told.whole_sentences):
        kept.cache_clear()


# ---- others' text --------------------------------------------------------------------------


def test_in_english_everything_stays_as_it_is() -> None:
    words.ask_language_of(lambda: "en")
    try:
        for sentence in ("16 users", "no request falls into the window", ""):
            assert told.told(sentence) == sentence
    finally:
        words.ask_language_of(lambda: "ko")


@pytest.mark.parametrize("sentence", ["", "of tomorrow", "a b c; d e f", "{", "{0}", "%s", "\0"])
def test_what_nobody_knows_stays_as_it_is(sentence: str) -> None:
    assert told.told(sentence) == sentence


@pytest.mark.parametrize(
    "name",
    ["{0.__class__}", "{reasons}", "%(run)s", "<b>x</b>", r"\1", "prompt", "a b", "a; b", "실행"],
)
def test_a_name_is_neither_read_nor_told(name: str) -> None:
    said = told.told(f"{name} is suspect: no request falls into the window.")
    assert said == f"{name}: 의심. 측정 구간에 든 요청이 없습니다."


def test_what_is_longer_than_any_sentence_of_ours_is_not_looked_at() -> None:
    longest = "a" * (told.LONGEST - len(" users"))
    assert told.told(f"{longest} users") == f"사용자 {longest}명"
    assert told.told(f"{longest}a users") == f"{longest}a users"


PIECES = sorted({piece for one in told.patterns("ko") for piece in one.literals if piece})


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=40))
@example([" is suspect: "] * 300)
@example(["; "] * 1999)
@example(["r is suspect: "] * 280 + ["."])
@example([": "] * 1900 + [" of its requests missed "] * 5)
def test_whatever_is_made_of_our_own_pieces_is_told_in_the_end(pieces: list[str]) -> None:
    assert told.told("".join(pieces)) is not None


@given(st.text(max_size=300))
def test_whatever_others_wrote_is_told_without_an_error(sentence: str) -> None:
    assert isinstance(told.told(sentence), str)


@given(st.lists(st.text(min_size=1, max_size=8), min_size=2, max_size=2))
def test_a_gap_ends_where_what_follows_is_first_found(values: list[str]) -> None:
    pattern = told.Pattern.of("a {x:text} b {y:text} c", "{y}{x}")
    sentence = f"a {values[0]} b {values[1]} c"
    found = pattern.values(sentence)
    assert found is not None
    assert f"a {found[0]} b {found[1]} c" == sentence
    assert all(found)
    assert " b " not in found[0][1:]
    assert pattern.values("a  b  c") is None
    assert pattern.values(f"x{sentence}") is None


def test_a_number_is_no_text_with_blanks() -> None:
    numbers, text = (told.Pattern.of(f"{{x{kind}}} users", "{x}") for kind in ("", ":text"))
    assert numbers.values("16 users") == text.values("16 users") == ["16"]
    assert numbers.values("many a one of 16 users") is None
    assert text.values("many a one of 16 users") == ["many a one of 16"]
