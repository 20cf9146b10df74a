"""Which requests come into the batch, what is refused, where an answer ends: without a model."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tgi_sources import sources
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

waiting, validation, schemas, writing, errors, metrics_out = sources(
    "waiting", "validation", "schemas", "writing", "errors", "metrics_out"
)
SETTINGS = SimpleNamespace(max_input_tokens=16, max_total_tokens=32)


def entry(prompt: int, answer: int = 1, dropped: bool = False) -> SimpleNamespace:
    valid = SimpleNamespace(prompt=(0,) * prompt, max_new_tokens=answer)
    return SimpleNamespace(valid=valid, dropped=dropped)


def queue_of(*entries: SimpleNamespace):
    queue = waiting.Waiting(metrics_out.Metrics(1024, 2048))
    assert all(queue.add(one) for one in entries)
    return queue


@given(
    st.lists(st.tuples(st.integers(1, 20), st.integers(1, 20)), max_size=12),
    st.integers(0, 6),
    st.one_of(st.none(), st.integers(0, 6)),
    st.integers(1, 80),
    st.integers(1, 120),
)
def test_what_comes_next_is_the_longest_beginning_of_the_queue_within_every_limit(
    lengths, least, most, prefill, total
):
    entries = [entry(*one) for one in lengths]

    def fits(count: int) -> bool:
        prompts = count * max(prompt for prompt, _ in lengths[:count])
        answers = sum(answer for _, answer in lengths[:count])
        few = most is None or count <= most
        return few and prompts <= prefill and prompts + answers <= total

    longest = 0
    while longest < len(entries) and fits(longest + 1):
        longest += 1
    queue = queue_of(*entries)
    taken = queue.take(least, most, prefill, total)
    assert taken == (entries[:longest] if longest >= max(least, 1) else [])
    assert queue.close() == entries[len(taken) :]


def test_padding_counts_as_prompt():
    assert len(queue_of(entry(2), entry(10)).take(0, None, 19, 1000)) == 1
    assert len(queue_of(entry(2), entry(10)).take(0, None, 20, 1000)) == 2


def test_who_has_left_takes_no_place():
    here = entry(1)
    assert queue_of(entry(1, dropped=True), here).take(0, 1, 10, 10) == [here]


def test_a_closed_queue_takes_nothing():
    queue = queue_of()
    queue.close()
    assert not queue.add(entry(1))
    assert not queue.wait()


def body(**parameters):
    return schemas.GenerateRequest(inputs="hello", parameters=parameters)


def check(request, ids=(1, 2, 3)):
    choosing = validation.check_parameters(request.parameters)
    validation.check_inputs(request, SETTINGS)
    return validation.check_length(request, list(ids), choosing, SETTINGS)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"temperature": 0.0}, "`temperature` must be strictly positive"),
        ({"top_p": 1.0}, "`top_p` must be > 0.0 and < 1.0"),
        ({"typical_p": 0.0}, "`typical_p` must be > 0.0 and < 1.0"),
        ({"top_k": 0}, "`top_k` must be strictly positive"),
        ({"repetition_penalty": -1.0}, "`repetition_penalty` must be strictly positive"),
        ({"frequency_penalty": 2.5}, "`frequency_penalty` must be >= -2.0 and <= 2.0"),
        ({"max_new_tokens": 0}, "`max_new_tokens` must be strictly positive"),
        ({"stop": ["a"] * 5}, "`stop` supports up to 4 stop sequences. Given: 5"),
        ({"top_n_tokens": 6}, "`top_n_tokens` must be >= 0 and <= 5. Given: 6"),
        ({"best_of": 3, "do_sample": True}, "`best_of` must be > 0 and <= 2. Given: 3"),
        ({"best_of": 2}, "you must use sampling when `best_of` is > 1"),
        ({"best_of": 2, "top_k": 5, "seed": 1}, "`seed` must not be set when `best_of` > 1"),
        ({"truncate": 17}, "`truncate` must be strictly positive and less than 16. Given: 17"),
        ({"watermark": True}, "`watermark` is not supported"),
        ({"grammar": {"type": "regex", "value": "a"}}, "`grammar` is not supported"),
        ({"max_new_tokens": 30}, "must be <= 32. Given: 3 `inputs` tokens and 30"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_tgis_words(parameters, words):
    with pytest.raises(errors.Invalid, match="Input validation error: ") as refused:
        check(body(**parameters))
    assert words in str(refused.value)
    assert refused.value.document()["error_type"] == "validation"


def test_a_prompt_that_is_too_long_is_refused_and_a_truncated_one_keeps_its_end():
    with pytest.raises(errors.Invalid, match=r"must have less than 16 tokens\. Given: 20"):
        check(body(), ids=range(20))
    assert check(body(truncate=4), ids=range(20)).prompt == (16, 17, 18, 19)


def test_an_answer_of_no_given_length_has_the_room_that_is_left():
    assert check(body()).max_new_tokens == 29


def test_penalties_alone_do_not_sample_and_all_else_does():
    assert not check(body(repetition_penalty=1.2, seed=3)).choosing.sampling
    for parameters in ({"do_sample": True}, {"temperature": 0.5}, {"top_k": 3}, {"top_p": 0.5}):
        assert check(body(**parameters)).choosing.sampling


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"{",
        b"[]",
        b'{"inputs": null}',
        b'{"inputs": "a", "parameters": {"max_new_tokens": "5"}}',
        b'{"inputs": "a", "parameters": {"max_new_tokens": -1}}',
        b'{"inputs": "a", "parameters": {"details": null}}',
        b'{"inputs": "a", "parameters": {"temperature": NaN}}',
        b'{"inputs": "\\ud800"}',
        b'{"inputs": "\xff"}',
    ],
)
def test_a_body_that_is_not_of_the_schema_is_no_request(wrong):
    with pytest.raises(ValueError, match="validation error"):
        schemas.GenerateRequest.model_validate_json(wrong)


def letters() -> Tokenizer:
    """A token for every byte."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({one: n for n, one in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def written(text: str, stop=(), most=1000, stop_ids=frozenset()):
    tokenizer = letters()
    writer = writing.Writer(tokenizer, [], stop_ids, stop, most)
    pieces = []
    for token in tokenizer.encode(text).ids:
        piece, reason = writer.add(token)
        pieces.append(piece)
        if reason:
            break
    return pieces, reason, writer.text()


# The replacement character is what a broken one is shown as.
whole_characters = st.characters(codec="utf-8", exclude_characters="\ufffd")


@given(st.text(whole_characters, min_size=1))
def test_the_pieces_of_an_answer_are_its_text_and_hold_no_broken_character(text):
    pieces, _, whole = written(text)
    assert "".join(pieces) == whole == text


def test_an_answer_ends_at_its_length_at_an_end_token_or_after_a_stop_string():
    end = letters().encode("!").ids[0]
    assert written("hello", most=3)[1:] == ("length", "hel")
    assert written("hello!more", stop_ids=frozenset({end}))[1:] == ("eos_token", "hello!")
    assert written("one, two, three", stop=("two", "x"))[1:] == ("stop_sequence", "one, two")


@given(st.text("ab", min_size=1, max_size=4), st.text("abc", max_size=30))
def test_a_stop_string_is_found_where_it_is_first_complete(stop, text):
    _, reason, whole = written(text + "c", stop=(stop,))
    at = text.find(stop)
    if at < 0:
        assert reason is None
    else:
        assert (reason, whole) == ("stop_sequence", text[: at + len(stop)])


def test_counters_have_tgis_names_on_the_page():
    metrics = metrics_out.Metrics(1024, 2048)
    metrics.requests.inc()
    metrics.failed("overloaded", 2)
    lines = metrics.render().decode().splitlines()
    assert "# TYPE tgi_request_count counter" in lines
    assert "tgi_request_count 1.0" in lines
    assert 'tgi_request_failure{err="overloaded"} 2.0' in lines
    assert not [line for line in lines if "_total" in line or "_created" in line]
