import itertools
import json

from hypothesis import given
from hypothesis import strategies as st

from loadtests.sse import EventSplitter

TEXT = st.text(max_size=20).map(lambda text: json.dumps(text, ensure_ascii=False).encode())


def split(pieces: list[bytes]) -> list[bytes]:
    splitter = EventSplitter()
    events = [event for piece in pieces for event in splitter.feed(piece)]
    return events + splitter.flush()


@given(
    st.lists(st.tuples(TEXT, st.booleans(), st.booleans()), max_size=8),
    st.sampled_from([b"\n", b"\r\n"]),
    st.lists(st.integers(0, 3000), max_size=40),
    st.booleans(),
)
def test_any_split_of_the_bytes_gives_the_same_events(events, end, at, unfinished):
    """With and without a space, with comments and ids between, cut inside characters and CRLF."""
    lines = []
    for payload, space, comment in events:
        if comment:
            lines.append(b": keep-alive" + end + end + b"id: 7" + end)
        lines.append(b"data:" + (b" " if space else b"") + payload + end + end)
    data = b"".join(lines)
    if unfinished and data:
        data = data[: -2 * len(end)]
    edges = [0, *sorted(place % (len(data) + 1) for place in at), len(data)]
    pieces = [data[a:b] for a, b in itertools.pairwise(edges)]
    assert split(pieces) == [payload for payload, _, _ in events]


@given(st.lists(st.binary(max_size=30), max_size=10))
def test_no_bytes_whatever_raise(pieces):
    split(pieces)


def test_an_event_comes_out_with_the_read_that_completes_it():
    splitter = EventSplitter()
    assert splitter.feed(b"data: a\n") == []
    assert splitter.feed(b"\ndata: b\n\ndata: c") == [b"a", b"b"]
    assert splitter.feed(b"c\n\n") == [b"cc"]


def test_data_over_several_lines_is_joined():
    assert split([b"data: a\ndata:b\n\n"]) == [b"a\nb"]


def test_only_one_space_belongs_to_the_field():
    assert split([b"data:  a\n\n"]) == [b" a"]


def test_a_field_that_only_begins_with_data_is_another_field():
    assert split([b"database: x\n\n"]) == []
