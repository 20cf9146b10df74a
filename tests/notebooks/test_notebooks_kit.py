import base64

import plotly.graph_objects as go
import pytest

from notebooks import kit, pictures


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


def test_stopping_stops_what_the_notebook_started_and_nothing_else(monkeypatch, capsys):
    stopped = []
    monkeypatch.setattr(kit, "_started", ["prometheus", "vllm"])
    monkeypatch.setattr(kit.supervisor, "down", lambda name, say: stopped.append(name))
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


def test_words_stand_where_no_browser_can_draw(shown, monkeypatch, capsys):
    monkeypatch.setenv("BROWSER_PATH", "/nonexistent/chromium")
    pictures.show(go.Figure(), "an empty plot")
    assert shown == []
    assert "Chromium" in (said := capsys.readouterr().out) and "an empty plot" in said
