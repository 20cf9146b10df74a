"""What is written of an open loop, and what it means."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.errors import LoadError
from loadtests.schedule import KINDS, ArrivalFlags, must_outlast, schedule_of
from measure.warmup import Warmup

CSV = "Timestamp,Model,Request tokens,Response tokens\n0,m,10,2\n4,m,20,3\n"


@pytest.fixture
def trace(tmp_path):
    (tmp_path / "trace.csv").write_text(CSV)
    return str(tmp_path / "trace.csv")


@pytest.mark.parametrize(
    ("flags", "facts"),
    [
        ({"arrival": "constant", "rate": "4"}, {"kind": "constant", "rate_rps": 4.0}),
        ({"arrival": "poisson", "rate": "0.5"}, {"kind": "poisson", "rate_rps": 0.5}),
        (
            {"arrival": "gamma", "rate": "4", "burstiness": "0.5"},
            {"kind": "gamma", "rate_rps": 4.0, "burstiness": 0.5},
        ),
        (
            {"arrival": "ramp", "rate": "0:10"},
            {"kind": "ramp", "from_rps": 0.0, "to_rps": 10.0, "over_s": 60.0},
        ),
        (
            {"arrival": "steps", "rate": "2,4,8"},
            {"kind": "steps", "rates_rps": [2.0, 4.0, 8.0], "each_s": 20.0},
        ),
        (
            {"arrival": "spike", "rate": "2:20", "spike": "20s+10s"},
            {"kind": "spike", "base_rps": 2.0, "peak_rps": 20.0, "start_s": 20.0, "length_s": 10.0},
        ),
        (
            {"arrival": "diurnal", "rate": "1:8", "period": "10m"},
            {"kind": "diurnal", "low_rps": 1.0, "high_rps": 8.0, "period_s": 600.0},
        ),
        (
            {"arrival": "diurnal", "rate": "1:8"},
            {"kind": "diurnal", "low_rps": 1.0, "high_rps": 8.0, "period_s": 60.0},
        ),
    ],
)
def test_every_parameter_stands_in_the_manifest_and_its_flags_give_it_again(flags, facts):
    written = ArrivalFlags(**flags)
    schedule = schedule_of(written, 60.0)
    assert schedule.facts == facts
    times_s = list(itertools.islice(schedule.offsets_s(1), 20))
    assert times_s == sorted(times_s)
    words = written.argv()
    again = {flag[2:]: value for flag, value in zip(words[::2], words[1::2], strict=True)}
    assert again == flags


def test_a_trace_ends_and_the_manifest_says_when(trace):
    schedule = schedule_of(ArrivalFlags("trace", trace=trace, speed="2"), None)
    assert list(schedule.offsets_s(0)) == [0.0, 2.0]
    assert schedule.facts.pop("sha256")
    assert schedule.facts == {
        "kind": "trace", "format": "burstgpt", "file": "trace.csv", "requests": 2, "left_out": 0,
        "speed": 2.0, "ends_s": 2.0,
    }  # fmt: skip


def test_nothing_written_is_a_closed_loop():
    assert schedule_of(ArrivalFlags(), 60.0) is None


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"arrival": "bursty", "rate": "1"}, "can be constant, poisson, gamma"),
        ({"rate": "4"}, "--rate makes an open loop, which also needs --arrival poisson"),
        ({"burstiness": "1"}, "also needs --arrival gamma"),
        ({"spike": "1s+1s"}, "also needs --arrival spike"),
        ({"period": "1s"}, "also needs --arrival diurnal"),
        ({"trace": "x"}, "also needs --arrival trace"),
        ({"speed": "2"}, "also needs --arrival trace"),
        ({"arrival": "poisson"}, "also needs --rate"),
        ({"arrival": "gamma", "rate": "4"}, "also needs --burstiness"),
        ({"arrival": "spike", "rate": "1:2"}, "also needs --spike"),
        ({"arrival": "trace"}, "also needs --trace"),
        ({"arrival": "trace", "trace": "x", "rate": "4"}, "a trace has its own times"),
        ({"arrival": "poisson", "rate": "4", "burstiness": "2"}, "does not go with"),
        ({"arrival": "poisson", "rate": "0"}, "above 0 and at most"),
        ({"arrival": "poisson", "rate": "inf"}, "above 0 and at most"),
        ({"arrival": "poisson", "rate": "nan"}, "above 0 and at most"),
        ({"arrival": "poisson", "rate": "-3"}, "above 0 and at most"),
        ({"arrival": "poisson", "rate": "1e300"}, "above 0 and at most"),
        ({"arrival": "poisson", "rate": "1:2"}, "takes one number"),
        ({"arrival": "ramp", "rate": "5:"}, "takes two numbers, as A:B"),
        ({"arrival": "ramp", "rate": "5"}, "takes two numbers, as A:B"),
        ({"arrival": "ramp", "rate": "0:0"}, "takes two numbers, as A:B"),
        ({"arrival": "ramp", "rate": "1:2:3"}, "takes two numbers, as A:B"),
        ({"arrival": "steps", "rate": "a,b"}, "two or more numbers, as A,B,C"),
        ({"arrival": "steps", "rate": ","}, "two or more numbers, as A,B,C"),
        ({"arrival": "steps", "rate": "4"}, "two or more numbers, as A,B,C"),
        ({"arrival": "gamma", "rate": "4", "burstiness": "0"}, "no number above 0"),
        ({"arrival": "gamma", "rate": "4", "burstiness": "much"}, "no number above 0"),
        ({"arrival": "spike", "rate": "1:2", "spike": "20s"}, "START+LENGTH"),
        ({"arrival": "spike", "rate": "1:2", "spike": "20s+0s"}, "above zero"),
        ({"arrival": "spike", "rate": "1:2", "spike": "soon+1s"}, "not a duration"),
        ({"arrival": "spike", "rate": "1:2", "spike": "60s+1s"}, "the load is over at 60 s"),
        ({"arrival": "diurnal", "rate": "8:1"}, "write 1:8"),
        ({"arrival": "diurnal", "rate": "1:8", "period": "0"}, "above zero"),
        ({"arrival": "diurnal", "rate": "1:8", "period": "daily"}, "not a duration"),
        ({"arrival": "trace", "trace": "/no/such"}, "No such file"),
    ],
)
def test_what_is_no_schedule_is_refused(flags, said):
    with pytest.raises(LoadError) as caught:
        schedule_of(ArrivalFlags(**flags), 60.0)
    assert said in str(caught.value)


@pytest.mark.parametrize("speed", ["0", "-1", "fast", "inf"])
def test_a_trace_is_not_replayed_at_a_speed_that_is_none(trace, speed):
    with pytest.raises(LoadError, match="no number above 0"):
        schedule_of(ArrivalFlags("trace", trace=trace, speed=speed), 60.0)


@pytest.mark.parametrize("kind", ["ramp", "steps", "diurnal"])
def test_what_follows_the_length_of_the_load_needs_one(kind):
    rate = "1,2" if kind == "steps" else "1:2"
    with pytest.raises(LoadError, match="say how long it is"):
        schedule_of(ArrivalFlags(kind, rate=rate), None)


@given(
    kind=st.sampled_from(KINDS), rate=st.text(max_size=8) | st.from_regex(r"[0-9:,.e]{1,8}"),
    more=st.fixed_dictionaries(
        {name: st.none() | st.text("0123456789.:+se", max_size=6)
         for name in ("burstiness", "spike", "period", "speed")}
    ),
)  # fmt: skip
def test_any_text_is_a_schedule_or_one_clear_error(kind, rate, more):
    try:
        schedule = schedule_of(ArrivalFlags(kind, rate=rate, **more), 60.0)
    except LoadError as error:
        assert "--" in str(error)
    else:
        times_s = list(itertools.islice(schedule.offsets_s(0), 5))
        assert times_s == sorted(times_s)


def test_a_trace_that_is_over_within_the_warm_up_is_refused_before_any_load(trace):
    schedule = schedule_of(ArrivalFlags("trace", trace=trace, speed="2"), None)
    for fits in ("0s", "2s", "200req", "auto"):
        must_outlast(schedule, Warmup.parse(fits))
    with pytest.raises(LoadError, match=r"over at 2 s.*--warmup 0s"):
        must_outlast(schedule, Warmup.parse("5s"))
    must_outlast(schedule_of(ArrivalFlags("poisson", rate="4"), None), Warmup.parse("5s"))
    must_outlast(None, Warmup.parse("5s"))
