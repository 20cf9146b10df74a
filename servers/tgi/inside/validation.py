"""From a request's body to one that can be answered, with TGI's rules and TGI's words.

Source: TGI's `router/src/validation.rs` (3.3).
"""

import secrets
from dataclasses import dataclass

from errors import Invalid
from settings import (
    DEFAULT_GENERATION_TOKENS,
    MAX_BEST_OF,
    MAX_STOP_SEQUENCES,
    MAX_TOP_N_TOKENS,
)

_NOT_HERE = "is not supported by this TGI-compatible server"


@dataclass(frozen=True)
class Choosing:
    """How the next token is chosen; values that change nothing are TGI's (1.0, or 0)."""

    sampling: bool = False
    seed: int = 0
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    typical_p: float = 1.0
    repetition_penalty: float = 1.0
    frequency_penalty: float = 0.0


@dataclass(frozen=True)
class Valid:
    """A request that can be answered. `prompt` are token ids."""

    prompt: tuple
    max_new_tokens: int
    choosing: Choosing
    stop: tuple = ()
    top_n_tokens: int = 0
    echo_prompt: bool = False


def check_streamed(parameters):
    """Raise `Invalid` for what a stream cannot carry."""
    if parameters.best_of not in (None, 1):
        raise Invalid("`best_of` != 1 is not supported when streaming tokens")
    if parameters.decoder_input_details:
        raise Invalid("`decoder_input_details` == true is not supported when streaming tokens")


def check_parameters(parameters):
    """The way of choosing tokens. Raises `Invalid` for values that cannot be meant."""
    given = parameters
    sampled = given.do_sample or any(
        value is not None
        for value in (given.temperature, given.top_k, given.top_p, given.typical_p)
    )
    if given.best_of is not None:
        if not 1 <= given.best_of <= MAX_BEST_OF:
            raise Invalid(f"`best_of` must be > 0 and <= {MAX_BEST_OF}. Given: {given.best_of}")
        if given.best_of > 1 and not sampled:
            raise Invalid("you must use sampling when `best_of` is > 1")
        if given.best_of > 1 and given.seed is not None:
            raise Invalid("`seed` must not be set when `best_of` > 1")
    for wrong, message in (
        (_at_most_0(given.temperature), "`temperature` must be strictly positive"),
        (_at_most_0(given.repetition_penalty), "`repetition_penalty` must be strictly positive"),
        (
            given.frequency_penalty is not None and not -2 <= given.frequency_penalty <= 2,
            "`frequency_penalty` must be >= -2.0 and <= 2.0",
        ),
        (_no_share(given.top_p), "`top_p` must be > 0.0 and < 1.0"),
        (_no_share(given.typical_p), "`typical_p` must be > 0.0 and < 1.0"),
        (_at_most_0(given.top_k), "`top_k` must be strictly positive"),
        (given.max_new_tokens == 0, "`max_new_tokens` must be strictly positive"),
        (
            len(given.stop) > MAX_STOP_SEQUENCES,
            f"`stop` supports up to {MAX_STOP_SEQUENCES} stop sequences. Given: {len(given.stop)}",
        ),
        (
            (given.top_n_tokens or 0) > MAX_TOP_N_TOKENS,
            f"`top_n_tokens` must be >= 0 and <= {MAX_TOP_N_TOKENS}. Given: {given.top_n_tokens}",
        ),
        (given.watermark, f"`watermark` {_NOT_HERE}"),
        (given.grammar is not None, f"`grammar` {_NOT_HERE}"),
    ):
        if wrong:
            raise Invalid(message)
    return Choosing(
        sampling=sampled,
        seed=secrets.randbits(63) if given.seed is None else given.seed,
        temperature=given.temperature or 1.0,
        top_k=given.top_k or 0,
        top_p=given.top_p or 1.0,
        typical_p=given.typical_p or 1.0,
        repetition_penalty=given.repetition_penalty or 1.0,
        frequency_penalty=given.frequency_penalty or 0.0,
    )


def check_inputs(request, settings):
    """Raise `Invalid` for inputs that need no tokenizer to be found wrong."""
    if not request.inputs:
        raise Invalid("`inputs` cannot be empty")
    truncate = request.parameters.truncate
    if truncate is not None and not 1 <= truncate <= settings.max_input_tokens:
        raise Invalid(
            f"`truncate` must be strictly positive and less than {settings.max_input_tokens}. "
            f"Given: {truncate}"
        )


def check_length(request, ids, choosing, settings):
    """The request with its prompt as token ids. Raises `Invalid` if it is too long."""
    parameters = request.parameters
    if parameters.truncate is not None:
        ids = ids[-parameters.truncate :]
    if not ids:
        raise Invalid("`inputs` cannot be empty")
    room = max(0, settings.max_total_tokens - len(ids))
    new = parameters.max_new_tokens
    new = min(room, DEFAULT_GENERATION_TOKENS) if new is None else new
    if len(ids) > settings.max_input_tokens and parameters.max_new_tokens is None:
        raise _too_long(settings, ids)
    if len(ids) + new > settings.max_total_tokens:
        raise Invalid(
            "`inputs` tokens + `max_new_tokens` must be <= "
            f"{settings.max_total_tokens}. Given: {len(ids)} `inputs` tokens and {new} "
            "`max_new_tokens`"
        )
    if len(ids) > settings.max_input_tokens:
        raise _too_long(settings, ids)
    return Valid(
        prompt=tuple(ids),
        max_new_tokens=new,
        choosing=choosing,
        stop=tuple(one for one in parameters.stop if one),
        top_n_tokens=parameters.top_n_tokens or 0,
        echo_prompt=parameters.decoder_input_details,
    )


def _too_long(settings, ids):
    return Invalid(
        f"`inputs` must have less than {settings.max_input_tokens} tokens. Given: {len(ids)}"
    )


def _at_most_0(value):
    return value is not None and value <= 0


def _no_share(value):
    return value is not None and not 0 < value < 1
