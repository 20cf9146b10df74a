"""What BentoML exports, under the concepts all engines share. There is none of the queue."""

from collections.abc import Mapping

from servers.contract import Metric

_REQUESTS = "bentoml_service_request_total"


def _ended(*status: str) -> Mapping[str, str | tuple[str, ...]]:
    return {"endpoint": "/classify", "http_response_code": status}


METRICS = (
    Metric("batch_size", "bentoml_service_adaptive_batch_size", "histogram", "requests",
           "Requests of a batch, refused ones included. Not there where batching is off."),
    Metric("e2e", "bentoml_service_request_duration_seconds", "histogram", "s",
           "From a request's arrival in a worker to the end of its answer, however it ended.",
           selector={"endpoint": "/classify"}),
    Metric("e2e_ok", "bentoml_service_request_duration_seconds", "histogram", "s",
           "The same, of requests that were answered.", selector=_ended("200"),
           bounds=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
                   120.0, 180.0)),
    Metric("running", "bentoml_service_request_in_progress", "gauge", "requests",
           "Requests under way, those that wait for their batch included.",
           selector={"endpoint": "/classify"}),
    Metric("requests_ok", _REQUESTS, "counter", "requests", "Requests answered.",
           selector=_ended("200")),
    Metric("requests_refused", _REQUESTS, "counter", "requests", "Requests that were wrong.",
           selector=_ended("400")),
    Metric("requests_failed", _REQUESTS, "counter", "requests",
           "Requests not answered: given up beyond the latency limit (503), after a minute (504), "
           "an error (500).",
           selector=_ended("500", "503", "504")),
    Metric("http_requests", _REQUESTS, "counter", "requests", "Answers by HTTP status.",
           selector={"endpoint": "/classify"}, by="http_response_code"),
)  # fmt: skip
