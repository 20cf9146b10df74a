import base64
import shlex

import plotly.graph_objects as go
import pytest

from lab.load import Load
from measure.warmup import Warmup
from notebooks import kit, pictures
from servers.instances import Instance


@pytest.fixture
def shown(monkeypatch):
    """What a notebook would display."""
    seen = []
    monkeypatch.setattr(
        pictures, "display", lambda data, **more: seen.append((data, more["metadata"]))
    )
    monkeypatch.setenv(pictures.STATIC, "1")
    return seen


def test_labels_are_as_short_as_tells_the_runs_apart(make_run):
    plain = make_run("triton", [0.1], engine="triton")
    one = make_run("triton", [0.1], engine="triton", settings={"max_num_seqs": 1})
    lists = make_run(
        "triton", [0.1], engine="triton", settings={"preferred_batch_sizes": [8, 16, 32]}
    )
    assert kit.labels([make_run("vllm", [0.1]), plain]) == ["vllm", "triton"]
    assert kit.labels([plain, one]) == ["triton", "triton max_num_seqs=1"]
    eight = make_run("triton", [0.1], engine="triton", users=8)
    assert kit.labels([plain, eight]) == ["triton, 4 users", "triton, 8 users"]
    assert kit.labels([plain, lists]) == [plain.run_id, lists.run_id]


def test_labels_name_settings_only_where_they_differ(make_run):
    alike = {"max_num_seqs": 1}
    closed = make_run("triton", [0.1], engine="triton", settings=alike)
    scheduled = make_run("triton", [0.1], engine="triton", settings=alike, rate_rps=2.5)
    assert kit.labels([closed, scheduled]) == ["triton, 4 users", "triton, poisson 2.5 requests/s"]
    assert kit.labels([closed]) == ["triton"]
    assert kit.labels([]) == []


def test_values_stand_in_the_order_in_which_requests_were_wanted(make_run):
    run = make_run("vllm", [0.010 + 0.001 * i for i in range(40)], rate_rps=1.0)
    wanted_s, ttft_s = kit.values(run)
    assert wanted_s.tolist() == [float(number) for number in range(40)]
    first = run.records.column("first_content_s").to_pylist()
    assert ttft_s.tolist() == pytest.approx([at - number for number, at in enumerate(first)])


def test_moments_are_one_dot_a_request(make_run):
    figure = kit.moments(make_run("vllm", [0.1] * 7), make_run("triton", [0.2] * 9))
    assert [len(trace.x) for trace in figure.data] == [7, 9]
    assert [trace.name for trace in figure.data] == ["vllm", "triton"]


def test_comparison_shows_only_the_quantities_asked_for(make_run):
    table = kit.compare(make_run("vllm", [0.1] * 40), quantities=("ttft_from_schedule_s",))
    assert [row for row in table.index if "p50" in row] == ["TTFT from schedule p50"]


def test_comparison_shows_values_intervals_and_a_dash_where_the_sample_is_too_small(make_run):
    run = make_run("vllm", [0.010 + 0.001 * i for i in range(40)])
    table = kit.compare(run, make_run("triton", [0.2], engine="triton"))
    assert list(table.columns) == ["vllm", "triton"]
    low, high = run.summary["ttft_s"]["ci95"]["p50"]
    cell = table.loc["TTFT p50", "vllm"]
    assert (
        cell.startswith("29 ms [")
        and f"{low * 1000:.0f} ms" in cell
        and f"{high * 1000:.0f}" in cell
    )
    assert table.loc["TTFT p95", "triton"] == "–"
    assert "TTFT p99" not in table.index
    assert table.loc["answered", "triton"] == "1"


def test_figures_hold_a_line_for_each_run_and_name_their_axes(make_run):
    runs = [make_run("vllm", [0.01] * 50), make_run("triton", [0.02] * 50, engine="triton")]
    for figure in (kit.tails(*runs), kit.spread(*runs, quantity="e2e_s")):
        assert {"vllm", "triton"} <= {trace.name for trace in figure.data}
        assert figure.layout.xaxis.title.text and figure.layout.yaxis.title.text


def test_run_keeps_its_colour_from_figure_to_figure(make_run):
    one, two, three = (make_run("vllm", [0.01 * n] * 50, users=n) for n in (1, 2, 3))
    first, second = kit.tails(one, two), kit.tails(two, three)

    def colour(figure, name):
        return next(t.line.color for t in figure.data if t.name == name and t.showlegend is None)

    assert colour(first, "vllm, 2 users") == colour(second, "vllm, 2 users")
    assert colour(second, "vllm, 3 users") not in {
        colour(first, "vllm, 1 user"),
        colour(first, "vllm, 2 users"),
    }


def test_long_log_lines_of_an_engine_are_cut(capsys):
    kit._say("x" * 300)
    assert len(capsys.readouterr().out.strip()) == 100


def test_stopping_stops_what_the_notebook_started_and_nothing_else(monkeypatch, capsys):
    stopped = []
    monkeypatch.setattr(kit, "_started", ["prometheus", "vllm"])
    monkeypatch.setattr(kit.stopping, "stop_all", lambda names, say: stopped.extend(names))
    kit.down()
    assert stopped == ["vllm", "prometheus"]
    kit.down()
    assert stopped == ["vllm", "prometheus"]
    assert "started nothing" in capsys.readouterr().out


def test_static_picture_is_a_png_with_its_words(shown):
    pictures.show(go.Figure(go.Scatter(y=[1, 3, 2])), "three points")
    ((data, metadata),) = shown
    if "image/png" not in data:
        pytest.skip("no Chromium here")
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
    assert data["text/plain"] == "three points"
    assert metadata["image/png"]["alt"] == "three points"


def test_figures_in_a_row_are_drawn_by_one_program_which_ends_and_is_started_anew():
    first = pictures.png(go.Figure(go.Scatter(y=[1, 3, 2])))
    if first is None:
        pytest.skip("no Chromium here")
    (drawing,) = pictures._drawing
    other = pictures.png(go.Figure(go.Scatter(y=[3, 1, 2])))
    assert pictures._drawing == [drawing]
    assert other.startswith(b"\x89PNG") and other != first
    # It has ended by itself, as it does when nothing is drawn for some seconds.
    pictures._kill(drawing)
    drawing.wait()
    assert pictures.png(go.Figure(go.Scatter(y=[1, 3, 2]))) == first
    (anew,) = pictures._drawing
    pictures.stop_drawing()
    assert anew.returncode == 0


def test_words_stand_where_no_browser_can_draw(shown, monkeypatch, capsys):
    pictures.stop_drawing()
    monkeypatch.setenv("BROWSER_PATH", "/nonexistent/chromium")
    pictures.show(go.Figure(), "an empty plot")
    assert shown == []
    assert "Chromium" in (said := capsys.readouterr().out) and "an empty plot" in said


def test_printed_command_is_one_that_a_person_can_type():
    instance = Instance(
        name="triton",
        engine="triton",
        pid=1,
        create_time=0.0,
        argv=(),
        ports={"http": 8000, "grpc": 8001},
        host="127.0.0.1",
        base_url="http://127.0.0.1:8000",
        ready_url="",
        metrics_url=None,
        log="",
        settings={},
        model=None,
        served_name="ignored",
        device="cpu",
        protocols=("kserve-generate",),
        job="engine",
        started_s=0.0,
        ready_timeout_s=1.0,
        stop_grace_s=1.0,
    )
    words = shlex.split(
        kit._by_hand(Load("completion", 15.0, Warmup("fixed", 3.0), users=4), instance)
    )
    assert words[:3] == ["locust", "-f", "loadtests/completion.py"]
    for flag, value in (("-u", "4"), ("-t", "15s"), ("--model", "llm"), ("-H", instance.base_url)):
        assert words[words.index(flag) + 1] == value
    assert not any(word.startswith("/") or word == "--engine-json" for word in words)
