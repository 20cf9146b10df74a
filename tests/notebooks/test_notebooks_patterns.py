"""What notebook 01 shows of its patterns, and the checks of its exercise."""

import pytest

from notebooks import checks_patterns, patterns
from notebooks.patterns import Watched

SYNC = Watched("synchronous", 0.1, (0.1, 0.2, 0.3), 3)
STREAM = Watched("streaming", 0.05, (0.1, 0.15, 0.2), 1)
RIGHT = dict(
    zip(
        checks_patterns.needs(),
        ("streaming", "batch", "synchronous", "asynchronous"),
        strict=True,
    )
)


def test_texts_differ_so_that_nothing_can_answer_from_memory():
    assert len(set(patterns.texts(128))) == 128
    assert len(set(patterns.prompts(64))) == 64


def test_the_stairs_have_a_step_at_every_answer():
    first, second = patterns.in_hand(SYNC, STREAM).data
    assert (list(first.x), list(first.y)) == ([0.0, 0.1, 0.2, 0.3], [0, 1, 2, 3])
    assert second.line.shape == "hv"


def test_the_table_says_when_something_and_when_everything_was_there():
    table = patterns.table(SYNC, STREAM)
    assert list(table["first answer"]) == ["100 ms", "100 ms"]
    assert list(table["last answer"]) == ["300 ms", "200 ms"]
    assert list(table["HTTP requests"]) == [3, 1]


def test_the_right_patterns_are_right():
    assert checks_patterns.choice(answer=RIGHT).ok


@pytest.mark.parametrize(
    "answer",
    [
        None,
        {},
        RIGHT | {"a chat window": "polling"},
        RIGHT | {"a chat window": "batch"},
        dict.fromkeys(RIGHT, "synchronous"),
        RIGHT | {"another need": "batch"},
    ],
)
def test_other_patterns_are_not_and_the_hint_names_no_right_one(answer):
    feedback = checks_patterns.choice(answer=answer)
    assert not feedback.ok
    assert "a chat window: streaming" not in feedback.text


def test_the_wait_without_streaming_is_e2e_over_ttft(make_run):
    run = make_run("vllm", [0.1] * 40, itl_s=0.3)
    assert checks_patterns.seen_earlier(run, answer=4.0).ok
    assert not checks_patterns.seen_earlier(run, answer=3.0).ok
    assert not checks_patterns.seen_earlier(run, answer="4").ok
