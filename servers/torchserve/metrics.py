"""What TorchServe exports, under the concepts all engines share.

Its counters of time are sums over requests, in microseconds: divided by the requests they are
means. TorchServe measures no batch; the lab's handler does, through TorchServe's own metrics API
(its histogram's bounds end at 10, but sum and count are exact). What waits in the queue is only
on its management API.
"""

from servers.contract import Metric

BATCH_SIZE = "classify_batch_size"
_US = 1e-6

METRICS = (
    Metric("batch_size", BATCH_SIZE, "histogram", "requests",
           "Requests of a batch, refused ones included, counted by the lab's handler. The mean "
           "is exact, the buckets are TorchServe's own and end at 10."),
    Metric("requests_ok", "ts_inference_requests_total", "counter", "requests",
           "Requests that workers answered; those with an error of their own are among them."),
    Metric("requests_refused", "Requests4XX", "counter", "requests",
           "Answers of HTTP 4xx: requests that were wrong."),
    Metric("requests_failed", "Requests5XX", "counter", "requests",
           "Answers of HTTP 5xx: a full queue (503), a worker that died (500)."),
    Metric("queue_time", "ts_queue_latency_microseconds", "counter", "s",
           "Time in the queue until a worker took the batch, summed over requests.", _US),
    Metric("e2e", "ts_inference_latency_microseconds", "counter", "s",
           "Time from the arrival to the answer, summed over requests.", _US),
    Metric("http_2xx", "Requests2XX", "counter", "requests", "Answers of HTTP 2xx."),
    Metric("http_4xx", "Requests4XX", "counter", "requests", "Answers of HTTP 4xx."),
    Metric("http_5xx", "Requests5XX", "counter", "requests", "Answers of HTTP 5xx."),
    Metric("last_queue_time", "QueueTime", "gauge", "s",
           "Time in the queue of the newest batch, in whole milliseconds.", 1e-3),
    Metric("last_compute_time", "PredictionTime", "gauge", "s",
           "Time the model's handler took for the newest batch.", 1e-3),
    Metric("last_worker_time", "WorkerThreadTime", "gauge", "s",
           "Time of the newest batch between frontend and worker, in whole milliseconds.", 1e-3),
)  # fmt: skip


def configuration() -> dict[str, object]:
    """TorchServe's `metrics.yaml`: its own families of requests and workers, and the batch."""
    host = ["Level", "Hostname"]
    model = ["model_name", "model_version", "hostname"]
    requests = [
        {"name": f"Requests{status}", "unit": "Count", "dimensions": host}
        for status in ("2XX", "4XX", "5XX")
    ]
    sums = [
        {"name": "ts_inference_requests_total", "unit": "Count", "dimensions": model},
        {"name": "ts_inference_latency_microseconds", "unit": "Microseconds", "dimensions": model},
        {"name": "ts_queue_latency_microseconds", "unit": "Microseconds", "dimensions": model},
    ]
    times = [
        {"name": name, "unit": "Milliseconds", "dimensions": host}
        for name in ("QueueTime", "WorkerThreadTime")
    ]
    load = {
        "name": "WorkerLoadTime",
        "unit": "Milliseconds",
        "dimensions": ["WorkerName", *host],
    }
    batch = {"name": BATCH_SIZE, "unit": "count", "dimensions": ["ModelName"]}
    phases = [
        {"name": name, "unit": "ms", "dimensions": ["ModelName", "Level"]}
        for name in ("HandlerTime", "PredictionTime")
    ]
    return {
        "dimensions": ["ModelName"],
        "ts_metrics": {"counter": [*requests, *sums], "gauge": [*times, load]},
        "model_metrics": {"gauge": phases, "histogram": [batch]},
    }
