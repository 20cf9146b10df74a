"""What the application exports: its batcher's own metrics and those of the lab's middleware."""

from collections.abc import Mapping

from servers.buckets import ten_a_decade
from servers.contract import Metric

_ASKED = ("/classify", "/classify/stream")
_FAILED = ("429", "500", "503", "incomplete")
_REFUSED = ("400", "405", "413", "415", "422")

BATCH_SIZE = "batcher_batch_size"
QUEUE_TIME = "batcher_queue_time_seconds"
COMPUTE_TIME = "batcher_compute_time_seconds"
RUNNING = "batcher_requests_running"
WAITING = "batcher_requests_waiting"
JOBS = "batcher_jobs"

_LATENCY = "model_request_latency_seconds"
_REQUESTS = "model_requests_total"


def _ended(status: str | tuple[str, ...]) -> Mapping[str, str | tuple[str, ...]]:
    return {"route": _ASKED, "status": status}


METRICS = (
    Metric("batch_size", BATCH_SIZE, "histogram", "requests", "Requests computed together."),
    Metric("queue_time", QUEUE_TIME, "histogram", "s",
           "From a request's arrival in the batcher to the start of its batch."),
    Metric("compute_time", COMPUTE_TIME, "histogram", "s", "Time one batch was computed."),
    Metric("e2e", _LATENCY, "histogram", "s",
           "From a request's arrival to the last byte of its answer, of those answered.",
           selector={"route": "/classify", "status": "200"}, bounds=ten_a_decade(1e-4, 80)),
    Metric("running", RUNNING, "gauge", "requests", "Requests in batches computed now."),
    Metric("waiting", WAITING, "gauge", "requests", "Requests that wait for their batch."),
    Metric("requests_ok", _REQUESTS, "counter", "requests", "Requests answered.",
           selector=_ended("200")),
    Metric("requests_failed", _REQUESTS, "counter", "requests",
           "Requests not answered: a full queue (429), a stop (503), an error (500).",
           selector=_ended(_FAILED)),
    Metric("requests_refused", _REQUESTS, "counter", "requests", "Requests that were wrong.",
           selector=_ended(_REFUSED)),
    Metric("requests_cancelled", _REQUESTS, "counter", "requests",
           "Requests whose client left before the answer.",
           selector=_ended("client_disconnected")),
    Metric("http_requests", _REQUESTS, "counter", "requests",
           "Requests by HTTP status, or by how they ended without one.",
           selector={"route": _ASKED}, by="status"),
    Metric("active", "model_active_requests", "gauge", "requests",
           "Requests whose answer is not sent to its last byte.", selector={"route": _ASKED}),
    Metric("jobs", JOBS, "gauge", "jobs", "Jobs of the durable queue, by their state.",
           by="status"),
)  # fmt: skip
