"""Reading a real vLLM's /metrics, whichever server stands before the engine."""

import httpx
from prometheus_client.parser import text_string_to_metric_families

from servers.instances import Instance
from servers.vllm.metrics import METRICS


def scrape(server: Instance) -> dict[tuple[str, frozenset], float]:
    text = httpx.get(str(server.metrics_url), timeout=60).text
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(server: Instance, concept: str) -> float:
    """A declared counter, summed over the series its selector keeps."""
    (metric,) = (one for one in METRICS if one.concept == concept)
    found = 0.0
    for (name, labels), sample in scrape(server).items():
        wanted = {k: (v,) if isinstance(v, str) else v for k, v in metric.selector.items()}
        if name == metric.name and all(dict(labels)[k] in v for k, v in wanted.items()):
            found += sample
    return found
