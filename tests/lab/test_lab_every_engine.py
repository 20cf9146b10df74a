"""What every engine that answers owes, whichever it is: a new one in the catalogue is tested here.

One start an engine, with one client and then with 32, until `kill -9` ends it under load.
"""

import contextlib
import io
import ipaddress
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from rich.console import Console

from dashboard.engine_side import mean_batches
from lab import experiment, services
from lab.load import Load, protocol_for
from loadtests.asking import PromptFlags
from measure.store import Run
from measure.warmup import Warmup
from measure.window import Window
from servers import instances, planner, processes, supervisor
from servers.catalog import ENGINES
from servers.contract import Engine, Value
from servers.instances import Instance

pytestmark = [pytest.mark.engine, pytest.mark.load]

ANSWERING: dict[str, tuple[str, dict[str, Value]]] = {
    **{name: (name, {}) for name, engine in sorted(ENGINES.items()) if engine.protocols},
    "naive fastapi-batcher": ("fastapi-batcher", {"batcher": "polling"}),
}
CLIENTS = 32
UNDER_LOAD_S = 3.0
# How far what an engine states of its memory may be off: the same libraries take more or less on
# another processor, and pages shared with a second instance count half.
MEMORY_WITHIN = 1.5


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A lab of its own, whose Prometheus all engines share; stopped whatever happens."""
    folder = tmp_path_factory.mktemp("lab")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SERVING_LAB_HOME", str(folder / "home"))
        patch.setenv("SERVING_LAB_RUNS", str(folder / "runs"))
        # Before the first engine: its first samples are wanted too.
        services.watch(lambda _: None)
        yield folder
        supervisor.down(say=lambda _: None)


@dataclass(frozen=True)
class Life:
    """An engine from its start to its end."""

    engine: Engine
    instance: Instance
    held_bytes: int
    listening: set[tuple[str, int]]
    quiet: list[Run]
    busy: list[Run]
    said: str
    killed_s: float
    ps: str
    down: str
    left_listening: list[int]
    memory_files: set[str]


@pytest.fixture(scope="module", params=ANSWERING)
def life(request: pytest.FixtureRequest, home: Path) -> Life:
    name, settings = ANSWERING[request.param]
    engine = ENGINES[name]
    spoken = {
        one for one in ("chat", "completion", "classify") if protocol_for(one, engine.protocols)
    }
    # One scenario of those that generate, and the classifier's.
    scenarios = sorted(spoken - ({"chat"} if "completion" in spoken else set()), reverse=True)
    model = "tiny" if scenarios != ["classify"] and engine.resolve_model else None
    instance = experiment.ensure_instance(engine, lambda _: None, settings=settings, model=model)
    (held,) = [one.host_bytes for one in planner.look().holders if one.name == instance.name]
    quiet, busy = [], []
    killer, out = Killer(instance, home / "runs"), io.StringIO()
    for scenario in scenarios:
        quiet.append(drive(engine, instance, scenario, 1))
        listening = sockets(instance)
        if scenario == scenarios[-1]:
            killer.start()
        busy.append(drive(engine, instance, scenario, CLIENTS, out))
    killer.join()
    ps, down = lab("ps"), lab("down", instance.name)
    left = [port for _, port in listening if not set(processes.listeners(port)) <= foreign(home)]
    killed_s = killer.killed_s - busy[-1].manifest["epoch_s"]
    return Life(
        engine,
        instance,
        held or 0,
        listening,
        quiet,
        busy,
        out.getvalue(),
        killed_s,
        ps,
        down,
        left,
        killer.memory_files,
    )


class Killer(threading.Thread):
    """`kill -9` of the first process, when a run has been answered for some seconds."""

    def __init__(self, instance: Instance, runs: Path) -> None:
        super().__init__(daemon=True)
        self._instance, self._runs = instance, runs
        self._known: set[Path] = set()
        self.killed_s = 0.0
        self.memory_files: set[str] = set()

    def start(self) -> None:
        self._known = set(self._runs.iterdir())
        super().start()

    def run(self) -> None:
        while not any(
            list(new.glob("shards/*")) for new in set(self._runs.iterdir()) - self._known
        ):
            time.sleep(0.1)
        time.sleep(1.0 + UNDER_LOAD_S)
        self.memory_files = processes.shared_memory(instances.members(self._instance))
        self.killed_s = time.time()
        if instances.leader_alive(self._instance):
            os.kill(self._instance.pid, signal.SIGKILL)


def drive(
    engine: Engine, instance: Instance, scenario: str, users: int, out: io.StringIO | None = None
) -> Run:
    load = Load(
        scenario,
        duration_s=4.0 if users == 1 else 8.0,
        warmup=Warmup("fixed", 1.0),
        users=users,
        prompts=PromptFlags(output_tokens=None if scenario == "classify" else "8"),
    )
    return experiment.run(engine, instance, load, Console(file=out or io.StringIO(), width=160)).run


def lab(*argv: str) -> str:
    done = subprocess.run([sys.executable, "-m", "lab", *argv], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def sockets(instance: Instance) -> set[tuple[str, int]]:
    """The TCP addresses that its processes listen on."""
    pids = {member.pid for member in instances.members(instance)}
    return {
        (one.laddr.ip, one.laddr.port)
        for one in psutil.net_connections(kind="tcp")
        if one.status == psutil.CONN_LISTEN and one.pid in pids
    }


def foreign(home: Path) -> set[int]:
    """Processes of another lab on this machine, which may take a port once it is free."""
    found = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            mark = process.environ().get(processes.MARK, "")
            if mark and not mark.startswith(str(home)):
                found.add(process.pid)
    return found


def is_loopback(address: str) -> bool:
    parsed = ipaddress.ip_address(address)
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).is_loopback


def test_it_is_warmed_up_unless_it_has_no_model(life: Life):
    assert (life.instance.warmup is not None) == (life.engine.warm_requests is not None)
    assert (life.engine.warm_requests is not None) == (life.engine.environment is not None)


def test_it_takes_the_memory_that_it_states(life: Life):
    stated = planner.stated(life.instance)
    assert (stated is None) == (life.engine.environment is None)
    if stated is not None:
        start = stated.host(later=False)
        assert start / MEMORY_WITHIN < life.held_bytes < start * MEMORY_WITHIN


def test_its_usual_load_is_answered_without_a_failure_by_one_client_and_by_many(life: Life):
    for run in (*life.quiet, *life.busy[:-1]):
        assert run.finished
        assert run.summary["requests"]["failed"] == 0, run.summary["requests"]["by_error"]
        assert run.summary["requests"]["ok"] > 0
    early = [
        row for row in life.busy[-1].records.to_pylist() if row["done_s"] < life.killed_s - 0.2
    ]
    assert len(early) >= CLIENTS
    assert {row["status"] for row in early} == {"ok"}


def test_it_listens_on_this_machine_only_at_ports_that_it_declared_or_the_kernel_chose(life: Life):
    assert all(is_loopback(address) for address, _ in life.listening), life.listening
    low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    declared = set(life.instance.ports.values())
    assert next(iter(life.instance.ports.values())) in {port for _, port in life.listening}
    assert {port for _, port in life.listening if not low <= port <= high} <= declared


def test_its_own_metrics_are_there_from_the_beginning_of_its_first_load(life: Life):
    first = life.quiet[0].server_metrics.to_pylist()
    assert min(row["t_s"] for row in first if row["metric"] == "up" and _is_of(row, life)) <= 0.5


def _is_of(row: dict[str, Any], life: Life) -> bool:
    return dict(row["labels"])["instance"] == life.instance.name


def test_many_clients_are_computed_together_by_its_own_metrics(life: Life):
    if life.engine.environment is None:
        pytest.skip("it computes nothing")
    for quiet, busy in zip(life.quiet, life.busy, strict=True):
        end_s = life.killed_s if busy is life.busy[-1] else busy.window.end_s
        window = Window(busy.window.start_s, end_s)
        alone = dict(mean_batches(quiet.server_metrics, life.engine.metrics, quiet.window))
        together = dict(mean_batches(busy.server_metrics, life.engine.metrics, window))
        assert together, f"no metric of {life.engine.name} tells its batch"
        assert all(together[title] > 1.5 * alone[title] for title in together), (alone, together)


def test_killed_under_load_what_fails_of_the_run_is_counted_and_it_is_not_called_running(
    life: Life,
):
    run = life.busy[-1]
    counts = run.summary["requests"]
    assert run.finished
    assert sum(counts["by_error"].values()) == counts["failed"]
    (line,) = [one for one in life.ps.splitlines() if one.startswith(f"{life.instance.name} ")]
    assert "unhealthy" in line or "dead" in line
    # BentoML's workers hold its socket themselves: orphaned, they answer on until `lab down`.
    assert counts["failed"] > 0 or "unhealthy" in line
    assert life.said.count(f"the first process of {life.instance.name} ended during the run") == 1
    assert run.manifest["engine"]["ended_in_run"] is True
    assert not any("ended_in_run" in one.manifest["engine"] for one in life.quiet)


def test_down_leaves_no_process_no_port_and_no_shared_memory(life: Life):
    assert life.instance.name in life.down
    assert instances.members(life.instance) == []
    assert life.left_listening == []
    assert [file for file in life.memory_files if Path(file).exists()] == []
    prefix = life.instance.shm_prefix
    assert prefix is None or list(Path("/dev/shm").glob(f"{prefix}*")) == []
    assert instances.load(life.instance.name) is None
