import itertools
import json
import statistics

import pytest

from loadtests.arrivals import constant, poisson
from loadtests.clock import RunClock
from loadtests.errors import LoadError
from loadtests.prompts import FileTokenizer, Prompts


def test_constant_arrivals_do_not_drift():
    times_s = list(itertools.islice(constant(3.0, 0), 30_001))
    assert times_s[0] == 0
    assert times_s[-1] == pytest.approx(10_000.0, abs=1e-9)


def test_poisson_arrivals_have_the_rate_and_the_spread_of_a_poisson_process():
    times_s = list(itertools.islice(poisson(50.0, 1), 20_000))
    gaps_s = [b - a for a, b in itertools.pairwise(times_s)]
    # The mean of n exponential gaps is known to within a few / sqrt(n); so is their deviation.
    assert statistics.mean(gaps_s) == pytest.approx(0.02, rel=0.03)
    assert statistics.stdev(gaps_s) == pytest.approx(0.02, rel=0.04)


def test_arrivals_repeat_under_a_seed_and_differ_under_another():
    first, again, other = (list(itertools.islice(poisson(5.0, s), 50)) for s in (7, 7, 8))
    assert first == again
    assert first != other


def test_prompts_repeat_under_a_seed_and_none_is_like_another():
    prompts = Prompts(64, seed=3)
    texts = [prompts.prompt(number) for number in range(200)]
    assert texts == [Prompts(64, seed=3).prompt(number) for number in range(200)]
    assert len(set(texts)) == 200
    assert all(len(text.split()) == 64 for text in texts)
    # A shared beginning would be answered by a prefix cache.
    assert len({tuple(text.split()[:8]) for text in texts}) == 200


class Bytes:
    """A tokenizer whose merging depends on the neighbours: pairs of letters are one token."""

    def ids(self, text: str) -> list[int]:
        pieces = [text[at : at + 2] for at in range(0, len(text), 2)]
        return [int.from_bytes(piece.encode("ascii"), "big") for piece in pieces]

    def text(self, ids: list[int]) -> str:
        return "".join(i.to_bytes(2 if i > 255 else 1, "big").decode("ascii") for i in ids)


@pytest.mark.parametrize("tokens", [1, 2, 17, 400])
def test_with_a_tokenizer_the_length_is_exact(tokens):
    prompts = Prompts(tokens, 0, Bytes())
    assert all(len(Bytes().ids(prompts.prompt(number))) == tokens for number in range(20))


def test_a_length_that_cannot_be_met_is_said():
    class Never(Bytes):
        def ids(self, text: str) -> list[int]:
            return [1, 2] * (1 + len(text) % 3)

        def text(self, ids: list[int]) -> str:
            return "ab"

    with pytest.raises(LoadError, match="exactly 3 tokens"):
        Prompts(3, 0, Never()).prompt(0)


def test_a_real_tokenizer_file_is_read_and_a_broken_one_is_named(tmp_path):
    import tokenizers
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    words = tokenizers.Tokenizer(WordLevel({"[UNK]": 0, "time": 1}, unk_token="[UNK]"))
    words.pre_tokenizer = Whitespace()
    words.save(str(tmp_path / "tokenizer.json"))
    assert FileTokenizer(tmp_path).ids("time flies") == [1, 0]
    (tmp_path / "tokenizer.json").write_text(json.dumps({"not": "one"}))
    with pytest.raises(LoadError, match="tokenizer"):
        FileTokenizer(tmp_path)


def test_a_kernel_stamp_of_now_is_now_on_the_runs_clock():
    import time

    clock = RunClock()
    before_s = clock.now_s()
    wall_ns = time.time_ns()
    after_s = clock.now_s()
    stamp_s = clock.from_wall_s(wall_ns // 10**9, wall_ns % 10**9)
    # The offset is known to about a microsecond; a thousandth is what matters.
    assert before_s - 0.001 <= stamp_s <= after_s + 0.001
    assert clock.epoch_s + stamp_s == pytest.approx(wall_ns / 1e9, abs=0.001)


def test_a_step_of_the_wall_clock_is_noticed_and_followed(monkeypatch):
    import time

    clock = RunClock()
    real_ns = time.time_ns
    clock.resample()
    assert clock.steps == 0
    monkeypatch.setattr(time, "time_ns", lambda: real_ns() + 5_000_000_000)
    clock.resample()
    assert clock.steps == 1
    wall_ns = time.time_ns()
    stamp_s = clock.from_wall_s(wall_ns // 10**9, wall_ns % 10**9)
    assert stamp_s == pytest.approx(clock.now_s(), abs=0.01)
