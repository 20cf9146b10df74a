"""What the language model's requests may ask; the numpy guard."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from triton_sources import source

requests_in = source("llm/1/requests_in.py")
numpy_check = source("shared/numpy_check.py")
Asked, BadRequest = requests_in.Asked, requests_in.BadRequest
LIMITS = requests_in.Limits(max_model_len=32, max_output_tokens=20)


def encode(text):
    """One token a character."""
    return [ord(letter) for letter in text]


def check(**asked):
    return requests_in.check(Asked(**asked), encode, LIMITS)


def test_what_is_not_said_has_its_default():
    checked = check(text=b"abc")
    assert checked.prompt == [97, 98, 99]
    assert checked.max_tokens == requests_in.DEFAULT_MAX_TOKENS
    assert (checked.temperature, checked.ignore_eos, checked.stream) == (0.0, False, True)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"text": b""}, "text_input is empty"),
        ({"text": b"\xff\xfe"}, "not UTF-8"),
        ({"text": b"a", "max_tokens": 0}, "max_tokens is 0"),
        ({"text": b"a", "max_tokens": -1}, "max_tokens is -1"),
        ({"text": b"a", "max_tokens": 21}, "takes 1 to 20"),
        ({"text": b"a", "temperature": -0.5}, "temperature is -0.5"),
        ({"text": b"a", "temperature": float("nan")}, "temperature is nan"),
        ({"text": b"a", "temperature": float("inf")}, "temperature is inf"),
        ({"text": b"a" * 30, "max_tokens": 3}, "30 tokens and max_tokens is 3.*at most 32"),
    ],
)
def test_a_bad_request_is_refused_in_words(asked, message):
    with pytest.raises(BadRequest, match=message):
        check(**asked)


@given(
    st.binary(max_size=60),
    st.none() | st.integers(-(2**31), 2**31 - 1),
    st.none() | st.floats(width=32),
    st.none() | st.booleans(),
    st.none() | st.booleans(),
)
def test_any_input_is_checked_or_refused_and_what_passes_fits(text, tokens, heat, eos, stream):
    asked = Asked(text, tokens, heat, eos, stream)
    try:
        checked = requests_in.check(asked, encode, LIMITS)
    except BadRequest:
        return
    assert checked.prompt and len(checked.prompt) + checked.max_tokens <= 32
    assert 1 <= checked.max_tokens <= 20
    assert 0 <= checked.temperature < float("inf")


@pytest.mark.parametrize("version", ["2.0.0", "2.4.6", "3.0.0rc1", "10.0"])
def test_numpy_2_and_newer_are_refused(version):
    with pytest.raises(RuntimeError, match=f"numpy {version} gives silently wrong"):
        numpy_check.require_numpy_1(version)


@pytest.mark.parametrize("version", ["1.26.4", "1.21.0rc1"])
def test_numpy_1_is_accepted(version):
    numpy_check.require_numpy_1(version)
