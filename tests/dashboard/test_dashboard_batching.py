"""The page Batching: sweeps found in the store, their front, the map of knobs."""

import json
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from dashboard_runs import HOSTILE, manifest, records, write_run
from streamlit.testing.v1 import AppTest

from dashboard import theme
from dashboard.batching import knob_map, sweeps, timelines, tradeoff, tradeoff_figure
from dashboard.batching import tradeoff_tables as tables
from dashboard.quantities import quantity
from measure import server_metrics
from measure.records import Status, TokenSource
from measure.store import RunInfo, open_run
from measure.verdict import ClientStats
from servers.catalog import ENGINES
from servers.contract import Engine, Knob

APP = str(Path(__file__).resolve().parents[2] / "dashboard" / "app.py")
E2E = quantity("e2e_s")
assert E2E is not None
AXES = tradeoff.Axes("tokens/s", E2E, "p50")


def info(
    run_id: str,
    users: int = 1,
    *,
    speed: float = 100.0,
    p50: float | None = 0.1,
    ci95: tuple[float, float] | None = None,
    verdict: str = "valid",
    requests: tuple[int, int, int] = (50, 0, 0),
    changes: dict[str, Any] | None = None,
    **settings: Any,
) -> RunInfo:
    made = manifest(run_id, settings=settings, **(changes or {}))
    made["load"]["arrival"] = {"kind": "closed", "users": users}
    ok, failed, cancelled = requests
    counts = {"total": sum(requests), "ok": ok, "failed": failed, "cancelled": cancelled}
    summary = {
        "window_s": 10.0,
        "requests": counts,
        "output_tokens_per_s": speed,
        "e2e_s": {"count": 50, "p50": p50, "ci95": {"p50": ci95}},
        "client": {"verdict": verdict},
    }
    return RunInfo(Path(run_id), made, summary, True, False)


def find(*infos: RunInfo) -> list[sweeps.Sweep]:
    return sweeps.find(infos, ENGINES)


def ids(sweep: sweeps.Sweep) -> list[str]:
    return [member.info.run_id for member in sweep.members]


def test_a_grid_of_two_knobs_and_loads_is_one_sweep():
    grid = product((1, 4), (64, 128), (1, 8))
    made = [
        info(f"r{i}", users, max_num_seqs=seqs, max_num_batched_tokens=tokens)
        for i, (seqs, tokens, users) in enumerate(grid)
    ]
    (found,) = find(*made)
    assert found.knobs == ("max_num_batched_tokens", "max_num_seqs")
    assert len(found.members) == 8 and len(found.lines) == 4 and found.loads == (1, 8)
    for members in found.lines.values():
        assert [member.load for member in members] == [1, 8]


def test_load_alone_is_a_sweep_and_a_repeat_alone_is_none():
    (found,) = find(info("a", 1), info("b", 4), info("c", 4))
    assert found.knobs == () and ids(found) == ["a", "b", "c"]
    assert [one.info.run_id for one in found.newest] == ["a", "c"]
    assert find(info("a", 4), info("b", 4)) == []


def test_three_knobs_that_differ_at_once_are_no_sweep():
    one = {"max_num_seqs": 1, "max_model_len": 256, "stream_interval": 1}
    other = {"max_num_seqs": 4, "max_model_len": 512, "stream_interval": 4}
    assert find(info("a", **one), info("b", **other)) == []
    (found,) = find(
        info("a", **one), info("b", **other), info("c", **(other | {"max_num_seqs": 2}))
    )
    assert (found.knobs, sorted(ids(found))) == (("max_num_seqs",), ["b", "c"])


@pytest.mark.parametrize("change", [{"engine": "triton"}, {"model": "other"}])
def test_other_engines_and_models_are_other_sweeps(change):
    assert find(info("a", 1), info("b", 4, changes=change)) == []


def test_a_knob_that_an_older_run_does_not_name_was_at_its_default():
    default = ENGINES["vllm"].knob("max_num_seqs").default
    (found,) = find(info("a", 1), info("b", 4, max_num_seqs=default))
    assert found.knobs == ()


def test_the_key_of_a_sweep_stays_while_runs_are_added():
    first = find(info("a", 1, max_num_seqs=1), info("b", 1, max_num_seqs=4))
    later = find(
        info("a", 1, max_num_seqs=1), info("b", 1, max_num_seqs=4), info("c", 8, max_num_seqs=8)
    )
    assert first[0].key == later[0].key


def test_damaged_and_running_runs_are_left_out():
    broken = RunInfo(Path("x"), None, None, False, False, "damaged")
    assert find(info("a", 1), broken, replace(info("b", 4), running=True)) == []


def place(*infos: RunInfo) -> tradeoff.Tradeoff:
    (found,) = find(*infos)
    return tradeoff.place(found, AXES)


def test_an_invalid_client_is_hollow_and_never_on_the_front():
    placed = place(
        info("a", 1, speed=10, p50=0.2), info("b", 4, speed=90, p50=0.1, verdict="invalid")
    )
    assert [one.point.name for one in placed.front] == ["a"]
    marks = [
        trace for trace in tradeoff_figure.figure(placed, False).data if trace.name == "all runs"
    ]
    assert list(marks[-1].marker.symbol) == ["circle", "circle-open"]
    (row,) = tables.other_table(placed).to_dict("records")
    assert row["standing"] == "client invalid: never on the front"


def test_overlapping_intervals_are_said_not_to_be_told_apart():
    placed = place(
        info("a", 1, speed=10, p50=0.10, ci95=(0.08, 0.12)),
        info("b", 4, speed=20, p50=0.11, ci95=(0.09, 0.13)),
        info("c", 8, speed=5, p50=0.11, ci95=(0.1, 0.12)),
        info("d", 16, speed=5, p50=0.90, ci95=(0.8, 1.0)),
    )
    front = tables.front_table(placed).set_index("run")["standing"]
    assert front["a"] == "on the front; not told apart from 4 users"
    assert front["b"] == "on the front"
    others = tables.other_table(placed).set_index("run")["standing"]
    assert others["c"].startswith("not told apart from 1 user")
    assert others["d"] == "beaten by 1 user; 4 users and 1 more"


def test_the_newest_of_repeats_is_judged_and_small_samples_are_left_out():
    placed = place(
        info("a", 1, speed=99, p50=0.01),
        info("b", 1, speed=10),
        info("c", 4, p50=None),
        info("d", 8),
    )
    assert [one.point.name for one in placed.front] == ["d"]
    assert placed.left_out == ("c",)
    repeat = tables.other_table(placed).set_index("run")["standing"]
    assert repeat["a"] == "an earlier run of the same"


def test_a_run_that_turns_work_away_is_a_cross_and_never_on_the_front():
    placed = place(
        info("a", 1, speed=10, p50=0.2, requests=(199, 1, 0)),
        info("b", 4, speed=90, p50=0.1, requests=(1075, 566, 0)),
        info("c", 8, speed=95, p50=0.1, requests=(90, 0, 10), verdict="invalid"),
        info("d", 16, speed=96, p50=0.1, requests=(80, 10, 10)),
    )
    assert [one.point.name for one in placed.front] == ["a"]
    marks = tradeoff_figure.figure(placed, False).data[-1]
    assert list(marks.marker.symbol) == ["circle", "x", "x-open", "x"]
    assert "34.5 % of its finished requests failed" in marks.customdata[1]
    failed = pd.concat([tables.front_table(placed), tables.other_table(placed)])
    assert list(failed["failed"]) == ["1 (0.5 %)", "566 (34.5 %)", "0", "10 (11.1 %)"]
    standing = tables.other_table(placed).set_index("run")["standing"]
    assert standing["b"] == "never on the front: 34.5 % of its finished requests failed"
    assert standing["c"] == "client invalid: never on the front"
    assert standing["d"].endswith("10 % of its requests were cut off when the load ended")
    failing, cut = tables.remarks(placed)
    assert "2 runs, of whose finished requests more than 1 % failed" in failing
    assert "2 runs, of whose requests more than 5 % were cut off" in cut


def test_what_is_left_out_is_said_of_one_run_and_of_several():
    empty = {"p50": None, "requests": (0, 70, 0)}
    one = place(info("a", 1), info("b", 4), info("c", 8, **empty), info("d", 16, p50=None))
    assert one.all_failed == ("c",) and one.left_out == ("d",)
    assert tables.remarks(one) == [
        "1 run is left out: every request failed.",
        "1 run is left out: its sample is too small for E2E p50.",
    ]
    several = place(
        info("a", 1, **empty), info("b", 4, **empty), info("c", 8, p50=None), info("d", 9, p50=None)
    )
    assert tables.remarks(several) == [
        "2 runs are left out: every request failed.",
        "2 runs are left out: their samples are too small for E2E p50.",
    ]
    lost = place(info("a", 1, requests=(9, 1, 0)), info("b", 4, requests=(9, 0, 1)))
    assert all("front: 1 run, of whose" in words for words in tables.remarks(lost))
    assert tables.remarks(place(info("a", 1), info("b", 4))) == []


def test_without_intervals_nothing_is_called_alike():
    placed = place(
        info("a", 1, speed=10, p50=9.0),
        info("b", 4, speed=20, p50=0.2),
        info("c", 8, speed=5, p50=9.5, ci95=(9.4, 9.6)),
    )
    (front,) = tables.front_table(placed)["standing"]
    assert front == "on the front; its sample is too small for an interval"
    others = tables.other_table(placed).set_index("run")["standing"]
    assert others["a"] == (
        "behind 4 users; without an interval of both, whether by chance cannot be told"
    )
    assert "not told apart" not in others["c"]


def test_the_numbers_of_the_figure_name_their_units():
    frame = tables.numbers(place(info("a", 1), info("b", 4)))
    assert {"throughput (tokens/s)", "e2e p50 (seconds)", "on the front"} <= set(frame.columns)
    assert len(frame) == 2


def test_the_map_puts_flags_of_one_meaning_in_one_row_and_says_why_there_is_none():
    known = knob_map.engines_with_knobs(ENGINES)
    assert "reference" not in known
    page = knob_map.render(known, list(known), knob_map.shared(known, list(known)))
    for words in (
        "max_<wbr>batch",
        "maxBatchDelay",
        "batch_<wbr>wait_<wbr>timeout_<wbr>s",
        "chooses",
    ):
        assert words in page
    detail = knob_map.detail(known, list(known), "max_queue_delay_us")
    assert (detail.iloc[:, 1] == "–").sum() >= 3


def test_engines_whose_knobs_are_the_very_same_are_one_column():
    titles = [engine.title for engine in knob_map.engines_with_knobs(ENGINES).values()]
    assert "vLLM, vLLM FastAPI" in titles


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_explains_only_knobs_that_others_have_and_it_has_not(name):
    every = {knob.name for engine in ENGINES.values() for knob in engine.knobs}
    assert set(ENGINES[name].no_knob) <= every - {knob.name for knob in ENGINES[name].knobs}


def test_the_map_escapes_what_engines_say():
    knob = Knob("k", HOSTILE, "int", 1, HOSTILE)
    engine = Engine("e", HOSTILE, "", {}, lambda _: None, (knob,))  # type: ignore[arg-type, return-value]
    page = knob_map.render({"e": engine, "f": engine}, ["e", "f"], ["k"])
    assert "<script" not in page and "<img" not in page


def with_series(path: Path, rows: list[tuple[str, dict[str, str], list[float]]]) -> None:
    flat = [
        (float(t_s), name, list(labels.items()), float(value))
        for name, labels, values in rows
        for t_s, value in enumerate(values)
    ]
    columns = [list(column) for column in zip(*flat, strict=True)]
    server_metrics.write(path, pa.table(columns, schema=server_metrics.SCHEMA))


def test_a_runs_batch_queue_and_requests_in_flight_are_read_of_its_series(lab: Path):
    write_run(lab / "runs", "a", records(100))
    grows = [10.0 * i for i in range(8)]
    with_series(
        lab / "runs" / "a",
        [
            ("vllm:iteration_tokens_total_sum", {"engine": "0"}, grows),
            ("vllm:iteration_tokens_total_count", {"engine": "0"}, [2.0 * i for i in range(8)]),
            ("vllm:num_requests_waiting", {"engine": "0"}, [3.0] * 8),
            ("vllm:num_requests_running", {"engine": "0"}, [2.0] * 8),
        ],
    )
    found = timelines.of_run(open_run(lab / "runs" / "a"), ENGINES)
    ((title, (_, batch)),) = found.batches.items()
    assert title == "Batch, all tokens a step" and set(batch[1:]) == {5.0}
    assert found.waiting is not None and set(found.waiting[1]) == {3.0}
    assert found.in_flight[1].max() > 0 and found.missing == ()
    line = theme.lines_for_runs(["a"], False)
    assert len(timelines.flight_curves({"a": found}, line).rates) == 2


def test_throughput_in_requests_is_what_was_answered_and_older_runs_are_named_that_keep_none():
    made = [info("a", 1), info("b", 4)]
    made[0].summary["answered_rps"] = 3.0
    (sweep,) = find(*made)
    placed = tradeoff.place(sweep, replace(AXES, throughput="requests/s"))
    assert [one.point.throughput for one in placed.placed] == [3.0]
    assert placed.too_old == ("b",)
    assert any("made before" in words and "b" in words for words in tables.remarks(placed))


def test_while_a_run_goes_on_its_requests_in_flight_end_before_those_that_have_no_record_yet(
    lab: Path,
):
    made = records(300)
    writer = write_run(lab / "runs", "a", made, finish=False)
    going_on = timelines.of_run(open_run(lab / "runs" / "a"), ENGINES).in_flight
    writer.close(ClientStats(cpu_s=1.0, wall_s=60.0, max_in_flight=9, loop_lag_p99_s=0.001))
    times_s, flying = timelines.of_run(open_run(lab / "runs" / "a"), ENGINES).in_flight
    slowest_s = max(one.done_s - one.sent_s for one in made if one.done_s)
    assert going_on[0][-1] <= times_s[-1] - slowest_s
    assert list(going_on[1]) == list(flying[: going_on[1].size])
    assert 0 < going_on[1].size < flying.size


def test_tokens_counted_at_the_end_of_answers_make_no_batch_over_time_and_it_says_so(lab: Path):
    write_run(lab / "runs", "a", records(100), engine="tgi")
    with_series(
        lab / "runs" / "a",
        [
            ("tgi_request_generated_tokens_sum", {}, [8.0 * i for i in range(8)]),
            ("tgi_batch_inference_count", {"method": "decode"}, [float(i) for i in range(8)]),
        ],
    )
    found = timelines.of_run(open_run(lab / "runs" / "a"), ENGINES)
    assert found.batches == {}
    assert any("when it has ended" in words for words in found.missing)


def _page(**params: str) -> AppTest:
    app = AppTest.from_file(APP, default_timeout=60)
    app.query_params.update(params)
    return app.switch_page("views/batching.py").run()


def _words(app: AppTest) -> str:
    kinds = ("markdown", "caption", "subheader", "info", "warning", "error", "code")
    return "\n".join(str(one.value) for kind in kinds for one in app.get(kind)).replace("\\", "")


def _sweep_on_disk(root: Path) -> None:
    for name, seqs in (("a", 1), ("b", 16)):
        write_run(root, name, records(300, seed=seqs), settings={"max_num_seqs": seqs})


def test_an_empty_store_says_how_to_make_a_sweep_and_shows_the_map(lab: Path):
    app = _page()
    assert not app.exception
    assert "No sweep yet" in _words(app) and "lab run" in app.code[0].value
    assert any("maxBatchDelay" in one.proto.body for one in app.get("html"))


def test_a_sweep_is_drawn_and_named_in_the_address(lab: Path):
    _sweep_on_disk(lab / "runs")
    app = _page(latency="E2E", quantile="p90")
    assert not app.exception
    key = app.selectbox(key="sweep").value
    assert app.query_params["sweep"] in (key, [key])
    # Its cells and heads are Markdown.
    assert any(r"max\_num\_seqs" in table.value.columns for table in app.table)
    assert "E2E p90 against output tokens/s" in _words(app)
    assert "No series of the engine were kept" in _words(app)
    again = _page(sweep=key)
    assert again.selectbox(key="sweep").value == key


def test_a_sweep_of_which_every_request_failed_says_so(lab: Path):
    for name, seqs in (("a", 1), ("b", 16)):
        refused = [
            replace(
                one,
                first_content_s=None,
                last_content_s=None,
                output_tokens=None,
                first_chunk_tokens=None,
                token_source=TokenSource.NONE,
                chunk_s=[],
                chunks=0,
                status=Status.HTTP_ERROR,
                http_status=429,
                error="full",
            )
            for one in records(200)
        ]
        write_run(lab / "runs", name, refused, settings={"max_num_seqs": seqs})
    app = _page()
    assert not app.exception
    assert "2 runs are left out: every request failed" in _words(app)
    assert "samples are too small" not in _words(app)


def test_a_run_that_goes_on_has_its_series_at_its_end(lab: Path):
    writer = write_run(lab / "runs", "a", records(120), finish=False)
    words = _words(_page(runs="a"))
    assert "a: The engine's series are written when the run ends" in words
    writer.close()
    assert "No series of the engine were kept" in _words(_page(runs="a"))


def test_an_address_of_a_sweep_that_is_not_here_says_so(lab: Path):
    _sweep_on_disk(lab / "runs")
    app = _page(sweep="<b>gone</b>")
    assert not app.exception
    assert any("gone" in str(one.value) for one in app.warning)


def test_damaged_series_are_an_error_beside_the_rest(lab: Path):
    _sweep_on_disk(lab / "runs")
    (lab / "runs" / "b" / server_metrics.FILE).write_bytes(b"PAR1 nothing")
    app = _page(runs="a,b")
    assert not app.exception
    assert any("server metrics" in str(one.value) for one in app.error)


def test_the_engines_of_the_map_are_in_the_address(lab: Path):
    app = _page(engines="BentoML")
    assert not app.exception
    (page,) = [one.proto.body for one in app.get("html") if "max_<wbr>latency" in one.proto.body]
    assert "maxBatchDelay" not in page


def test_hostile_names_are_text(lab: Path):
    for name, seqs in (("a", 1), ("b", 16)):
        write_run(lab / "runs", name, records(300), settings={"max_num_seqs": seqs}, model=HOSTILE)
    app = _page(runs="a,b")
    assert not app.exception
    for one in [*app.markdown, *app.caption, *app.warning]:
        assert "<script" not in str(one.value) and "[x](http" not in str(one.value)
    assert json.dumps(app.selectbox(key="sweep").options)
