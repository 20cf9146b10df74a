"""What the application exports: vLLM's own families, and those of the lab's middleware."""

from servers.contract import Metric
from servers.vllm.metrics import METRICS as ENGINE_METRICS

_ASKED = {"route": "/v1/chat/completions"}

METRICS = (
    *(metric for metric in ENGINE_METRICS if metric.name.startswith("vllm:")),
    Metric("http_requests", "model_requests_total", "counter", "requests",
           "Requests by HTTP status, or by how they ended without one.", selector=_ASKED,
           by="status"),
    Metric("active", "model_active_requests", "gauge", "requests",
           "Requests whose answer is not sent to its last byte.", selector=_ASKED),
)  # fmt: skip
