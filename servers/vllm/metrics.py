"""What vLLM exports, under the concepts all engines share.

Histograms are quantiles within bucket bounds, never exact: the client's own records are. The lab
starts vLLM with finer bounds than its own (`HISTOGRAM_BUCKETS`), because by default everything
under 0.3 s falls into one bucket of E2E and of the phase times, and everything under 10 ms into
one of ITL. A vLLM started by someone else shows the coarse ones.

A request whose client leaves is counted nowhere: `finished_reason="abort"` stays at zero then.
"""

from servers.buckets import ten_a_decade
from servers.contract import Metric

HISTOGRAM_BUCKETS: dict[str, list[float]] = {
    "time_to_first_token": [*ten_a_decade(0.001, 100)],
    "inter_token_latency": [*ten_a_decade(0.001, 10)],
    "request_latency": [*ten_a_decade(0.001, 1000)],
    "iteration_tokens": [1, 2, 4, 8, 12, 16, 24, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192],
}
"""For `--custom-histogram-buckets`: bucket family to upper bounds (seconds, tokens)."""

_FINISHED = "finished_reason"

METRICS = (
    Metric("ttft", "vllm:time_to_first_token_seconds", "histogram", "s",
           "From the request's arrival in the server to its first token. In buckets; less than "
           "the client's TTFT by network and HTTP.",
           bounds=tuple(HISTOGRAM_BUCKETS["time_to_first_token"])),
    Metric("itl", "vllm:inter_token_latency_seconds", "histogram", "s",
           "Between two steps that gave one request tokens, pooled over requests. In buckets."),
    Metric("tpot", "vllm:request_time_per_output_token_seconds", "histogram", "s",
           "A request's decode time over its output tokens less one. In buckets."),
    Metric("e2e", "vllm:e2e_request_latency_seconds", "histogram", "s",
           "From the request's arrival in the server to its last token. In buckets."),
    Metric("queue_time", "vllm:request_queue_time_seconds", "histogram", "s",
           "From the arrival at the scheduler to the first step that computes it. In buckets."),
    Metric("prefill_time", "vllm:request_prefill_time_seconds", "histogram", "s",
           "From the first step that computes the request to its first token. In buckets."),
    Metric("decode_time", "vllm:request_decode_time_seconds", "histogram", "s",
           "From a request's first token to its last. In buckets."),
    Metric("inference_time", "vllm:request_inference_time_seconds", "histogram", "s",
           "Prefill and decode together: all but the queue. In buckets."),
    Metric("running", "vllm:num_requests_running", "gauge", "requests",
           "Requests in the running batch now."),
    Metric("waiting", "vllm:num_requests_waiting", "gauge", "requests",
           "Requests that wait for a place in the batch."),
    Metric("kv_cache_usage", "vllm:kv_cache_usage_perc", "gauge", "ratio",
           "Part of the KV blocks in use by running requests (0 to 1, in spite of its name)."),
    Metric("preemptions", "vllm:num_preemptions_total", "counter", "preemptions",
           "Running requests thrown out because the KV cache was full; they are computed anew."),
    Metric("prefix_cache_queries", "vllm:prefix_cache_queries_total", "counter", "tokens",
           "Prompt tokens looked up in the prefix cache."),
    Metric("prefix_cache_hits", "vllm:prefix_cache_hits_total", "counter", "tokens",
           "Prompt tokens found there, not computed again; over the queries it is the hit rate."),
    Metric("draft_tokens", "vllm:spec_decode_num_draft_tokens_total", "counter", "tokens",
           "Tokens guessed ahead. Only with speculative decoding."),
    Metric("draft_tokens_accepted", "vllm:spec_decode_num_accepted_tokens_total", "counter",
           "tokens",
           "Guesses the model agreed with; over the guesses it is the acceptance rate. Only with "
           "speculative decoding."),
    Metric("prompt_tokens", "vllm:prompt_tokens_total", "counter", "tokens",
           "Prompt tokens of requests whose prefill is done, cached ones included."),
    Metric("output_tokens", "vllm:generation_tokens_total", "counter", "tokens",
           "Tokens generated."),
    Metric("requests_ok", "vllm:request_success_total", "counter", "requests",
           "Requests finished by an end token, a stop word or their length.",
           selector={_FINISHED: ("stop", "length", "repetition")}),
    Metric("requests_failed", "vllm:request_success_total", "counter", "requests",
           "Requests that failed inside the engine. vLLM counts them in the same family as the "
           "successes, by reason; refused ones (HTTP 400, 404) are in none.",
           selector={_FINISHED: "error"}),
    Metric("requests_stop", "vllm:request_success_total", "counter", "requests",
           "Answers that ended by themselves (end token or stop word).",
           selector={_FINISHED: "stop"}),
    Metric("requests_length", "vllm:request_success_total", "counter", "requests",
           "Answers cut at max_tokens or at max_model_len.", selector={_FINISHED: "length"}),
    Metric("iteration_tokens", "vllm:iteration_tokens_total", "histogram", "tokens",
           "Tokens computed in one step, prompt and output: the size of the running batch. A "
           "histogram, in spite of its name."),
    Metric("request_prompt_tokens", "vllm:request_prompt_tokens", "histogram", "tokens",
           "Length of a prompt. Buckets 1-2-5."),
    Metric("request_output_tokens", "vllm:request_generation_tokens", "histogram", "tokens",
           "Length of an answer. Buckets 1-2-5."),
    Metric("requests_ended", "vllm:request_success_total", "counter", "requests",
           "Requests that ended, by how.", by=_FINISHED),
    Metric("rejections", "vllm:admission_rejections_total", "counter", "requests",
           "Requests refused because the queue was full, by which limit.", by="reason"),
    Metric("waiting_by_reason", "vllm:num_requests_waiting_by_reason", "gauge", "requests",
           "Waiting requests by why: no capacity, or put off (deferred).", by="reason"),
    Metric("prompt_tokens_by_source", "vllm:prompt_tokens_by_source_total", "counter", "tokens",
           "Prompt tokens by where they came from: computed here, or found in a cache.",
           by="source"),
    Metric("drafts", "vllm:spec_decode_num_drafts_total", "counter", "drafts",
           "Guesses of several tokens. Only with speculative decoding."),
    Metric("drafts_accepted_at", "vllm:spec_decode_num_accepted_tokens_per_pos_total", "counter",
           "tokens", "Accepted tokens by their place in the guess. Only with speculative decoding.",
           by="position"),
    Metric("request_max_tokens", "vllm:request_params_max_tokens", "histogram", "tokens",
           "The longest answer a request allowed."),
    Metric("http_requests", "http_requests_total", "counter", "requests",
           "HTTP requests of the API server, by class of status. Refused ones are in it.",
           by="status"),
    Metric("config", "vllm:cache_config_info", "gauge", "info",
           "The KV cache's configuration, in its labels."),
)  # fmt: skip
