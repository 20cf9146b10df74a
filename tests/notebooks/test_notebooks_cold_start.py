"""What notebook 08 counts, draws and checks."""

import http.server
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notebooks import checks_cold_start, cold_start
from notebooks.cold_start import Start, Watcher
from servers import instances, paths
from servers.instances import Instance
from servers.locks import write_atomically

COLD = Start("a", 0.1, 0.5, 2.0, (1.0, 0.3, 0.1, 0.1, 0.11, 0.1), 0.1, True)
WARM = Start("b", 1.0, 1.0, 1.0, (0.1, 0.1, 0.1), 0.1, True)


@given(st.lists(st.floats(0.001, 10)), st.floats(0.001, 10))
def test_leading_slow_answers_end_at_the_first_that_is_not(latencies_s, limit_s):
    count = cold_start.leading_slow(latencies_s, limit_s)
    assert all(one > limit_s for one in latencies_s[:count])
    assert count == len(latencies_s) or latencies_s[count] <= limit_s


def test_steady_is_the_end_of_the_last_slow_answer_and_never_before_the_first_answer():
    assert COLD.slow == 2
    assert COLD.first_answer_s == pytest.approx(3.0)
    assert COLD.steady_s == pytest.approx(3.3)
    assert WARM.slow == 0
    assert WARM.steady_s == WARM.first_answer_s == pytest.approx(1.1)


def test_the_figures_and_the_table_hold_every_server_and_milestone():
    starts = [COLD, WARM]
    assert [list(trace.x) for trace in cold_start.phases(starts).data][2] == [2.0, 1.0]
    assert [list(trace.y) for trace in cold_start.curves(starts).data] == [
        list(COLD.latencies_s), list(WARM.latencies_s)
    ]  # fmt: skip
    table = cold_start.table(starts)
    assert table.loc["steady", "a"] == "3.30 s"
    assert table.loc["slow answers", "a"] == "2 of 6"


RIGHT = {"times_slower": 10.0, "too_early": 56.0}


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ({"times_slower": 1.0}, "answer that came first"),
        ({"times_slower": "ten"}, "`times_slower` is a number"),
        ({"too_early": 26.0}, "`times_slower` is right"),
        ({"too_early": True}, "`too_early` is a number"),
        ({"too_early": float("nan")}, "`too_early` is a number"),
    ],
)
def test_a_wrong_answer_gets_a_hint(change, hint):
    feedback = checks_cold_start.early_traffic(COLD, rate_rps=20.0, **{**RIGHT, **change})
    assert not feedback.ok
    assert hint in feedback.text
    # It hints where to look and never tells.
    assert "56" not in feedback.text and "10" not in feedback.text


def test_the_right_answer_is_right_and_may_be_rounded_as_a_table_is():
    for too_early in (56.0, 55, 57.5):
        answer = {**RIGHT, "too_early": too_early}
        assert checks_cold_start.early_traffic(COLD, rate_rps=20.0, **answer).ok


class Late(http.server.BaseHTTPRequestHandler):
    """Healthy only after a while."""

    healthy_s = 0.0

    def do_GET(self):
        self.send_response(200 if time.monotonic() >= self.healthy_s else 503)
        self.end_headers()

    def log_message(self, *_):
        pass


def test_the_watcher_tells_an_open_port_from_a_health_check_that_answers(tmp_path, monkeypatch):
    monkeypatch.setenv("SERVING_LAB_HOME", str(tmp_path))
    watcher = Watcher("late", "/health")
    watcher.start()
    Late.healthy_s = time.monotonic() + 0.5
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Late) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        state = instance(server.server_address[1])
        assert paths.home() == tmp_path.resolve()
        write_atomically(instances.state_file("late"), state.to_json())
        watcher.join(timeout=60)
        server.shutdown()
    assert watcher.port_s is not None and watcher.health_s is not None
    assert watcher.port_s < watcher.health_s
    assert watcher.health_s >= 0.4


def test_the_watcher_gives_up_when_the_start_is_over(tmp_path, monkeypatch):
    monkeypatch.setenv("SERVING_LAB_HOME", str(tmp_path))
    watcher = Watcher("nobody", "/health")
    watcher.start()
    watcher.over.set()
    watcher.join(timeout=60)
    assert (watcher.is_alive(), watcher.port_s) == (False, None)


def instance(port: int) -> Instance:
    base = f"http://127.0.0.1:{port}"
    return Instance(
        name="late", engine="late", pid=0, create_time=0.0, argv=(), ports={"http": port},
        host="127.0.0.1", base_url=base, ready_url=base, metrics_url=None, log="", settings={},
        model=None, served_name="late", device="cpu", protocols=(), job="engine",
        started_s=time.time(), ready_timeout_s=1.0, stop_grace_s=1.0,
    )  # fmt: skip
