"""What other load generators mean by the words of a run, read in their sources.

`vllm bench serve` 0.32, guidellm 0.8.1, aiperf 0.13.0 and genai-bench 0.0.5, each at its defaults
against a streaming OpenAI-compatible server. Every definition here is one of theirs applied to our
records; what the records do not hold (an empty first chunk, another tokenizer's count) is said.
"""

import numpy as np
import pyarrow as pa

from measure import latency
from measure.quantiles import Floats
from measure.records import TokenSource
from measure.rosetta_terms import (
    Meaning,
    Sample,
    Tool,
    done_s,
    finished,
    heavy,
    interpolated,
    meets,
    ok_tokens,
    output_tokens,
    per_token_after_first,
    plain,
    span_s,
    weighted,
)
from measure.slo import Slo


def _vllm_tpot(records: pa.Table) -> Floats:
    return per_token_after_first(records, latency.e2e_s(records))


def _vllm_good(records: pa.Table, slo: Slo) -> tuple[int, int] | None:
    tpot = _vllm_tpot(records)
    tpot = np.where(latency.is_ok(records) & np.isnan(tpot), 0.0, tpot)
    limits = [
        (slo.ttft_s, latency.ttft_s(records)),
        (slo.tpot_s, tpot),
        (slo.e2e_s, latency.e2e_s(records)),
    ]
    met = meets(records, limits)
    return None if met is None else (int(met.sum()), finished(records))


VLLM = Tool(
    name="vllm bench serve",
    latencies={
        "ttft_s": Meaning(
            plain(latency.ttft_s),
            "the clock stops at the first chunk with `choices`, even one that brings only a role; "
            "the records keep chunks with content, so where an empty one came first its number is "
            "lower than this",
            at_most=True,
        ),
        "itl_s": Meaning(
            lambda records: (latency.chunk_gaps(records).gap_s, None),
            "what it calls ITL is the time between chunks, pooled over all requests: a chunk of "
            "several tokens counts as one, and a long answer weighs more than a short one",
        ),
        "tpot_s": Meaning(
            plain(_vllm_tpot),
            "an answer of several tokens that came in one piece has a TPOT of 0 here; ours has "
            "none",
        ),
        "e2e_s": Meaning(plain(latency.e2e_s)),
    },
    quantile=interpolated,
    quantile_differs="its percentiles are interpolated between measured values",
    span_s=lambda records: span_s(records, "done_s", ok_only=False),
    span_differs="it divides by the time from the first request to the end of the last answer, "
    "the drain after the load included",
    tokens=lambda records: ok_tokens(records, unknown=1.0),
    tokens_differ="it counts all tokens of the answers that ended well, and none of those that "
    "failed midway",
    good=_vllm_good,
    good_differs="an answer of one token passes the TPOT objective, TTFT and E2E count from the "
    "moment it was sent, and there is no objective on ITL",
    error_rate=lambda failed, finished: failed / finished,
    error_differs=None,
)  # fmt: skip


def _guidellm_tokens(records: pa.Table) -> Floats:
    """The server's usage; without one it takes chunks for tokens."""
    by_server = np.asarray(records.column("token_source").to_numpy()) == TokenSource.USAGE.value
    return np.where(by_server, output_tokens(records), latency.column(records, "chunks"))


def _guidellm_itl(records: pa.Table) -> Floats:
    after = _guidellm_tokens(records) - 1
    with np.errstate(divide="ignore", invalid="ignore"):
        decode = latency.e2e_s(records) - latency.ttft_s(records)
        return np.where(after > 0, decode / after, np.nan)


def _guidellm_tpot(records: pa.Table) -> Sample:
    tokens = _guidellm_tokens(records)
    with np.errstate(divide="ignore", invalid="ignore"):
        each = np.where(tokens > 0, latency.e2e_s(records) / tokens, np.nan)
    return heavy(each, tokens)


def _guidellm_good(records: pa.Table, slo: Slo) -> tuple[int, int] | None:
    limits = [
        (slo.ttft_s, latency.ttft_s(records)), (slo.tpot_s, _guidellm_itl(records)),
        (slo.e2e_s, done_s(records)),
    ]  # fmt: skip
    met = meets(records, limits)
    if met is None:
        return None
    unknown = np.zeros(records.num_rows, dtype=bool)
    for limit, values in limits:
        unknown |= (limit is not None) & latency.is_ok(records) & np.isnan(values)
    return int(met.sum()), finished(records) - int(unknown.sum())


GUIDELLM = Tool(
    name="guidellm",
    latencies={
        "ttft_s": Meaning(plain(latency.ttft_s)),
        "itl_s": Meaning(
            lambda records: heavy(_guidellm_itl(records), _guidellm_tokens(records) - 1),
            "(last − first content) / (tokens − 1), whatever the first chunk held, and each "
            "request weighs as much as it has tokens",
        ),
        "tpot_s": Meaning(
            _guidellm_tpot,
            "(last content − sent) / tokens: TTFT is in it, and each request weighs as much as it "
            "has tokens",
        ),
        "e2e_s": Meaning(
            plain(done_s), "it ends with the stream, after the usage chunk and [DONE]"
        ),
    },
    quantile=weighted,
    quantile_differs=None,
    span_s=lambda records: span_s(records, "done_s", ok_only=False),
    span_differs="it divides by the time from the first request to the end of the last answer, "
    "the drain after the load included",
    tokens=lambda records: float(np.nansum(_guidellm_tokens(records)[latency.is_ok(records)])),
    tokens_differ="it counts all tokens of the answers that ended well, and chunks where the "
    "server reports no usage",
    good=_guidellm_good,
    good_differs="its `tpot` objective is held against (last − first content) / (tokens − 1), a "
    "request without that value is judged neither way, and E2E ends with the stream",
    error_rate=lambda failed, finished: failed / finished,
    error_differs=None,
    attainment=True,
)


def _aiperf_itl(records: pa.Table) -> Floats:
    return per_token_after_first(records, latency.e2e_s(records))


def _aiperf_good(records: pa.Table, slo: Slo) -> tuple[int, int] | None:
    limits = [
        (slo.ttft_s, latency.ttft_s(records)), (slo.itl_s, _aiperf_itl(records)),
        (slo.e2e_s, latency.e2e_s(records)),
    ]  # fmt: skip
    met = meets(records, limits)
    return None if met is None else (int(met.sum()), finished(records))


AIPERF = Tool(
    name="aiperf",
    latencies={
        "ttft_s": Meaning(plain(latency.ttft_s)),
        "itl_s": Meaning(
            plain(_aiperf_itl),
            "without --per-chunk-usage it takes the first chunk to hold one token; with it the "
            "definition is ours",
        ),
        "tpot_s": Meaning(None, "it has no TPOT (its ITL is what others call so)"),
        "e2e_s": Meaning(plain(latency.e2e_s)),
    },
    quantile=interpolated,
    quantile_differs="its percentiles are interpolated between measured values",
    span_s=lambda records: span_s(records, "last_content_s", ok_only=True),
    span_differs="it divides by the time from the first request to the last content of the answers "
    "that ended well, the drain after the load included",
    tokens=lambda records: ok_tokens(records, unknown=0.0),
    tokens_differ="it counts all tokens of the answers that ended well, with its own tokenizer "
    "unless told to take the server's count (as is done here)",
    good=_aiperf_good,
    good_differs="TTFT and E2E count from the moment a request was sent, and there is no TPOT "
    "objective",
    error_rate=lambda failed, finished: failed / finished,
    error_differs=None,
    attainment=True,
)


def _genai_tpot(records: pa.Table) -> Floats:
    """Answers whose tokens after the first took less than a millisecond are left out."""
    decode = done_s(records) - latency.ttft_s(records)
    each = per_token_after_first(records, done_s(records))
    return np.where(decode < 0.001, np.nan, each)


GENAI_BENCH = Tool(
    name="genai-bench",
    latencies={
        "ttft_s": Meaning(plain(latency.ttft_s)),
        "itl_s": Meaning(None, "it has no ITL"),
        "tpot_s": Meaning(
            plain(_genai_tpot),
            "(end of the stream − first content) / (tokens − 1): the usage chunk is waited for; "
            "answers whose rest came within a millisecond are left out",
        ),
        "e2e_s": Meaning(plain(done_s), "it ends once the usage chunk has come"),
    },
    quantile=interpolated,
    quantile_differs="its percentiles are interpolated between measured values",
    span_s=lambda records: span_s(records, "done_s", ok_only=False),
    span_differs="it divides by the time of the whole run, even where it leaves the tokens of a "
    "warm-up out",
    tokens=lambda records: ok_tokens(records, unknown=0.0),
    tokens_differ="it counts all tokens of the answers that ended well",
    good=lambda records, slo: None,
    good_differs="it has no goodput",
    error_rate=lambda failed, finished: 0.0,
    error_differs="it divides before it has counted the requests, so its error rate is always 0",
)

TOOLS = (VLLM, GUIDELLM, AIPERF, GENAI_BENCH)
