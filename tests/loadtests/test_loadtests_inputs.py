import json
import random

import pytest

from loadtests.clock import RunClock
from loadtests.errors import LoadError
from loadtests.prompts import FileTokenizer, text_of


class Bytes:
    """A tokenizer whose merging depends on the neighbours: pairs of letters are one token."""

    def ids(self, text: str) -> list[int]:
        pieces = [text[at : at + 2] for at in range(0, len(text), 2)]
        return [int.from_bytes(piece.encode("ascii"), "big") for piece in pieces]

    def text(self, ids: list[int]) -> str:
        return "".join(i.to_bytes(2 if i > 255 else 1, "big").decode("ascii") for i in ids)


@pytest.mark.parametrize("tokens", [1, 2, 17, 400])
@pytest.mark.parametrize("before", ["", "what was said before"])
def test_with_a_tokenizer_the_length_is_exact(tokens, before):
    tokens += len(Bytes().ids(before))
    for number in range(20):
        text = text_of(tokens, random.Random(number), Bytes(), before)
        assert len(Bytes().ids(text)) == tokens
        assert text.startswith(before)


def test_a_length_that_cannot_be_met_is_said():
    class Never(Bytes):
        def ids(self, text: str) -> list[int]:
            return [1, 2] * (1 + len(text) % 3)

        def text(self, ids: list[int]) -> str:
            return "ab"

    with pytest.raises(LoadError, match="exactly 3 tokens"):
        text_of(3, random.Random(0), Never())


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
