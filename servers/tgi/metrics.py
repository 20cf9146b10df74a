"""What TGI exports, and the TGI-compatible server too, under the concepts all engines share.

TGI has no histogram of TTFT and none of ITL: its nearest are the queue time and the mean time per
token of each request. Its counters have no `_total`. What is counted from a histogram's sum grows
when a request has ended, not with each token.
"""

from servers.contract import Metric

METRICS = (
    Metric("tpot", "tgi_request_mean_time_per_token_duration", "histogram", "s",
           "A request's time in the batch over its output tokens. In buckets."),
    Metric("e2e", "tgi_request_duration", "histogram", "s",
           "From the request's arrival in the server to its last token. In buckets."),
    Metric("queue_time", "tgi_request_queue_duration", "histogram", "s",
           "From a checked request to the start of its prefill. In buckets."),
    Metric("inference_time", "tgi_request_inference_duration", "histogram", "s",
           "From the start of a request's prefill to its last token. In buckets."),
    Metric("validation_time", "tgi_request_validation_duration", "histogram", "s",
           "Checking a request and making tokens of its prompt. In buckets."),
    Metric("running", "tgi_batch_current_size", "gauge", "requests",
           "Requests in the running batch now."),
    Metric("waiting", "tgi_queue_size", "gauge", "requests",
           "Requests that wait for a place in the batch."),
    Metric("batch_max_tokens", "tgi_batch_current_max_tokens", "gauge", "tokens",
           "Tokens that the running batch can come to hold, padding included."),
    Metric("prefill_batch_size", "tgi_batch_next_size", "histogram", "requests",
           "Requests that come into the batch together, in one prefill."),
    Metric("prompt_tokens", "tgi_request_input_length_sum", "counter", "tokens",
           "Prompt tokens of the requests that were taken."),
    Metric("output_tokens", "tgi_request_generated_tokens_sum", "counter", "tokens",
           "Tokens of answers that have ended.", at_end=True),
    Metric("steps", "tgi_batch_inference_count", "counter", "steps",
           "Forward passes, by method: prefill or decode. Each gives every request in it a token, "
           "so output tokens divided by steps are the mean batch, in the long run."),
    Metric("requests_arrived", "tgi_request_count", "counter", "requests",
           "Requests that arrived, whatever became of them."),
    Metric("requests_ok", "tgi_request_success", "counter", "requests", "Requests answered."),
    Metric("requests_failed", "tgi_request_failure", "counter", "requests",
           "Requests refused or failed.",
           selector={"err": ("validation", "overloaded", "generation", "incomplete", "template")}),
    Metric("requests_cancelled", "tgi_request_failure", "counter", "requests",
           "Requests whose client left.", selector={"err": "dropped"}),
    Metric("request_prompt_tokens", "tgi_request_input_length", "histogram", "tokens",
           "Length of a prompt. A hundred buckets up to max_input_tokens."),
    Metric("request_output_tokens", "tgi_request_generated_tokens", "histogram", "tokens",
           "Length of an answer. A hundred buckets up to max_total_tokens."),
    Metric("failures", "tgi_request_failure", "counter", "requests",
           "Requests not answered, by why.", by="err"),
    Metric("steps_by_method", "tgi_batch_inference_count", "counter", "steps",
           "Forward passes, by method.", by="method"),
    Metric("batch_concats", "tgi_batch_concat", "counter", "joins",
           "Waiting requests taken into the running batch, by why now.", by="reason"),
    Metric("forward_time", "tgi_batch_forward_duration", "histogram", "s",
           "The model's part of a step, by method. In buckets.", by="method"),
    Metric("decode_step_time", "tgi_batch_decode_duration", "histogram", "s",
           "Making tokens of the model's output in a step, by method. In buckets.", by="method"),
    Metric("filter_time", "tgi_batch_filter_duration", "histogram", "s",
           "Taking ended requests out of the batch in a step, by method. In buckets.", by="method"),
    Metric("step_time", "tgi_batch_inference_duration", "histogram", "s",
           "A whole step, by method. In buckets.", by="method"),
    Metric("request_max_tokens", "tgi_request_max_new_tokens", "histogram", "tokens",
           "The longest answer a request allowed."),
)  # fmt: skip
