"""What the reference server keeps, and the figures that are taken of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import truth
from servers.reference.truth import Sent, Truth


def kept(answers: list[tuple[float, list[float], str]], blocked: int = 0) -> bytes:
    """The server's own encoding of answers: arrival, times of chunks, outcome."""
    server = Truth()
    server.blocked = blocked
    for number, (received_s, sent_s, outcome) in enumerate(answers):
        sent = Sent(str(number), received_s, True, outcome)
        sent.sent_s.extend(sent_s)
        sent.late_s.extend([0.001] * len(sent_s))
        server.begin(sent)
        server.finished(sent)
    return server.encode()


def test_only_whole_answers_are_compared_and_all_tokens_paid_for():
    raw = kept(
        [
            (9.0, [9.1], "ok"),  # a try before the load
            (10.0, [10.3, 10.32], "ok"),
            (10.0, [10.4, 10.42], "client_left"),
            (11.0, [11.5, 11.52], "ok"),
            (11.0, [], "http_error"),
        ],
        blocked=3,
    )
    found = truth.whole_answers(raw, 2)
    assert (found.count, found.cut, found.tokens, found.blocked) == (2, 2, 6, 3)
    assert found.first_s.tolist() == [10.3, 11.5]
    assert found.last_s.tolist() == [10.32, 11.52]
    assert found.late_s == pytest.approx([0.001] * 4)


def test_a_tool_that_names_its_requests_is_compared_with_those():
    raw = kept([(0.0, [1.0], "ok"), (0.0, [2.0], "ok"), (0.0, [3.0], "ok")])
    assert truth.whole_answers(raw, 1, counted=frozenset({"0", "2"})).first_s.tolist() == [1.0, 3.0]


def test_a_warm_up_is_the_first_to_come_tries_not_counted():
    raw = kept([(0.0, [1.0], "ok"), (0.0, [2.0, 2.1], "ok"), (0.0, [3.0, 3.1], "ok")])
    assert truth.whole_answers(raw, 2, warmup=1).first_s.tolist() == [3.0]


def test_gaps_do_not_reach_from_one_answer_to_the_next():
    found = truth.whole_answers(kept([(0.0, [1.0, 1.01], "ok"), (0.0, [5.0, 5.03], "ok")]), 2)
    shown = truth.figures(found, "chunk gap", "inverted_cdf")
    assert shown.gap_p50_s == pytest.approx(0.01)
    assert shown.gap_p99_s == pytest.approx(0.03)
    assert (shown.ttft_p50_s, shown.ttft_p99_s) == (1.0, 5.0)


def test_a_mean_a_request_hides_what_its_gaps_were():
    found = truth.whole_answers(kept([(0.0, [1.0, 1.0, 1.04], "ok")]), 3)
    assert truth.figures(found, "TPOT", "linear").gap_p99_s == pytest.approx(0.02)
    assert truth.figures(found, "chunk gap", "inverted_cdf").gap_p99_s == pytest.approx(0.04)


@given(
    st.lists(
        st.tuples(
            st.floats(0, 1e3),
            st.lists(st.floats(1e-4, 1), min_size=3, max_size=3),
            st.sampled_from(["ok", "client_left", "running"]),
        ),
        max_size=8,
    )
)
def test_every_answer_keeps_its_own_times(drawn):
    answers = [
        (received_s, list(received_s + np.cumsum(gaps_s)), outcome)
        for received_s, gaps_s, outcome in drawn
    ]
    found = truth.whole_answers(kept(answers), 3)
    whole = [answer for answer in answers if answer[2] == "ok"]
    assert found.count == len(whole)
    for i, (received_s, sent_s, _) in enumerate(whole):
        assert found.received_s[i] == received_s
        assert found.sent_s[found.offset[i] : found.offset[i + 1]].tolist() == sent_s


def test_no_whole_answer_is_no_figure():
    found = truth.whole_answers(kept([(0.0, [1.0], "client_left")]), 1)
    with pytest.raises(ValueError, match="no answer"):
        truth.figures(found, "chunk gap", "linear")


def test_streams_held_are_counted_from_what_the_server_saw():
    # Two at once throughout, but for one of them that comes late.
    found = truth.whole_answers(kept([(0.0, [8.0], "ok"), (4.0, [8.0], "ok")]), 1)
    most, mean = truth.in_flight(found)
    assert most == 2
    # The middle half is 2 to 6: one under way until 4, then two.
    assert mean == pytest.approx(1.5)
