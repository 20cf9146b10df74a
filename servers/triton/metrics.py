"""What a Triton instance exports, under the concepts all engines share.

Names that begin with `nv_` are Triton's own, in microseconds, one series a model. In a decoupled
model Triton's durations cover only the hand-over, so the `llm` model exports its own (`llm_`). In
NVIDIA's image that model is vLLM, which exports them by its own names (`vllm:`): a concept has
two metrics then, of which an instance exports one.
"""

from servers.contract import Metric

US = 1e-6
_CLASSIFIER = {"model": "text_classifier"}
_LATENCY_BUCKETS_S = tuple(round(0.001 * 1.25**i, 6) for i in range(52))
_VLLM_TTFT_BUCKETS_S = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5,
                        5.0, 7.5, 10.0)  # fmt: skip


def _counter(concept: str, name: str, unit: str, help: str, scale: float = 1.0) -> Metric:
    return Metric(concept, name, "counter", unit, help, scale, _CLASSIFIER)


METRICS = (
    Metric("ttft", "llm_time_to_first_token_seconds", "histogram", "s",
           "From the request's arrival in the model to its first token.",
           bounds=_LATENCY_BUCKETS_S),
    Metric("itl", "llm_inter_token_latency_seconds", "histogram", "s",
           "Between two tokens of one answer."),
    Metric("e2e", "llm_e2e_latency_seconds", "histogram", "s",
           "From the request's arrival in the model to its last token."),
    Metric("queue_time", "llm_queue_time_seconds", "histogram", "s",
           "From the request's arrival to the start of its prefill."),
    Metric("running", "llm_requests_running", "gauge", "requests",
           "Sequences decoding together now."),
    Metric("waiting", "llm_requests_waiting", "gauge", "requests",
           "Requests waiting for a place in the batch."),
    Metric("prompt_tokens", "llm_prompt_tokens_total", "counter", "tokens",
           "Prompt tokens computed."),
    Metric("output_tokens", "llm_output_tokens_total", "counter", "tokens",
           "Tokens generated."),
    Metric("requests_ok", "llm_requests_total", "counter", "requests",
           "Answers finished, by reason: stop (end token) or length."),
    Metric("requests_failed", "llm_request_errors_total", "counter", "requests",
           "Requests that failed in the model.", selector={"kind": "internal"}),
    Metric("requests_refused", "llm_request_errors_total", "counter", "requests",
           "Requests that were wrong.", selector={"kind": "bad_request"}),
    Metric("requests_cancelled", "llm_requests_cancelled_total", "counter", "requests",
           "Requests whose client left."),
    Metric("iteration_tokens", "llm_iteration_tokens", "histogram", "tokens",
           "Tokens computed in one step: prompt tokens of a prefill, or one a sequence."),
    Metric("ttft", "vllm:time_to_first_token_seconds", "histogram", "s",
           "In NVIDIA's image: from the request's arrival to its first token.",
           bounds=_VLLM_TTFT_BUCKETS_S),
    Metric("itl", "vllm:time_per_output_token_seconds", "histogram", "s",
           "In NVIDIA's image: between two tokens of one answer."),
    Metric("e2e", "vllm:e2e_request_latency_seconds", "histogram", "s",
           "In NVIDIA's image: from the request's arrival to its last token."),
    Metric("queue_time", "vllm:request_queue_time_seconds", "histogram", "s",
           "In NVIDIA's image: from the request's arrival to the first step that computes it."),
    Metric("running", "vllm:num_requests_running", "gauge", "requests",
           "In NVIDIA's image: sequences decoding together now."),
    Metric("waiting", "vllm:num_requests_waiting", "gauge", "requests",
           "In NVIDIA's image: requests waiting for a place in the batch."),
    Metric("kv_cache_usage", "vllm:gpu_cache_usage_perc", "gauge", "ratio",
           "In NVIDIA's image: share of the KV cache's blocks in use."),
    Metric("prompt_tokens", "vllm:prompt_tokens_total", "counter", "tokens",
           "In NVIDIA's image: prompt tokens computed."),
    Metric("output_tokens", "vllm:generation_tokens_total", "counter", "tokens",
           "In NVIDIA's image: tokens generated."),
    Metric("iteration_tokens", "vllm:iteration_tokens_total", "histogram", "tokens",
           "In NVIDIA's image: tokens computed in one step."),
    _counter("classify_requests_ok", "nv_inference_request_success", "requests",
             "Requests answered."),
    _counter("classify_requests_failed", "nv_inference_request_failure", "requests",
             "Requests that failed, by reason."),
    _counter("classify_inferences", "nv_inference_count", "inferences",
             "Texts classified. Divided by the executions it is the average batch."),
    _counter("classify_executions", "nv_inference_exec_count", "executions",
             "Batches computed."),
    _counter("classify_e2e", "nv_inference_request_duration_us", "s",
             "Time in the server, summed over requests.", US),
    _counter("classify_queue_time", "nv_inference_queue_duration_us", "s",
             "Time waiting for a batch, summed over requests.", US),
    _counter("classify_compute_input", "nv_inference_compute_input_duration_us", "s",
             "Time preparing inputs, summed over requests.", US),
    _counter("classify_compute_infer", "nv_inference_compute_infer_duration_us", "s",
             "Time computing, summed over requests.", US),
    _counter("classify_compute_output", "nv_inference_compute_output_duration_us", "s",
             "Time extracting outputs, summed over requests.", US),
    Metric("classify_waiting", "nv_inference_pending_request_count", "gauge", "requests",
           "Requests in the scheduler's queue.", 1.0, _CLASSIFIER),
    Metric("classify_e2e_quantiles", "nv_inference_request_summary_us", "summary", "s",
           "Quantiles of the time in the server, of this server's last minutes.", US, _CLASSIFIER),
    Metric("requests_ended", "llm_requests_total", "counter", "requests",
           "Answers finished, by reason.", by="finish_reason"),
    Metric("failures", "llm_request_errors_total", "counter", "requests",
           "Requests to the language model that were refused or failed, by kind.", by="kind"),
    Metric("failures", "nv_inference_request_failure", "counter", "requests",
           "Requests to the classifier that failed, by reason.", 1.0, _CLASSIFIER, by="reason"),
    Metric("classify_queue_quantiles", "nv_inference_queue_summary_us", "summary", "s",
           "Quantiles of the wait for a batch, of this server's last minutes.", US, _CLASSIFIER),
    Metric("classify_infer_quantiles", "nv_inference_compute_infer_summary_us", "summary", "s",
           "Quantiles of the time computing, of this server's last minutes.", US, _CLASSIFIER),
)  # fmt: skip
