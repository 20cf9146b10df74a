"""Every panel's query, asked of a real Prometheus filled with what real engines said.

`tests/recorded/metrics` holds `/metrics` of every engine and version of the lab. A panel must have
series wherever the engine's catalogue says that it has the metric.
"""

import math
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import recorded
from recorded import Recording

from dashboard import panels, prometheus, promql, sources
from dashboard.live import asking
from dashboard.prometheus import Failure
from servers.catalog import ENGINES
from servers.contract import Metric
from servers.prometheus import binary

pytestmark = pytest.mark.engine

RECORDINGS = recorded.every()
END_S = int(time.time()) - 3600
WINDOW_S = 5
SPAN = promql.Span(END_S - recorded.SCRAPES, END_S, 1)
THREE = "SERVING_LAB_TEST_PROMETHEUS_3"

# What a recording without a GPU, and without what went wrong, cannot have: by name, with why.
ELSEWHERE = {
    "vllm:gpu_cache_usage_perc": "Triton in NVIDIA's image, which runs vLLM on a GPU",
    "vllm:time_per_output_token_seconds": "Triton in NVIDIA's image, which runs vLLM on a GPU",
    "Requests5XX": "an answer of HTTP 5xx, of which there was none",
    "ray_lab_classify_variant_requests_total": "the knob pipeline, which is off",
}
ONLY_IN_NVIDIAS_IMAGE = "In NVIDIA's image"
# Label values that no recording has, because nothing of the kind happened in it.
DID_NOT_HAPPEN = {
    ("bentoml", "requests_failed"),
    ("ray-serve", "requests_failed"),
    ("ray-serve", "requests_cancelled"),
    ("fastapi-batcher", "requests_failed"),
}


def _metrics(recording: Recording) -> tuple[Metric, ...]:
    if recording.kind == "client":
        return panels.CLIENT
    return ENGINES[recording.kind].metrics


def _kept_out(recording: Recording, metric: Metric) -> bool:
    """Whether the recording cannot have the metric, for a reason that is written down above."""
    only_elsewhere = metric.name in ELSEWHERE or metric.help.startswith(ONLY_IN_NVIDIAS_IMAGE)
    loop = {"closed": "client_offered_total", "open": "client_users"}.get(recording.version)
    speculative = "speculative" in metric.help and recording.kind == "vllm-fastapi"
    return only_elsewhere or metric.name == loop or speculative


def _target(recording: Recording) -> dict[str, str]:
    """The labels of the target, as the lab's files for Prometheus give them."""
    if recording.kind == "client":
        return {"job": "client", "instance": f"client-{recording.version}"}
    jobs = {name: engine.job for name, engine in ENGINES.items()}
    return {
        "job": jobs[recording.kind],
        "engine": recording.kind,
        "instance": recording.kind,
        "title": recording.title,
    }


def _programs() -> dict[str, Path]:
    """The lab's own Prometheus, and one of the next generation where a variable names it."""
    other = os.environ.get(THREE)
    return {"lab": Path()} | ({"3.x": Path(other)} if other else {})


@pytest.fixture(scope="module", params=list(_programs()))
def filled(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The address of a Prometheus that holds all recordings, as if scraped up to `END_S`."""
    program = binary.ensure() if request.param == "lab" else _programs()[request.param]
    folder = tmp_path_factory.mktemp("recorded")
    texts = []
    for recording in RECORDINGS:
        target = _target(recording)
        texts.append(recorded.openmetrics(recording, target, END_S, recording.kind == "exporter"))
        told = ",".join(f'{key}="{value}"' for key, value in target.items())
        for name, value in (("up", 1), ("scrape_duration_seconds", 0.02)):
            seconds = range(END_S - recorded.SCRAPES + 1, END_S + 1)
            texts += [f"{name}{{{told}}} {value} {at}" for at in seconds]
    recorded.backfill(program.with_name("promtool"), "\n".join(texts), folder / "data")
    (folder / "prometheus.yml").write_text("{}\n")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    argv = [
        *(program, f"--config.file={folder / 'prometheus.yml'}"),
        *(f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}"),
    ]
    url = f"http://127.0.0.1:{port}"
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(argv, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 60
            while isinstance(prometheus.query(url, "up"), Failure):
                assert server.poll() is None and time.monotonic() < deadline, folder
                time.sleep(0.1)
            yield url
        finally:
            server.terminate()
            server.wait(30)


def test_every_engine_of_the_lab_is_recorded() -> None:
    kinds = {recording.kind for recording in RECORDINGS}
    assert kinds == {name for name, one in ENGINES.items() if one.metrics} | {"client"}


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda one: f"{one.kind}-{one.version}")
def test_the_engine_exports_each_metric_of_its_catalogue_by_that_name(recording: Recording) -> None:
    missing = {
        metric.name
        for metric in _metrics(recording)
        if metric.name not in recording.names and not _kept_out(recording, metric)
    }
    assert missing == set()


def _asked(recording: Recording) -> Iterator[tuple[panels.Panel, Metric, str]]:
    """Each query of each panel for this recording: the panel, the metric, the expression."""
    groups = {"client": ("client",), "exporter": ("process", "gpu")}
    for panel in panels.PANELS:
        if panel.group not in groups.get(recording.kind, ("engine",)):
            continue
        metrics = panels.metrics_of(panel, recording.kind)
        for part in panel.parts:
            over = [metric for metric in metrics if metric.concept == part.over]
            for metric in [metric for metric in metrics if metric.concept == part.concept]:
                alone = replace(panel, parts=(part,))
                matchers = _matchers(panel, recording)
                for query in panels.queries(alone, (metric, *over), matchers, WINDOW_S):
                    yield panel, metric, query.expression


def _matchers(panel: panels.Panel, recording: Recording) -> dict[str, list[str]]:
    if panel.group == "gpu":
        return {"UUID": ["GPU-00000000-0000", "GPU-00000001-0000"]}
    if recording.kind == "exporter":
        return {"instance": ["reference", "exporter"]}
    return {"instance": [_target(recording)["instance"]]}


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda one: f"{one.kind}-{one.version}")
def test_every_panel_has_series_of_every_metric_the_engine_exports(
    filled: str, recording: Recording
) -> None:
    asked, silent = 0, []
    for panel, metric, expression in _asked(recording):
        answer = prometheus.query_range(filled, expression, SPAN)
        assert not isinstance(answer, Failure), (expression, answer)
        asked += 1
        known = _kept_out(recording, metric) or (recording.kind, metric.concept) in DID_NOT_HAPPEN
        if not answer and not known:
            silent.append(f"{panel.key}: {expression}")
    assert asked > 3
    assert silent == []


def test_every_panel_s_query_for_a_quantile_gives_a_number_within_the_bounds_drawn(
    filled: str,
) -> None:
    """Prometheus interpolates within the bucket whose bounds the figure draws."""
    at_s, level, held = END_S - 3, 0.9, set()
    for recording in RECORDINGS:
        kind = sources.LOAD_TEST if recording.kind == "client" else recording.kind
        source = sources.Source(_target(recording)["instance"], kind, "runs", True)
        found = asking.read(filled, SPAN, [source])
        assert not isinstance(found, Failure)
        for readings in found:
            several = [one for one in readings.by_source.get(source.name, ()) if one.histograms]
            drawn = [
                bounds
                for one in several
                if (bounds := one.bounds(level, one.times_s.index(at_s))) is not None
            ]
            for query in readings.quantile_queries(level).values():
                answer = prometheus.query(filled, query, at_s)
                assert not isinstance(answer, Failure), (query, answer)
                for value in (series.last for series in answer if not math.isnan(series.last)):
                    assert any(
                        bounds.lower * 0.999 <= value <= bounds.upper * 1.001 for bounds in drawn
                    ), (query, value, drawn)
                    held.add((recording.kind, readings.panel.key))
    assert {("vllm", "ttft"), ("client", "client_e2e"), ("ray-serve", "e2e")} <= held, held


def test_a_rate_is_that_of_the_recording(filled: str) -> None:
    """5 s of the earlier moment, then 5 s of the later: the window holds the whole step."""
    (recording,) = [one for one in RECORDINGS if one.kind == "tgi"]
    (sample,) = [one for one in recording.samples if one.name == "tgi_request_success"]
    assert sample.before is not None
    panel, metrics = panels.panel("requests"), _metrics(recording)
    (query, *_) = panels.queries(panel, metrics, {"instance": ["tgi"]}, WINDOW_S)
    answer = prometheus.query(filled, query.expression, END_S - 3)
    assert not isinstance(answer, Failure)
    assert answer[0].last * WINDOW_S == pytest.approx(
        (sample.after - sample.before) * WINDOW_S / (WINDOW_S - 1), rel=0.3
    )


def test_a_hit_rate_is_hits_over_lookups(filled: str) -> None:
    (recording,) = [one for one in RECORDINGS if one.kind == "vllm"]
    panel = panels.panel("draft_acceptance")
    (query,) = panels.queries(panel, _metrics(recording), {"instance": ["vllm"]}, WINDOW_S)
    answer = prometheus.query(filled, query.expression, END_S - 3)
    assert not isinstance(answer, Failure)

    def grown(name: str) -> float:
        (one,) = [sample for sample in recording.samples if sample.name == name]
        return one.after - (one.before or 0)

    accepted = grown("vllm:spec_decode_num_accepted_tokens_total")
    drafted = grown("vllm:spec_decode_num_draft_tokens_total")
    assert answer[0].last == pytest.approx(accepted / drafted)
