"""The arithmetic of a paged KV cache, what is read of a run, and the checks of notebook 04."""

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from measure import server_metrics
from measure.store import open_run
from notebooks import checks_paged, paged

TOKEN_BYTES = 23_040
COUNT = st.integers(1, 5000)


def test_a_budget_makes_whole_blocks_only():
    cache = paged.of_budget(0.066 * 2**30, TOKEN_BYTES, 128)
    assert (cache.blocks, cache.usable, cache.tokens) == (24, 23, 2944)


@given(COUNT, st.integers(1, 300), COUNT)
def test_the_requests_that_fit_do_fit_and_one_more_does_not(blocks, block_tokens, length):
    cache = paged.Cache(block_tokens, blocks)
    fits = cache.requests_of(length)
    assert fits * cache.blocks_of(length) < blocks <= (fits + 1) * cache.blocks_of(length)
    assert cache.blocks_of(length) * block_tokens >= length


def test_the_block_that_vllm_keeps_holds_no_request():
    """Of 24 blocks 23 are left: 11 requests of two blocks, and 5 of four."""
    cache = paged.Cache(128, 24)
    assert (cache.requests_of(150), cache.requests_of(512)) == (11, 5)


def test_the_cache_is_read_off_a_page_of_metrics():
    page = (
        "# HELP vllm:cache_config_info x\n# TYPE vllm:cache_config_info gauge\n"
        'vllm:cache_config_info{block_size="16",engine="0",num_gpu_blocks="70"} 1.0\n'
    )
    assert paged.cache_in(page) == paged.Cache(16, 70)
    with pytest.raises(LookupError, match="not vLLM"):
        paged.cache_in("# TYPE other gauge\nother 1\n")


def test_the_engines_own_sentence_is_found_in_its_log(tmp_path):
    log = tmp_path / "server.log"
    said = "KV cache size: 3,072 tokens, Maximum concurrency for 512 tokens per request: 6.00x"
    log.write_text(f"INFO 11-23 [kv.py:1] CPU {said}\nmore\n")
    assert paged.said_at_start(SimpleNamespace(log=str(log))) == said
    log.write_text("nothing\n")
    assert paged.said_at_start(SimpleNamespace(log=str(log))) == ""


@pytest.fixture
def run(make_run):
    """Forty answers, a second apart, and the engine's series beside them."""
    made = make_run("vllm", [0.1] * 40)
    times_s = np.arange(0.0, 41.0)
    gauges = {
        "vllm:kv_cache_usage_perc": np.where(times_s == 20, 0.9, 0.5),
        "vllm:num_requests_running": np.full(times_s.size, 3.0),
        "vllm:num_requests_waiting": np.where(times_s == 5, 2.0, 0.0),
        "vllm:num_preemptions_total": np.minimum(times_s, 7),
        "vllm:prefix_cache_queries_total": times_s * 10,
        "vllm:prefix_cache_hits_total": times_s * 4,
        "vllm:iteration_tokens_total_sum": times_s * 30,
        "vllm:iteration_tokens_total_count": times_s * 5,
    }
    rows = [
        (float(t), name, [("engine", "0")], float(value))
        for name, values in gauges.items()
        for t, value in zip(times_s, values, strict=True)
    ]
    columns = [list(column) for column in zip(*rows, strict=True)]
    server_metrics.write(made.path, pa.table(columns, schema=server_metrics.SCHEMA))
    return open_run(made.path)


def test_what_the_engine_did_is_read_of_its_series(run):
    found = paged.use(run)
    assert (found.kv_peak, found.running, found.waiting) == (0.9, 3, 2)
    assert found.preemptions == 7
    assert found.hit_rate == pytest.approx(0.4)
    assert found.tokens_a_step == pytest.approx(6)


def test_the_table_has_a_row_a_run_by_its_name(run):
    table = paged.table({"first": run})
    assert list(table.index) == ["first"]
    assert table.loc["first", "KV in use at most"] == "90 %"
    assert table.loc["first", "preemptions"] == "7"


def test_the_picture_has_a_line_a_run(run):
    figure = paged.kv_over_time({"a": run, "b": run})
    assert [line.name for line in figure.data] == ["a", "b"]
    assert max(figure.data[0].y) == 0.9


def test_a_run_without_the_engines_numbers_says_so(make_run):
    with pytest.raises(LookupError, match="none of the engine's own"):
        paged.use(make_run("vllm", [0.1] * 3))


def test_places_are_counted_in_whole_blocks(run):
    cache = paged.Cache(4, 9)
    assert paged.longest(run) == 10
    assert checks_paged.places(cache, run, answer=2).ok
    # 3 forgets the block that is no request's.
    hints = {checks_paged.places(cache, run, answer=wrong).text for wrong in (1, 3, 9)}
    assert len(hints) == 1


@pytest.mark.parametrize("answer", [None, True, 2.0, "2", 0, -1])
def test_places_that_are_no_whole_number_are_asked_for_one(run, answer):
    assert "whole number" in checks_paged.places(paged.Cache(4, 8), run, answer=answer).text


def budget(answer: object) -> checks_paged.Feedback:
    return checks_paged.budget(
        bytes_per_token=TOKEN_BYTES, block_tokens=128, length=1000, requests=32, answer_gib=answer
    )


def test_a_budget_counts_the_empty_end_of_the_last_block():
    right = (32 * 8 + 1) * 128 * TOKEN_BYTES / 2**30
    assert budget(right).ok and budget(round(right, 3)).ok
    assert not budget(32 * 8 * 128 * TOKEN_BYTES / 2**30).ok
    assert not budget(32 * 1000 * TOKEN_BYTES / 2**30).ok
    assert not budget(right * 1.05).ok
    assert "number of GiB" in budget("0.7").text
    assert "number of GiB" in budget(True).text
