"""The arithmetic of notebook 11, what it shows, and its checks."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.memory import plan
from dashboard.memory.observed import Observed
from notebooks import checks_memory, gpu_memory
from notebooks.gpu_memory import LLAMA_2_7B, LLAMA_3_8B, LLAMA_3_70B
from servers import forecast
from servers.memory import GIB, Memory, Part, placed

KEPT = forecast.document(
    Memory(
        (
            placed("cpu", "weights", GIB, "of the files"),
            placed("cpu", "KV cache", GIB // 2, "rows", later=True),
            Part("overhead", GIB // 4, 0, "measured"),
        )
    ),
    "cpu",
)


def seen(peak_bytes: float, name: str = "triton") -> Observed:
    held = (np.array([0.0, 1.0]), np.array([peak_bytes / 2, peak_bytes]))
    return Observed(name, "host", "pss", held, None, None, plan.read(KEPT))


def test_the_sums_are_those_of_the_models_own_papers() -> None:
    # Half a MiB a token of Llama 2 7B in 16 bits, 128 KiB of Llama 3 8B: a quarter.
    assert LLAMA_2_7B.kv_bytes_per_token == 512 * 1024
    assert LLAMA_3_8B.kv_bytes_per_token == 128 * 1024
    assert LLAMA_3_8B.weight_bytes == pytest.approx(16.06e9)


def test_what_does_not_fit_holds_no_token() -> None:
    assert gpu_memory.tokens_that_fit(LLAMA_3_70B, 80 * GIB, 0.9, 0) == 0
    table = gpu_memory.concurrency(
        [LLAMA_2_7B, LLAMA_3_8B, LLAMA_3_70B], 80, share=0.9, other_gib=2, length=4000
    )
    found = table["requests of 4,000"].map(int)
    assert found["Llama 3.1 70B"] == 0
    assert found["Llama 3.1 8B"] == int((72 * GIB - 16.06e9 - 2 * GIB) / 131_072) // 4000
    assert found["Llama 2 7B"] < found["Llama 3.1 8B"] / 3


@given(st.floats(1, 200), st.floats(0.1, 1), st.floats(0, 50))
def test_tokens_never_exceed_what_is_left(gib: float, share: float, other_gib: float) -> None:
    tokens = gpu_memory.tokens_that_fit(LLAMA_3_8B, gib * GIB, share, other_gib * GIB)
    left = share * gib * GIB - LLAMA_3_8B.weight_bytes - other_gib * GIB
    assert tokens * LLAMA_3_8B.kv_bytes_per_token <= max(left, 0)
    assert (tokens + 1) * LLAMA_3_8B.kv_bytes_per_token > left


def test_words_say_which_memory_it_is_and_what_the_other_would_be() -> None:
    assert "no GPU here" in gpu_memory.words(seen(1e9))
    assert "PSS" in gpu_memory.words(seen(1e9))
    on_gpu = gpu_memory.words(replace(seen(1e9), where="gpu", kind=""))
    assert "on the GPU" in on_gpu and "no GPU here" not in on_gpu


def test_the_picture_has_a_bar_of_each_kind_an_instance() -> None:
    figure = gpu_memory.beside([seen(2e9, "a"), replace(seen(1e9, "b"), plan=None)])
    assert [list(bars.x) for bars in figure.data] == [["a", "b"]] * 2
    assert figure.data[1].y == (2e9, 1e9)
    assert figure.data[0].y[0] == GIB * 1.25 and math.isnan(figure.data[0].y[1])


def test_a_run_without_memory_says_so(make_run) -> None:
    with pytest.raises(LookupError, match="no memory recorded"):
        gpu_memory.of_run(make_run("vllm", [0.1] * 3))


GPU = 24 * GIB


def test_a_share_is_cut_and_not_rounded() -> None:
    neighbour = seen(1.1 * GIB)
    assert checks_memory.share(neighbour, gpu_bytes=GPU, answer=0.95).ok
    wrong = [0.96, 0.94, 0.954, 0.9]
    hints = {checks_memory.share(neighbour, gpu_bytes=GPU, answer=one).text for one in wrong}
    assert len(hints) == 1
    assert not any(checks_memory.share(neighbour, gpu_bytes=GPU, answer=one).ok for one in wrong)


@pytest.mark.parametrize("answer", [None, True, "0.9", 0, 1, 95])
def test_a_share_that_is_none_is_asked_for_one(answer: object) -> None:
    assert "between 0 and 1" in checks_memory.share(seen(GIB), gpu_bytes=GPU, answer=answer).text


def requests(answer: object) -> checks_memory.Feedback:
    return checks_memory.requests(
        LLAMA_3_8B,
        gpu_bytes=GPU,
        share=0.9,
        other_bytes=GIB,
        length=2001,
        block_tokens=16,
        answer=answer,
    )


def test_requests_are_whole_and_take_whole_blocks() -> None:
    left = 0.9 * GPU - LLAMA_3_8B.weight_bytes - GIB
    right = int(left // (16 * 131_072)) // 126
    assert requests(right).ok
    assert not requests(right + 1).ok and not requests(right - 1).ok
    assert requests(0).text == requests(right + 5).text
    assert "whole number" in requests(2.0).text and "whole number" in requests(True).text
