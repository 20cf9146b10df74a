"""Prometheus metrics of a model served over HTTP, as ASGI middleware.

It runs inside engines' own environments (with the project's root on PYTHONPATH), so it imports
nothing but the standard library, Starlette (with its anyio) and `prometheus_client`; NVML is used
where there is one.

    metrics = ModelMetrics()
    app.add_middleware(PrometheusMiddleware, metrics=metrics)
    app.mount("/metrics", make_asgi_app(metrics.registry))
    ...
    add_tokens(request.scope, 12)  # in a handler, as tokens are generated
"""

from servers.middleware.metrics import BUCKETS_S, GPU_MEMORY, ModelMetrics, add_tokens
from servers.middleware.prometheus import CLIENT_DISCONNECTED, INCOMPLETE, PrometheusMiddleware
from servers.middleware.routes import UNKNOWN, template

__all__ = [
    "BUCKETS_S",
    "CLIENT_DISCONNECTED",
    "GPU_MEMORY",
    "INCOMPLETE",
    "UNKNOWN",
    "ModelMetrics",
    "PrometheusMiddleware",
    "add_tokens",
    "template",
]
