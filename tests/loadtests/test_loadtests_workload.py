"""What is asked: lengths, prompts, prefixes, traces, datasets, turns."""

import json
import random
import statistics
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.asking import PromptFlags, ThinkTime, asking_of
from loadtests.datasets import read_dataset
from loadtests.errors import LoadError
from loadtests.lengths import MOST_TOKENS, Length
from loadtests.prompts import WORDS
from loadtests.traces import Trace

DRAWS = 20_000
CHAT = "openai-chat"


class Words:
    """A tokenizer for which every word with the space before it is one token."""

    def ids(self, text):
        words = text.split(" ")
        return [hash(word) for word in words] if text else []

    def text(self, ids):
        return " ".join("word" for _ in ids)


def draws(text):
    length, chosen = Length.parse(text, "--prompt-tokens"), random.Random(1)
    return [length.draw(chosen) for _ in range(DRAWS)]


def test_a_fixed_length_is_that_and_draws_nothing():
    chosen = random.Random(1)
    state = chosen.getstate()
    assert Length.parse("128", "-").draw(chosen) == 128
    assert chosen.getstate() == state


def test_uniform_lengths_have_both_ends_and_are_even():
    counts = Counter(draws("uniform:3:7"))
    assert sorted(counts) == [3, 4, 5, 6, 7]
    # Four standard deviations of a binomial count.
    assert all(abs(n - DRAWS / 5) < 4 * (DRAWS * 0.2 * 0.8) ** 0.5 for n in counts.values())


def test_normal_lengths_have_mean_and_deviation():
    drawn = draws("normal:128:32")
    assert statistics.mean(drawn) == pytest.approx(128, abs=4 * 32 / DRAWS**0.5)
    assert statistics.stdev(drawn) == pytest.approx(32, rel=0.03)


def test_lognormal_lengths_have_the_median_and_the_sigma_of_the_logarithm():
    drawn = draws("lognormal:200:0.8")
    assert statistics.median(drawn) == pytest.approx(200, rel=0.04)
    assert statistics.stdev(map(np.log, drawn)) == pytest.approx(0.8, rel=0.03)


@given(st.text(max_size=12) | st.from_regex(r"(uniform|normal|lognormal):[0-9.]{1,4}:[0-9.]{1,4}"))
def test_any_text_is_a_length_or_one_clear_error(text):
    try:
        length = Length.parse(text, "--prompt-tokens")
    except LoadError as error:
        assert "--prompt-tokens" in str(error)
    else:
        assert all(1 <= length.draw(random.Random(n)) <= MOST_TOKENS for n in range(20))
        assert Length.parse(str(length), "-") == length


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no length"), ("0", "no length"), ("-1", "no length"), ("1.5", "no length"),
        ("9999999", "no length"), ("uniform:1", "no length"), ("uniform:1:2:3", "no length"),
        ("uniform:0:5", "no length"), ("uniform:9:3", "Write uniform:3:9"),
        ("normal:128:-3", "no length"), ("normal:128:nan", "no length"),
        ("lognormal:128:50", "sigma is that of the logarithm"), ("zipf:1:2", "no length"),
        ("fixed:1:2", "no length"),
    ],
)  # fmt: skip
def test_what_is_no_length_is_refused(text, said):
    with pytest.raises(LoadError, match="--output-tokens") as caught:
        Length.parse(text, "--output-tokens")
    assert said in str(caught.value)


def asked(tokenizer=None, trace=None, protocol=CHAT, seed=3, **flags):
    flags = PromptFlags(**flags)
    return asking_of(flags, protocol=protocol, seed=seed, tokenizer=tokenizer, trace=trace)


def test_prompts_repeat_under_a_seed_and_none_is_like_another():
    workload, again = asked(prompt_tokens="64").workload, asked(prompt_tokens="64").workload
    texts = [workload.turn(number).prompt for number in range(200)]
    assert texts == [again.turn(number).prompt for number in range(200)]
    assert texts != [asked(seed=4).workload.turn(number).prompt for number in range(200)]
    assert len(set(texts)) == 200
    assert all(len(text.split()) == 64 for text in texts)
    # A shared beginning would be answered by a prefix cache.
    assert len({tuple(text.split()[:8]) for text in texts}) == 200


@pytest.mark.parametrize("tokenizer", [None, Words()])
def test_a_shared_prefix_is_one_of_so_many_and_the_rest_is_its_own(tokenizer):
    asking = asked(tokenizer, prompt_tokens="uniform:8:16", shared_prefix_tokens="32", prefixes="4")
    texts = [asking.workload.turn(number).prompt.split() for number in range(400)]
    assert all(32 + 8 <= len(text) <= 32 + 16 for text in texts)
    prefixes = Counter(tuple(text[:32]) for text in texts)
    assert len(prefixes) == 4
    assert all(abs(n - 100) < 4 * (400 * 0.25 * 0.75) ** 0.5 for n in prefixes.values())
    assert len({tuple(text[32:40]) for text in texts}) == 400
    assert asking.facts == {
        "kind": "synthetic", "tokens": {"kind": "uniform", "min": 8, "max": 16.0},
        "exact": tokenizer is not None, "shared_prefix_tokens": 32, "prefixes": 4,
    }  # fmt: skip


def test_a_conversation_has_its_turns_of_which_only_the_first_has_the_prefix():
    asking = asked(turns="3", prompt_tokens="8", shared_prefix_tokens="32", output_tokens="5")
    lengths = [len(asking.workload.turn(0, turn).prompt.split()) for turn in range(3)]
    assert lengths == [40, 8, 8]
    assert asking.workload.turn(0, 3) is None
    assert asking.workload.several_turns
    assert asking.facts["turns"] == 3
    assert asking.facts["think_time"] == {"kind": "fixed", "mean_s": 0.0}
    later = {asking.workload.turn(number, turn).prompt for number in range(50) for turn in (1, 2)}
    assert len(later) == 100


def trace(blocks=None, lengths=(1100, 600, 1100)):
    return Trace(
        facts={},
        offset_s=np.array([0.0, 1.0, 2.0]),
        prompt_tokens=np.array(lengths, dtype=np.int32),
        output_tokens=np.array([5, 6, 7], dtype=np.int32),
        blocks=None if blocks is None else pa.array(blocks, pa.list_(pa.int64())),
    )


@pytest.mark.parametrize("tokenizer", [None, Words()])
def test_a_trace_gives_the_lengths(tokenizer):
    asking = asked(tokenizer, trace=trace())
    turns = [asking.workload.turn(number) for number in range(3)]
    assert [len(turn.prompt.split()) for turn in turns] == [1100, 600, 1100]
    assert [turn.output_tokens for turn in turns] == [5, 6, 7]
    assert asking.facts == {"kind": "trace", "exact": tokenizer is not None, "shared_blocks": False}
    assert asking.workload.output_facts == "trace"


@pytest.mark.parametrize("tokenizer", [None, Words()])
def test_equal_blocks_of_a_trace_are_equal_text_and_others_are_not(tokenizer):
    shared = trace([[0, 1, 2], [0, 3], [0, 1, 4]])
    asking = asked(tokenizer, trace=shared)
    texts = [asking.workload.turn(number).prompt.split() for number in range(3)]
    assert [len(text) for text in texts] == [1100, 600, 1100]
    one, other, same = texts
    assert one[:1024] == same[:1024]
    assert one[1024:] != same[1024:]
    assert one[:512] == other[:512]
    assert one[512:600] != other[512:]
    assert asking.facts["shared_blocks"]


def test_a_length_said_outright_takes_the_place_of_the_traces():
    workload = asked(trace=trace([[0, 1, 2], [0, 3], [0, 1, 4]]), prompt_tokens="9").workload
    turns = [workload.turn(number) for number in range(3)]
    assert [len(turn.prompt.split()) for turn in turns] == [9, 9, 9]
    assert [turn.output_tokens for turn in turns] == [5, 6, 7]
    assert workload.turn(0).prompt != workload.turn(2).prompt
    workload = asked(trace=trace(), output_tokens="2").workload
    assert [workload.turn(number).output_tokens for number in range(3)] == [2, 2, 2]


SHAREGPT = [
    {"id": "a", "conversations": [
        {"from": "system", "value": "be brief"},
        {"from": "human", "value": "one"}, {"from": "gpt", "value": "first answer here"},
        {"from": "human", "value": "two"}, {"from": "gpt", "value": "second"},
    ]},
    {"id": "b", "conversations": [
        {"from": "gpt", "value": "lost beginning"}, {"from": "human", "value": "three"},
    ]},
    {"id": "c", "conversations": [{"from": "gpt", "value": "nobody asked"}]},
    {"id": "d", "conversations": []},
]  # fmt: skip


@pytest.fixture
def file(tmp_path):
    def write(content):
        path = tmp_path / "dataset.json"
        text = content if isinstance(content, str) else json.dumps(content)
        path.write_text(text)
        return str(path)

    return write


def said(workload, numbers):
    return [
        [turn.prompt for k in range(9) if (turn := workload.turn(number, k))] for number in numbers
    ]


def test_sharegpt_gives_turns_and_leaves_out_what_nobody_asked(file):
    asking = asked(Words(), dataset=file(SHAREGPT))
    assert sorted(said(asking.workload, range(2))) == [["one", "two"], ["three"]]
    assert (asking.facts["conversations"], asking.facts["left_out"]) == (2, 2)
    assert (asking.facts["format"], asking.facts["most_turns"]) == ("sharegpt", 2)
    first = 0 if asking.workload.turn(0).prompt == "one" else 1
    turns = [asking.workload.turn(first, k) for k in range(2)]
    # As long as the recorded answers, counted by the tokenizer.
    assert [turn.output_tokens for turn in turns] == [3, 1]
    assert [turn.system for turn in turns] == ["be brief", None]
    # No answer was recorded there.
    assert asking.workload.turn(1 - first).output_tokens == 64


def test_without_a_tokenizer_recorded_answers_have_no_length_and_the_usual_one_is_asked(file):
    workload = asked(dataset=file(SHAREGPT)).workload
    assert {workload.turn(number).output_tokens for number in range(2)} == {64}
    workload = asked(dataset=file(SHAREGPT), output_tokens="7").workload
    assert {workload.turn(number).output_tokens for number in range(2)} == {7}


def test_lines_of_our_own_have_prompts_messages_and_lengths(file):
    rows = [
        {"prompt": "plain", "output_tokens": 9},
        {"messages": [
            {"role": "system", "content": "be kind"}, {"role": "user", "content": "hello"},
            {"role": "assistant", "content": "hi"}, {"role": "user", "content": "and now"},
        ], "output_tokens": 4},
        {"prompt": "   "},
    ]  # fmt: skip
    asking = asked(dataset=file("".join(f"{json.dumps(row)}\n\n" for row in rows)))
    assert sorted(said(asking.workload, range(2))) == [["hello", "and now"], ["plain"]]
    lengths = {
        turn.prompt: turn.output_tokens for n in range(2) if (turn := asking.workload.turn(n))
    }
    assert lengths == {"plain": 9, "hello": 4}
    assert asking.facts["left_out"] == 1
    assert asking.workload.output_facts == {"kind": "dataset", "otherwise": 64}


def test_a_dataset_is_asked_in_an_order_of_the_seed_again_and_again(file):
    path = file("".join(f'{{"prompt": "p{n}"}}\n' for n in range(50)))
    first, again, other = (asked(dataset=path, seed=seed).workload for seed in (1, 1, 2))
    prompts = [first.turn(number).prompt for number in range(120)]
    assert sorted(prompts[:50]) == sorted(f"p{n}" for n in range(50))
    assert prompts[50:100] == prompts[:50]
    assert prompts == [again.turn(number).prompt for number in range(120)]
    assert prompts != [other.turn(number).prompt for number in range(120)]
    assert first.size == 50


def test_most_turns_can_be_said_and_other_protocols_ask_the_beginning(file):
    path = file(SHAREGPT)
    assert sorted(said(asked(dataset=path, turns="1").workload, range(2))) == [["one"], ["three"]]
    workload = asked(dataset=path, protocol="openai-completions").workload
    assert sorted(said(workload, range(2))) == [["one"], ["three"]]
    assert not workload.several_turns


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("", "no conversation in which a user"),
        ("[]", "no conversation in which a user"),
        ('[{"conversations": []', "cannot be read as JSON"),
        ('{"prompt": "a"}\n{"prompt": ', "line 2, cannot be read as JSON"),
        ('{"prompt": "a"}\n{"text": "b"}', "line 2, has none of conversations, messages"),
        ('{"prompt": "a", "messages": []}', "line 1, has messages and prompt"),
        ('{"prompt": 3}', "line 1, has a prompt that is no text"),
        ('{"prompt": "a", "output_tokens": 0}', "line 1, has the output_tokens 0"),
        ('{"prompt": "a", "output_tokens": true}', "line 1, has the output_tokens True"),
        ('{"messages": "a"}', "has messages that are no list"),
        ('{"messages": [{"role": "user"}]}', "message 1 without content as text"),
        ('{"messages": [{"role": "tool", "content": "x"}]}', "from 'tool', which is nobody known"),
        ('["a"]', "entry 1, is no JSON object"),
        ("5", "line 1, is no JSON object"),
        ("[" * 100_000, "cannot be read as JSON"),
        ('{"prompt": ' + "[" * 100_000, "line 1, cannot be read as JSON"),
    ],
)
def test_a_broken_dataset_names_the_file_and_the_place(file, content, what):
    path = file(content)
    with pytest.raises(LoadError) as caught:
        asked(dataset=path)
    assert what in str(caught.value)
    assert path in str(caught.value)


def test_a_dataset_that_is_no_text_or_not_there_is_said(tmp_path):
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    for name, what in (("bytes", "not UTF-8"), ("none", "cannot be read")):
        with pytest.raises(LoadError, match=what):
            read_dataset(tmp_path / name)


def test_think_times_are_fixed_or_drawn_with_their_mean():
    assert ThinkTime.parse("2s").draw_s(0, 1, 1) == 2.0
    drawn = ThinkTime.parse("exponential:2s")
    times_s = [drawn.draw_s(5, number, 1) for number in range(5000)]
    assert statistics.mean(times_s) == pytest.approx(2.0, abs=4 * 2.0 / 5000**0.5)
    assert times_s[:10] == [drawn.draw_s(5, number, 1) for number in range(10)]
    assert drawn.draw_s(5, 0, 1) != drawn.draw_s(5, 0, 2)


@pytest.mark.parametrize(
    ("flags", "more", "what"),
    [
        ({"turns": "3"}, {"protocol": "openai-completions"}, "only chat has them"),
        ({"turns": "3"}, {"protocol": "kserve-generate"}, "only chat has them"),
        ({"turns": "0"}, {}, "no whole number from 1"),
        ({"turns": "two"}, {}, "no whole number from 1"),
        ({"think_time": "2s"}, {}, "no conversation here has a second turn"),
        ({"turns": "2", "think_time": "soon"}, {}, "--think-time: 'soon' is not a duration"),
        ({"turns": "2", "think_time": "uniform:2s"}, {}, "write 2s, or exponential:2s"),
        ({"prefixes": "2"}, {}, "give both"),
        ({"shared_prefix_tokens": "0"}, {}, "no whole number from 1"),
        ({"dataset": "x", "prompt_tokens": "5"}, {}, "does not go with --dataset"),
        ({"dataset": "x", "shared_prefix_tokens": "5"}, {}, "does not go with --dataset"),
        ({"dataset": "x"}, {"protocol": "kserve-infer"}, "a classifier takes token ids"),
        ({"turns": "2"}, {"trace": trace()}, "does not go with the trace's own prompts"),
        ({"shared_prefix_tokens": "5"}, {"trace": trace()}, "does not go with the trace's own"),
    ],
)
def test_what_cannot_be_asked_together_is_refused(flags, more, what):
    with pytest.raises(LoadError) as caught:
        asked(**flags, **more)
    assert what in str(caught.value)


def test_flags_can_be_written_again():
    flags = PromptFlags(prompt_tokens="uniform:1:2", turns="3", think_time="exponential:2s")
    assert flags.argv() == [
        "--prompt-tokens", "uniform:1:2", "--turns", "3", "--think-time", "exponential:2s",
    ]  # fmt: skip


def test_words_are_single_tokens_apart_from_each_other():
    assert all(word.isalpha() and word.islower() for word in WORDS)
