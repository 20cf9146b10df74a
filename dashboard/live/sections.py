"""What stands where on the Live page: the pairs of client and engine, then sections. Facts only."""

from dataclasses import dataclass

from dashboard import panels
from dashboard.panels import Group, Panel, Topic


@dataclass(frozen=True)
class Pair:
    """The same quantity as the client and as the engine measure it, in one figure."""

    key: str
    title: str
    client: Panel
    engine: Panel

    @property
    def both(self) -> tuple[Panel, Panel]:
        """The two panels."""
        return self.client, self.engine


@dataclass(frozen=True)
class Section:
    """Panels under one heading. Only an open one is asked for; `key` says so in the address."""

    key: str
    title: str
    group: Group
    topics: tuple[Topic, ...]
    first_open: bool = False

    @property
    def panels(self) -> tuple[Panel, ...]:
        """Its panels, but for those that stand in a pair."""
        return tuple(
            panel
            for panel in panels.group(self.group)
            if panel.topic in self.topics and not panel.pair
        )


_PAIRS = {
    "client_ttft": "TTFT: client and engine",
    "client_chunk_gap": "Time between tokens: client and engine",
    "client_e2e": "E2E: client and engine",
    "client_tokens": "Output tokens: client and engine",
    "client_requests": "Requests: client and engine",
    "client_in_flight": "In flight at the client, running in the engine",
}

PAIRS = tuple(
    Pair(key.removeprefix("client_"), title, one, panels.panel(one.pair))
    for key, title in _PAIRS.items()
    for one in (panels.panel(key),)
)

SECTIONS = (
    Section("batching", "Queue and batches", "engine", ("batching",), first_open=True),
    Section("phases", "Latency and phases in the engine", "engine", ("latency", "phases")),
    Section("cache", "KV cache, prefix cache, speculation", "engine", ("cache",)),
    Section("requests", "Requests by outcome", "engine", ("requests",)),
    Section("tokens", "Prompts and answers", "engine", ("tokens",)),
    Section(
        "load",
        "Load, as the client sees it",
        "client",
        ("latency", "requests", "tokens", "batching", "machine"),
    ),
    Section("processes", "Processes", "process", ("machine",), first_open=True),
    Section("gpus", "GPUs", "gpu", ("machine",), first_open=True),
)
