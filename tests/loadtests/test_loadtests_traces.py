"""Traces of every format, whole and broken."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtests.errors import LoadError
from loadtests.traces import read_trace

AZURE = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:46.6805900,374,44
2023-11-16 18:15:50.9951690,396,109
2023-11-16 18:16:46.6805900,20000,1000
"""
BURSTGPT = """Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type
5,ChatGPT,472,18,490,Conversation log
45,ChatGPT,1087,230,1317,Conversation log
45,GPT-4,417,276,693,Conversation log
120,GPT-4,300,0,300,API log
"""
MOONCAKE = [
    {"timestamp": 0, "input_length": 700, "output_length": 500, "hash_ids": [0, 1]},
    {"timestamp": 0, "input_length": 1024, "output_length": 490, "hash_ids": [0, 2]},
    {"timestamp": 3052, "input_length": 1, "output_length": 794, "hash_ids": [3]},
]


def lines(rows):
    return "".join(f"{json.dumps(row)}\n" for row in rows)


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "trace"
        path.write_text(text)
        return path

    return write


def test_mooncake_has_milliseconds_and_shared_blocks(file):
    trace = read_trace(file(lines(MOONCAKE)))
    assert trace.facts["format"] == "mooncake"
    assert trace.offset_s.tolist() == [0.0, 0.0, 3.052]
    assert trace.prompt_tokens.tolist() == [700, 1024, 1]
    assert trace.output_tokens.tolist() == [500, 490, 794]
    assert [trace.block_ids(number) for number in range(3)] == [[0, 1], [0, 2], [3]]


def test_mooncake_without_hash_ids_shares_nothing(file):
    rows = [{k: v for k, v in row.items() if k != "hash_ids"} for row in MOONCAKE]
    trace = read_trace(file(lines(rows)))
    assert trace.blocks is None
    assert trace.block_ids(0) == []


@pytest.mark.parametrize("zone", ["", "+00:00"])
def test_azure_has_dates_of_100_nanoseconds_with_or_without_a_zone(file, zone):
    rows = AZURE.splitlines()
    text = "\n".join([rows[0], *(row.replace(",", f"{zone},", 1) for row in rows[1:])])
    trace = read_trace(file(text))
    assert trace.facts["format"] == "azure"
    assert trace.offset_s.tolist() == pytest.approx([0.0, 4.314579, 60.0], abs=1e-9)
    assert trace.prompt_tokens.tolist() == [374, 396, 20000]
    assert trace.output_tokens.tolist() == [44, 109, 1000]


def test_burstgpt_has_seconds_and_its_failed_requests_are_left_out_and_counted(file):
    trace = read_trace(file(BURSTGPT))
    assert trace.facts["format"] == "burstgpt"
    assert (trace.facts["requests"], trace.facts["left_out"]) == (3, 1)
    assert trace.offset_s.tolist() == [0.0, 40.0, 40.0]
    assert trace.output_tokens.tolist() == [18, 230, 276]


def test_requests_are_put_in_the_order_of_their_times(file):
    trace = read_trace(file(lines([MOONCAKE[2], MOONCAKE[0]])))
    assert trace.offset_s.tolist() == [0.0, 3.052]
    assert trace.block_ids(0) == [0, 1]


def test_the_same_file_has_the_same_fingerprint_and_another_has_not(file):
    first = read_trace(file(BURSTGPT)).facts["sha256"]
    assert read_trace(file(BURSTGPT)).facts["sha256"] == first
    assert read_trace(file(BURSTGPT.replace("472", "473"))).facts["sha256"] != first


@given(
    st.lists(
        st.tuples(st.integers(0, 10**9), st.integers(0, 9000), st.integers(0, 9000)),
        min_size=1, max_size=50,
    )
)  # fmt: skip
@settings(max_examples=50)
def test_what_is_written_is_what_is_read(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("trace") / "t.jsonl"
    path.write_text(
        lines({"timestamp": t, "input_length": i, "output_length": o} for t, i, o in rows)
    )
    usable = sorted((row for row in rows if row[1] and row[2]), key=lambda row: row[0])
    if not usable:
        with pytest.raises(LoadError, match="no request that has tokens"):
            read_trace(path)
        return
    trace = read_trace(path)
    at_s = np.array([row[0] / 1000 for row in usable])
    assert trace.offset_s == pytest.approx(at_s - at_s[0], abs=1e-9)
    assert trace.prompt_tokens.tolist() == [row[1] for row in usable]
    assert trace.output_tokens.tolist() == [row[2] for row in usable]
    assert trace.facts["left_out"] == len(rows) - len(usable)


WRONG_IDS = {"timestamp": 9, "input_length": 700, "output_length": 5, "hash_ids": [0]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("\n  \n", "is empty"),
        ("time,in,out\n1,2,3\n", "no trace that is known"),
        ("\x00\x01\x02", "no trace that is known"),
        (BURSTGPT + "130,GPT-4,many,5,5,API log\n", "line 6, has the Request tokens 'many'"),
        (BURSTGPT + "soon,GPT-4,5,5,5,API log\n", "line 6, has the Timestamp 'soon'"),
        (BURSTGPT + "130,GPT-4,-5,5,5,API log\n", "line 6, has the Request tokens '-5'"),
        (BURSTGPT + "130,GPT-4,,5,5,API log\n", "line 6, has the Request tokens ''"),
        (BURSTGPT + "130,GPT-4,5\n", "line 6, has 3 fields"),
        (AZURE + "yesterday,5,5\n", "line 5, has the TIMESTAMP 'yesterday'"),
        (AZURE + "2023-11-16 18:16:46,5,x\n", "line 5, has the GeneratedTokens 'x'"),
        (AZURE + "2023-11-16 18:16:46,5,9999999999\n", "line 5, has the GeneratedTokens"),
        (lines(MOONCAKE) + '{"timestamp": 1, "inp', "line 4, is no JSON"),
        (lines(MOONCAKE) + "[1, 2]\n", "line 4, is no JSON object"),
        (lines(MOONCAKE) + '{"timestamp": 1}\n', "line 4, has the input_length None"),
        (lines([*MOONCAKE, {**WRONG_IDS, "timestamp": "x"}]), "line 4, has the timestamp 'x'"),
        (lines([*MOONCAKE, WRONG_IDS]), "line 4, has 1 hash_ids for 700 tokens"),
        (lines([*MOONCAKE, {**WRONG_IDS, "hash_ids": ["a", "b"]}]), "line 4, has hash_ids that"),
        (BURSTGPT.splitlines()[0], "without a single request"),
        (lines([{**WRONG_IDS, "input_length": "700"}]), "line 1, has the input_length '700'"),
        (lines([{**WRONG_IDS, "input_length": 10**400}]), "line 1, has the input_length 1000"),
        ('{"a":' * 100_000, "line 1, is no JSON"),
        (AZURE + "2023-11-16 18:16:46,5," + "x" * 200_000, "line 5, is no CSV"),
    ],
)  # fmt: skip
def test_a_broken_trace_names_the_file_and_the_line(file, text, said):
    path = file(text)
    with pytest.raises(LoadError) as caught:
        read_trace(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_trace_that_is_not_there_is_said(tmp_path):
    with pytest.raises(LoadError, match="cannot be read"):
        read_trace(tmp_path / "none.csv")
    with pytest.raises(LoadError, match="--trace"):
        read_trace(tmp_path)


@given(
    st.binary(max_size=200)
    | st.text('{}[]",:0123456789timestampinlengthou_ \n', max_size=200).map(str.encode)
)
@settings(max_examples=100)
def test_any_bytes_are_a_trace_or_one_clear_error(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("trace") / "t"
    path.write_bytes(data)
    with pytest.raises(LoadError):
        read_trace(path)


def test_a_long_trace_is_read_whole_by_columns(tmp_path):
    """A hundred thousand lines; the clock is not looked at, the memory kept is."""
    rows = 100_000
    path = tmp_path / "long.csv"
    with path.open("w") as out:
        out.write("Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n")
        out.writelines(f"{n},ChatGPT,{n % 900 + 1},7,0,log\n" for n in range(rows))
    trace = read_trace(path)
    assert trace.facts["requests"] == rows
    kept = trace.offset_s.nbytes + trace.prompt_tokens.nbytes + trace.output_tokens.nbytes
    assert kept == 16 * rows
