"""The page Memory: what is held, of what it is made, the forecast beside it."""

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from dashboard_runs import HOSTILE, manifest, records, write_run
from hypothesis import given
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest
from stub_nvml import GIB, Card, Nvml

from dashboard import prometheus, promql, sources
from dashboard.live import asking as panel_asking
from dashboard.memory import asking, figures, observed, plan, tables
from dashboard.memory.observed import Observed
from dashboard.prometheus import Failure
from measure import server_metrics
from measure.store import open_run
from measure.writer import note_engine
from servers import forecast, state, supervisor
from servers.catalog import ENGINES
from servers.memory import MIB, Memory, Part, placed

APP = str(Path(__file__).resolve().parents[2] / "dashboard" / "app.py")
TOKEN = 23_040
ON_CPU = forecast.document(
    Memory(
        (
            placed("cpu", "weights", 256 * MIB, "135M parameters"),
            placed("cpu", "KV cache", 1024 * MIB, "kv_cache_gib=1"),
            Part("overhead", 1600 * MIB, 0, "measured"),
        ),
        kv_bytes_per_token=TOKEN,
    ),
    "cpu",
)
GROWS = forecast.document(
    Memory((placed("cpu", "weights", MIB, ""), placed("cpu", "KV cache", 9 * MIB, "", later=True))),
    "cpu",
)
CONFIG = {"num_gpu_blocks": "364", "block_size": "128", "kv_cache_memory_bytes": "1073741824"}


def series(*rows: tuple[str, dict[str, str], list[float]]) -> pa.Table:
    flat = [
        (float(t_s), name, list(labels.items()), float(value))
        for name, labels, values in rows
        for t_s, value in enumerate(values)
    ]
    columns = [list(column) for column in zip(*flat, strict=True)]
    return pa.table(columns, schema=server_metrics.SCHEMA)


def run_with(root: Path, run_id: str, kept: object, *rows: tuple[str, dict, list[float]]) -> None:
    write_run(root, run_id, records(120))
    if kept is not None:
        note_engine(root / run_id, memory_plan=kept)
    if rows:
        server_metrics.write(root / run_id, series(*rows))


PROCESS = ("lab_instance_memory_bytes", {"kind": "pss"}, [2.9e9, 3.0e9, 3.1e9, 3.0e9])
USAGE = ("vllm:kv_cache_usage_perc", {"engine": "0"}, [0.0, 0.5, 1.0, 0.25])
INFO = ("vllm:cache_config_info", {"engine": "0", **CONFIG}, [1.0] * 4)


@pytest.mark.parametrize(
    "document", [None, "text", {}, {"parts": 3}, ON_CPU | {"parts": [{"what": "x"}]}]
)
def test_a_forecast_that_is_none_or_cannot_be_read_is_none(document: object) -> None:
    assert plan.read(document) is None


def test_a_forecast_is_read_as_it_was_written() -> None:
    found = plan.read(ON_CPU)
    assert found is not None
    assert found.total("host") == (2880 * MIB, 2880 * MIB)
    assert found.part("weights", "host") == 256 * MIB
    assert found.kv_bytes_per_token == TOKEN
    assert plan.read(GROWS).total("host") == (MIB, 10 * MIB)  # type: ignore[union-attr]


def test_bytes_of_each_gpu_are_added_up_over_its_gpus() -> None:
    two = Memory((placed("cuda", "weights", 3 * GIB, ""), Part("overhead", 1, None, "")), 2)
    found = plan.read(forecast.document(two, "cuda"))
    assert found is not None
    assert found.total("gpu") == (6 * GIB, 6 * GIB)
    assert found.unknown("gpu") == ["overhead"]


def test_the_kv_cache_is_blocks_times_tokens_times_bytes_else_what_is_known() -> None:
    mine, grows = plan.read(ON_CPU), plan.read(GROWS)
    assert observed.kv_bytes(CONFIG, mine) == 364 * 128 * TOKEN
    assert observed.kv_bytes(CONFIG, None) == 1073741824
    assert observed.kv_bytes({"num_gpu_blocks": "None"}, mine) == 1024 * MIB
    assert observed.kv_bytes({}, grows) is None
    for odd in ("9" * 400, "²", "-1", "1e9", " 5"):
        assert observed.kv_bytes({"kv_cache_memory_bytes": odd}, None) is None
        assert observed.kv_bytes({"num_gpu_blocks": odd, "block_size": "1"}, mine) == 1024 * MIB
    assert observed.kv_bytes({}, None) is None


def test_a_run_is_split_into_weights_kv_cache_and_the_rest(tmp_path: Path) -> None:
    run_with(tmp_path, "a", ON_CPU, PROCESS, USAGE, INFO)
    found = observed.of_run(open_run(tmp_path / "a"), ENGINES)
    assert found is not None and (found.where, found.kind) == ("host", "pss")
    reserved = 364 * 128 * TOKEN
    by_kind = {layer.kind: layer.values.tolist() for layer in observed.layers(found)}
    assert by_kind["kv used"] == pytest.approx([0, reserved / 2, reserved, reserved / 4])
    assert by_kind["weights"] == [256 * MIB] * 4
    assert by_kind["other"][0] == pytest.approx(2.9e9 - 256 * MIB - reserved)
    (row,) = tables.beside([found]).to_dict("records")
    assert row["measured peak"] == "3.1 GB"
    assert row["peak ÷ start"] == "× 1.03"
    assert row["KV cache in use, at most"] == "1.07 GB"


@given(
    st.lists(st.floats(0, 1e10), min_size=2, max_size=9),
    st.lists(st.floats(0, 1), min_size=1, max_size=9),
    st.none() | st.integers(0, 10**10),
    st.sampled_from([None, ON_CPU, GROWS]),
)
def test_layers_are_never_negative_and_add_up_to_what_is_held(
    held: list[float], usage: list[float], kv_bytes: int | None, document: Any
) -> None:
    moments = np.arange(float(len(held)))
    shares = (np.linspace(-1.0, 9.0, len(usage)), np.array(usage))
    one = Observed(
        "x", "host", "pss", (moments, np.array(held)), shares, kv_bytes, plan.read(document)
    )
    found = observed.layers(one)
    assert all((layer.values >= 0).all() for layer in found)
    assert sum(layer.values for layer in found) == pytest.approx(np.array(held), rel=1e-9, abs=1e-3)


def test_while_an_instance_was_away_it_holds_nothing() -> None:
    times_s = np.array([0.0, 1.0, 2.0, 60.0, 61.0])
    held = np.array([4.0, 4.0, 4.0, 3.0, 3.0])
    one = Observed("x", "host", "pss", (times_s, held), None, None, plan.read(ON_CPU))
    drawn = [trace for trace in figures.over_time(one, dark=False).data if trace.stackgroup]
    total = np.sum([np.array(trace.y, dtype=float) for trace in drawn], axis=0)
    assert list(drawn[0].x) == [0.0, 1.0, 2.0, 2.001, 59.999, 60.0, 61.0]
    assert list(total) == [4.0, 4.0, 4.0, 0.0, 0.0, 3.0, 3.0]


def test_memory_on_gpus_goes_before_that_of_processes(tmp_path: Path) -> None:
    on_gpu = ("lab_instance_gpu_memory_bytes", {"gpu": "0"}, [3e10] * 4)
    kept = forecast.document(
        Memory(
            (placed("cuda", "weights", 10 * GIB, ""), placed("cuda", "KV cache", 0, "")), 1, 0.5
        ),
        "cuda",
        80 * GIB,
    )
    run_with(tmp_path, "a", kept, PROCESS, on_gpu)
    found = observed.of_run(open_run(tmp_path / "a"), ENGINES)
    assert found is not None and found.where == "gpu"
    assert found.kv_bytes == 30 * GIB
    names = [trace.name for trace in figures.over_time(found, dark=False).data]
    assert names == ["weights", "KV cache set aside", "other", "forecast"]
    assert tables.whose(found) == "GPU memory"


def test_what_requests_fill_makes_two_lines_and_is_not_split_off(tmp_path: Path) -> None:
    run_with(tmp_path, "a", GROWS, PROCESS)
    found = observed.of_run(open_run(tmp_path / "a"), ENGINES)
    assert found is not None
    names = [trace.name for trace in figures.over_time(found, dark=True).data]
    assert names == [
        "weights",
        "KV cache so far, and other",
        "forecast at the start",
        "forecast when full",
    ]
    frame = figures.numbers(found)
    assert frame.columns[0] == "time (seconds)"
    assert all(name.endswith("(bytes)") for name in frame.columns[1:])


def test_preemptions_and_prefix_hits_of_a_run(tmp_path: Path) -> None:
    found = observed.kv_activity(
        series(
            USAGE,
            ("vllm:num_preemptions_total", {}, [0, 2, 4, 6]),
            ("vllm:prefix_cache_queries_total", {}, [0, 10, 20, 30]),
            ("vllm:prefix_cache_hits_total", {}, [0, 5, 10, 15]),
        ),
        ENGINES["vllm"].metrics,
    )
    assert found.preemptions is not None and found.preemptions[1][-1] == 2
    assert found.prefix_hits is not None and found.prefix_hits[1][-1] == 0.5
    assert observed.kv_activity(series(PROCESS), ()).usage is None


def _page(**params: str) -> AppTest:
    app = AppTest.from_file(APP, default_timeout=60)
    app.query_params.update(params)
    return app.switch_page("views/memory.py").run()


def _words(app: AppTest) -> str:
    kinds = ("markdown", "caption", "subheader", "text", "info", "warning", "error", "code")
    return "\n".join(str(one.value) for kind in kinds for one in app.get(kind)).replace("\\", "")


def test_without_prometheus_it_says_what_to_do_and_that_runs_can_be_looked_at(lab: Path) -> None:
    app = _page()
    assert not app.exception
    assert "lab up prometheus" in _words(app) and "choose Runs above" in _words(app)


def test_a_store_without_runs_says_how_to_make_one(lab: Path) -> None:
    app = _page(of="runs")
    assert not app.exception
    assert "No run yet" in _words(app) and "lab run" in app.code[0].value


def test_runs_are_shown_with_their_forecast_and_older_ones_without(lab: Path) -> None:
    run_with(lab / "runs", "a", ON_CPU, PROCESS, USAGE, INFO)
    run_with(lab / "runs", "b", None, PROCESS)
    run_with(lab / "runs", "c", ON_CPU)
    app = _page(of="runs", runs="a,b,c")
    assert not app.exception
    words = _words(app)
    assert "c: no memory was recorded with this run" in words
    assert "No GPU memory was measured with a, b" in words
    (table,) = [one.value for one in app.dataframe if "measured peak" in one.value.columns]
    assert table.set_index("").loc["a", "peak ÷ start"] == "× 1.03"
    assert table.set_index("").loc["b", "peak ÷ start"] == "–"
    assert "135M parameters" in words
    assert "Without a forecast: b." in words and "No longer running" not in words
    assert len(app.get("plotly_chart")) >= 3


def test_a_run_that_goes_on_has_its_memory_at_its_end(lab: Path) -> None:
    writer = write_run(lab / "runs", "a", records(120), finish=False)
    words = _words(_page(of="runs", runs="a"))
    assert "a: its memory is written when the run ends" in words
    assert "no memory was recorded" not in words
    writer.close()


def test_of_what_runs_no_longer_the_forecast_is_with_its_runs(
    lab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = time.time()
    held = np.array([now_s - 60, now_s - 30]), np.array([1e9, 2e9])
    states = {"left": "ended", "old": "runs", "new": "runs"}
    several = [
        Observed(
            name, "host", "pss", held, None, None, plan.read(ON_CPU) if name == "new" else None
        )
        for name in states
    ]
    known = [sources.Source(name, "vllm", state, True) for name, state in states.items()]
    monkeypatch.setattr(sources, "discover", lambda *_: known)
    monkeypatch.setattr(asking, "read", lambda *_: several)
    monkeypatch.setattr(panel_asking, "read", lambda *_: [])
    app = _page()
    assert not app.exception
    words = _words(app)
    assert "No longer running: left. Forecasts are kept with runs: choose Runs above." in words
    assert "Without a forecast: old. Older than forecasts" in words
    assert tables.without_forecast(several[2:], ["new"]) == []


def test_hostile_words_in_a_forecast_are_text(lab: Path) -> None:
    document = ON_CPU | {"parts": [one | {"how": HOSTILE} for one in ON_CPU["parts"]]}
    run_with(lab / "runs", "a", document, PROCESS)
    app = _page(of="runs", runs="a")
    assert not app.exception
    bare = re.compile(r"(?<!\\)<(script|img)")
    assert not any(bare.search(str(one.value)) for one in (*app.markdown, *app.caption))


def test_damaged_series_are_an_error_beside_the_rest(lab: Path) -> None:
    run_with(lab / "runs", "a", ON_CPU, PROCESS)
    run_with(lab / "runs", "b", ON_CPU, PROCESS)
    (lab / "runs" / "b" / server_metrics.FILE).write_bytes(b"PAR1 nothing")
    app = _page(of="runs", runs="a,b")
    assert not app.exception
    assert any("server metrics" in str(one.value) for one in app.error)
    assert app.get("plotly_chart")


def test_an_address_of_nonsense_shows_what_is_now(lab: Path) -> None:
    app = _page(of="<b>")
    assert not app.exception
    assert app.query_params["of"] in ("now", ["now"])


@pytest.fixture
def on_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An instance that a stand-in for NVML says is on its stand-in GPU, scraped by Prometheus."""
    monkeypatch.setenv("SERVING_LAB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SERVING_LAB_RUNS", str(tmp_path / "runs"))
    monkeypatch.delenv("SERVING_LAB_PROMETHEUS_URL", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (tmp_path / "nvml").mkdir()
    nvml = Nvml(tmp_path / "nvml")
    for name, value in nvml.environment().items():
        monkeypatch.setenv(name, value)
    quiet = lambda _: None  # noqa: E731
    try:
        server = supervisor.up("reference", say=quiet)
        kept = forecast.document(Memory((placed("cuda", "weights", 10 * GIB, "told"),)), "cuda")
        state.keep(replace(server, memory_plan=kept))
        nvml.tell(Card(), processes=((0, server.pid, 12 * GIB),))
        supervisor.up("exporter", say=quiet)
        yield supervisor.up("prometheus", say=quiet).base_url
    finally:
        supervisor.down(say=quiet)


@pytest.mark.engine
def test_live_memory_on_a_stand_in_gpu_is_read_and_held_against_the_forecast(on_gpu: str) -> None:
    deadline = time.monotonic() + 60
    source = sources.Source("reference", "reference", "runs", True)
    while True:
        span = promql.Span.ending(time.time(), 60)
        found = asking.read(on_gpu, span, [source], asking.plans())
        assert not isinstance(found, Failure), found
        if found[0].where == "gpu":
            break
        assert time.monotonic() < deadline
        time.sleep(0.5)
    (one,) = found
    assert one.peak_bytes == 12 * GIB
    (row,) = tables.beside([one]).to_dict("records")
    assert (row["of what"], row["peak ÷ start"]) == ("GPU memory", "× 1.2")
    app = _page(of="now", range="1 min")
    assert not app.exception
    assert "reference: GPU memory" in _words(app)
    assert "There is no GPU here" not in _words(app)


def test_a_failing_prometheus_is_said_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    failure = Failure("timeout", "too slow")
    monkeypatch.setattr(prometheus, "query_range", lambda *_: failure)
    span = promql.Span.ending(1e9, 60)
    source = sources.Source("x", "vllm", "runs", True)
    assert asking.read("http://h", span, [source], {}) is failure


def test_only_what_an_engine_exports_is_asked_of_it() -> None:
    asked = asking.queries(sources.Source('v"1', "vllm", "runs", True))
    assert 'instance="v\\"1"' in asked.gpu and "kv_cache_usage" in asked.usage
    assert asking.queries(sources.Source("b", "bentoml", "runs", True)).usage == ""
    assert manifest("x")["engine"].get("memory_plan") is None
