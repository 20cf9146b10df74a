"""What a Ray Serve instance exports, under the concepts all engines share.

Names that begin with `ray_serve_` are Ray's own, `ray_lab_` are counted by the lab's deployments
through Ray's metrics API. Ray 2.60 makes a histogram's sum from the middles of its buckets: its
quantiles hold within a bucket, its mean does not (0.73 of the truth for batches of 1 and 2). The
average batch therefore comes from two counters, and `ray_serve_actual_batch_size` is left out.
"""

from servers.contract import Metric

_MS = 1e-3
_CLASSIFY = {"application": "classify", "method": "POST"}
_CLASSIFIERS = {"deployment": ("ClassifierA", "ClassifierB")}

METRICS = (
    Metric("requests_ok", "ray_serve_num_http_requests_total", "counter", "requests",
           "Requests answered with HTTP 200, counted by the HTTP proxy.",
           selector={**_CLASSIFY, "status_code": "200"}),
    Metric("requests_refused", "ray_serve_num_http_requests_total", "counter", "requests",
           "Requests that were wrong.",
           selector={**_CLASSIFY, "status_code": ("400", "404", "405")}),
    Metric("requests_failed", "ray_serve_num_http_requests_total", "counter", "requests",
           "Requests that failed: in a replica (500), or refused by a full queue (503).",
           selector={**_CLASSIFY, "status_code": ("500", "503")}),
    Metric("requests_cancelled", "ray_serve_num_http_requests_total", "counter", "requests",
           "Requests whose client left.", selector={**_CLASSIFY, "status_code": "499"}),
    Metric("e2e", "ray_serve_http_request_latency_ms", "histogram", "s",
           "From the request's arrival in the proxy to its answer. In buckets of Ray's choice.",
           _MS, _CLASSIFY, exact_sum=False),
    Metric("e2e_ok", "ray_serve_http_request_latency_ms", "histogram", "s",
           "The same, of requests that were answered.",
           _MS, {**_CLASSIFY, "status_code": "200"}, exact_sum=False,
           bounds=(1, 2, 5, 10, 20, 50, 100, 200, 300, 400, 500, 1000, 2000, 5000, 10000)),
    Metric("queue_time", "ray_serve_batch_wait_time_ms", "histogram", "s",
           "How long a batch waited to be full, one value a batch. What its requests waited for "
           "the batch before is not in it. In buckets.", _MS, exact_sum=False),
    Metric("compute_time", "ray_serve_batch_execution_time_ms", "histogram", "s",
           "Computing one batch. In buckets.", _MS, exact_sum=False),
    Metric("running", "ray_serve_replica_processing_queries", "gauge", "requests",
           "Requests in the classifier's replicas: in a batch, or waiting for one.",
           selector=_CLASSIFIERS),
    Metric("waiting", "ray_serve_deployment_queued_queries", "gauge", "requests",
           "Requests for which no replica has a place yet."),
    Metric("classify_inferences", "ray_lab_classify_texts_total", "counter", "inferences",
           "Texts classified. Divided by the executions it is the average batch."),
    Metric("classify_executions", "ray_serve_batches_processed_total", "counter", "executions",
           "Batches computed."),
    Metric("variant_requests", "ray_lab_classify_variant_requests_total", "counter", "requests",
           "In a pipeline, the requests sent to each variant.", by="variant"),
    Metric("replicas", "ray_serve_deployment_replica_healthy", "gauge", "replicas",
           "Healthy replicas of the classifier; autoscaling changes it.", selector=_CLASSIFIERS),
    Metric("replicas_target", "ray_serve_autoscaling_target_replicas", "gauge", "replicas",
           "Replicas that autoscaling wants now.", selector=_CLASSIFIERS),
    Metric("http_requests", "ray_serve_num_http_requests_total", "counter", "requests",
           "Answers by HTTP status, counted by the HTTP proxy.", selector=_CLASSIFY,
           by="status_code"),
    Metric("processing_time", "ray_serve_deployment_processing_latency_ms", "histogram", "s",
           "A request's time in a replica, its wait for a batch included. In buckets.", _MS,
           _CLASSIFIERS, exact_sum=False),
    Metric("batch_fill", "ray_serve_batch_utilization_percent", "histogram", "ratio",
           "How full a batch was, of the largest allowed. In buckets.", 0.01, exact_sum=False),
    Metric("batch_queue", "ray_serve_batch_queue_length", "gauge", "requests",
           "Requests in replicas that wait for their batch."),
)  # fmt: skip
