import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servers import knobs
from servers.contract import Engine, Knob
from servers.errors import ServerError

SEQUENCES = Knob(
    "max_num_seqs", "--max-num-seqs", "int", 16, "T.", minimum=1, maximum=1024, unit="sequences"
)
MEMORY = Knob("kv_cache_gib", "KV_SPACE", "float", None, "T.", minimum=0.1)
CHUNKED = Knob("chunked_prefill", "--enable-chunked-prefill", "bool", True, "T.")
SIZES = Knob("preferred_batch_sizes", "x", "ints", (8, 16), "T.", minimum=1, maximum=64)
POLICY = Knob("policy", "--scheduling-policy", "str", "fcfs", "T.", choices=("fcfs", "priority"))
ENGINE = Engine(
    "toy", "Toy", "T.", {}, lambda _: None, knobs=(SEQUENCES, MEMORY, CHUNKED, SIZES, POLICY)
)
DEFAULTS = {
    "max_num_seqs": 16,
    "kv_cache_gib": None,
    "chunked_prefill": True,
    "preferred_batch_sizes": (8, 16),
    "policy": "fcfs",
}


def test_nothing_given_gives_every_default_in_the_engines_order():
    assert list(knobs.parse(ENGINE, []).items()) == list(DEFAULTS.items())


def test_words_become_values_of_their_kind():
    given_words = [
        "max_num_seqs=4",
        "kv_cache_gib=2",
        "chunked_prefill=off",
        "preferred_batch_sizes=4, 8",
        "policy=priority",
    ]
    assert knobs.parse(ENGINE, given_words) == {
        "max_num_seqs": 4,
        "kv_cache_gib": 2.0,
        "chunked_prefill": False,
        "preferred_batch_sizes": (4, 8),
        "policy": "priority",
    }


def test_default_may_be_asked_for_where_it_is_the_engines_own():
    assert knobs.parse(ENGINE, ["kv_cache_gib=default"])["kv_cache_gib"] is None


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("max_num_seqs", "is no setting: write KNOB=VALUE, as max_num_seqs=16"),
        ("max_num_seq=1", "no knob 'max_num_seq'. Did you mean max_num_seqs"),
        ("max-num-seqs=1", "Did you mean max_num_seqs"),
        ("zzz=1", "It has: max_num_seqs, kv_cache_gib"),
        ("max_num_seqs=0", r"max_num_seqs=0 cannot be: it takes a whole number from 1 to 1024 \("),
        ("max_num_seqs=1025", "from 1 to 1024"),
        ("max_num_seqs=1.5", "a whole number"),
        ("max_num_seqs=", "a whole number"),
        ("max_num_seqs=default", "a whole number"),
        ("kv_cache_gib=nan", "a number, 0.1 or more, or default"),
        ("kv_cache_gib=inf", "a number"),
        ("kv_cache_gib=-1", "0.1 or more"),
        ("chunked_prefill=maybe", "true or false"),
        ("preferred_batch_sizes=8,,16", "whole numbers with commas"),
        ("preferred_batch_sizes=8,65", "from 1 to 64"),
        ("policy=lifo", "one of fcfs, priority"),
        ("policy=", "one of fcfs, priority"),
        ("=3", "no knob ''"),
    ],
)
def test_a_word_that_cannot_be_is_refused_saying_what_can(word, says):
    with pytest.raises(ServerError, match=says):
        knobs.parse(ENGINE, [word])


def test_a_knob_set_twice_is_refused():
    with pytest.raises(ServerError, match="set twice"):
        knobs.parse(ENGINE, ["max_num_seqs=1", "max_num_seqs=2"])


def test_an_engine_without_knobs_says_so():
    bare = Engine("bare", "Bare", "T.", {}, lambda _: None)
    with pytest.raises(ServerError, match="bare has no knobs"):
        knobs.parse(bare, ["a=1"])


@pytest.mark.parametrize("value", [True, "4", 4.0, None, (4,), -1])
def test_a_value_of_another_kind_is_refused(value):
    with pytest.raises(ServerError, match="max_num_seqs="):
        knobs.complete(ENGINE, {"max_num_seqs": value})


def test_completing_takes_a_list_and_a_whole_float():
    settings = knobs.complete(ENGINE, {"preferred_batch_sizes": [4], "kv_cache_gib": 2})
    assert settings["preferred_batch_sizes"] == (4,)
    assert isinstance(settings["kv_cache_gib"], float)


SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "max_num_seqs": st.integers(1, 1024),
        "kv_cache_gib": st.none() | st.floats(0.1, 1e9),
        "chunked_prefill": st.booleans(),
        "preferred_batch_sizes": st.lists(st.integers(1, 64), max_size=4).map(tuple),
        "policy": st.sampled_from(["fcfs", "priority"]),
    },
)


@given(SETTINGS)
def test_what_is_shown_is_read_back(settings):
    words = [f"{name}={knobs.show(value)}" for name, value in settings.items()]
    assert knobs.parse(ENGINE, words) == {**DEFAULTS, **settings}


@given(st.text(alphabet=string.printable))
def test_any_word_gives_all_knobs_or_a_server_error(word):
    try:
        settings = knobs.parse(ENGINE, [word])
    except ServerError as error:
        assert "\n" not in str(error).replace(word, "")
    else:
        assert settings.keys() == DEFAULTS.keys()
