"""What the notebook on load generators does to a client, and holds it against. Part of the kit."""

import json
import os
import re
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import psutil
from rich.console import Console

from dashboard import units
from dashboard.compare import definition_tables
from lab import calibrate as calibration
from lab.calibrate_level import Level
from lab.calibrate_truth import Truth, decode, join
from measure import rosetta
from measure.quantiles import Floats, carried, quantile
from measure.store import Run
from notebooks import kit
from notebooks.errors import NotebookError
from servers.instances import Instance
from servers.paths import ROOT

_NAMES = {"ttft_s": "TTFT", "itl_s": "ITL", "tpot_s": "TPOT", "e2e_s": "E2E"}
_TIMEOUT_S = 60.0
# Beside two programs at 0 a thirtieth of a core is left, or a thirteenth. With more of it nobody
# starves on a machine at rest; on a busy one nothing at all may be answered with the less.
_NICE, _LESS_NICE = 12, 8
_ENOUGH = 20
_NOTHING = "nothing was answered: the client had too little of a core to ask, which says it all"
# It ends by itself, also if nobody is left to stop it.
_HOG = """
import os, sys, time
os.sched_setaffinity(0, {int(sys.argv[1])})
end = time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    pass
"""


@dataclass(frozen=True)
class Beside:
    """TTFT as the reference server sent it and as a client saw it, of the same requests."""

    true_s: Floats
    measured_s: Floats

    @property
    def error_s(self) -> Floats:
        """Measured − true, of each request."""
        return self.measured_s - self.true_s


def calibrate(*streams: int, seconds: float = 3.0) -> list[Level]:
    """`lab calibrate`, short: the load test beside the reference server's truth, level by level."""
    levels = ",".join(str(number) for number in streams)
    print(f"$ lab calibrate --quick --levels {levels} --duration {seconds:g}s")
    console = Console(file=sys.stdout, width=100, force_jupyter=False, force_terminal=False)
    found = calibration.calibrate(calibration.plan(levels, 1, seconds, quick=True), console)
    calibration.finish(found, console, keep=False)
    return found


@contextmanager
def starved(
    instance: Instance, *, hogs: int = 2, seconds: float = 8.0, nice: int = _NICE
) -> Iterator[None]:
    """Starve the client that is started meanwhile, from the moment it has requests under way.

    It is bound to one core and shares it with `hogs` programs that never rest, at a lower
    priority than theirs (nice), for so many seconds. The server is left alone. Nothing of that
    needs rights that a user does not have.
    """
    done = threading.Event()
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    watcher = threading.Thread(target=_starve, args=(instance, hogs, seconds, nice, before, done))
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def load_starved(instance: Instance, **load: Any) -> Run:
    """`kit.load` by a starved client.

    Where so few requests are answered that nothing can be learned (the machine has other work to
    do), it says so and loads once more, with a larger share of a core.
    """
    for nice in (_NICE, _LESS_NICE):
        kit.forget(instance)
        with starved(instance, nice=nice):
            run = kit.load(instance, **load)
        if run.summary["requests"]["ok"] >= _ENOUGH or nice == _LESS_NICE:
            break
        print(f"That was too hungry to learn from ({run.summary['requests']['ok']} answered).")
    return run


def _starve(
    instance: Instance,
    hogs: int,
    seconds: float,
    nice: int,
    before: set[int],
    done: threading.Event,
) -> None:
    while not done.wait(0.2) and not _sent(instance):
        continue
    core = max(os.sched_getaffinity(0))
    for child in psutil.Process().children(recursive=True):
        if child.pid not in before:
            with suppress(psutil.NoSuchProcess):
                child.cpu_affinity([core])
                _lower(child, nice)
    argv = (sys.executable, "-c", _HOG, str(core), str(seconds))
    running = [
        subprocess.Popen(argv, start_new_session=True) for _ in range(0 if done.is_set() else hogs)
    ]
    done.wait(seconds)
    for hog in running:
        hog.kill()
        hog.wait()


def _lower(process: psutil.Process, nice: int) -> None:
    """Let others go first. Linux may weigh whole sessions and not processes: then that counts.

    Never this process's own session, which would stay so: the terminal or the notebook around it.
    """
    process.nice(nice)
    with suppress(OSError):
        if os.getsid(process.pid) != os.getsid(0):
            Path(f"/proc/{process.pid}/autogroup").write_text(str(nice))


def _sent(instance: Instance) -> bool:
    """Whether the load has begun: a load test may ask one thing beforehand."""
    try:
        text = httpx.get(f"{instance.base_url}/metrics", timeout=_TIMEOUT_S, trust_env=False).text
    except httpx.HTTPError:
        return False
    found = re.search(r"^reference_requests_running (\d+)", text, re.MULTILINE)
    return found is not None and int(found[1]) > 1


def truth(instance: Instance, run: Run) -> Beside:
    """The counted requests of a run beside what the reference server really sent.

    Each request is known on both sides by its `X-Request-Id`. Ask before `forget`.
    """
    joined = join(_truth(instance), run.counted, run.run_id)
    return Beside(joined.ttft_true_s, joined.ttft_measured_s)


def by_hand(instance: Instance, *, users: int, seconds: float, tokens: int = 32) -> Beside:
    """The same closed loop with a client written by hand, which reads its clock after each read.

    What the first second brought does not count.
    """
    argv = [sys.executable, "-m", "notebooks.plain_client", instance.base_url]
    argv += [instance.served_name, str(users), f"{seconds:g}", str(tokens)]
    print("$ python", *argv[1:])
    # A session of its own, as the lab's load test has one.
    done = subprocess.run(
        argv, cwd=ROOT, capture_output=True, text=True, check=False, start_new_session=True
    )
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise NotebookError(f"The client written by hand broke off: {why}")
    seen = {
        one["request_id"]: float(one["ttft_s"])
        for one in (json.loads(line) for line in done.stdout.splitlines())
        if one["ttft_s"] is not None
    }
    return laid_beside(_truth(instance), seen)


def accuracy(clients: Mapping[str, Beside]) -> pd.DataFrame:
    """A table: one row a client, its TTFT beside the truth at the median and the p90.

    A dash stands where a client has too few requests to say.
    """
    rows = []
    for name, one in clients.items():
        row = {"": name, "requests": f"{one.true_s.size:,}"}
        for title, level in (("p50", 0.5), ("p90", 0.9)):
            enough = carried(one.true_s.size, level)
            true_s, seen_s = (
                quantile(times_s, level) if enough else nan
                for times_s in (one.true_s, one.measured_s)
            )
            row[f"true {title}"] = units.show(true_s, "s")
            off = f" ({seen_s / true_s - 1:+.1%})" if true_s > 0 else ""
            row[f"measured {title}"] = units.show(seen_s, "s") + off
        rows.append(row)
    return pd.DataFrame(rows).set_index("")


def read_together(runs: Mapping[str, Run]) -> None:
    """Print of each run in how many answers the first token was read together with the next."""
    for name, run in runs.items():
        share = run.summary["client"]["merged_first_chunks"]
        if share is None:
            print(f"{name}: {_NOTHING}.")
        else:
            print(f"{name}: in {share:.0%} of answers the first token was read with the next.")


def asked(runs: Mapping[str, Run]) -> None:
    """Print of each closed loop how often its users asked, and how late a request left at most."""
    for name, run in runs.items():
        late_s = run.summary["schedule_delay_s"]["max"]
        if late_s is None:
            print(f"{name}: {_NOTHING}.")
            continue
        often = f"{run.summary['achieved_rps']:.1f} times a second"
        users = run.manifest["load"]["arrival"]["users"]
        print(f"{name}: {users} users asked {often}, at most {late_s * 1e3:g} ms late.")


def apart(run: Run, other: Run) -> str:
    """By how much the rate and the mean E2E of a run are off those of another, in words."""
    words = []
    for title, one, two in (
        ("rate", run.summary["achieved_rps"], other.summary["achieved_rps"]),
        ("mean E2E", run.summary["e2e_s"]["mean"], other.summary["e2e_s"]["mean"]),
    ):
        words.append(f"{title} {one / two - 1:+.0%}" if one and two else f"no {title} to compare")
    return ", ".join(words)


def definitions(run: Run) -> pd.DataFrame:
    """One run's numbers as the lab and four other tools would call them."""
    return definition_tables.table(rosetta.definitions(run)).set_index("")


def furthest(run: Run, *metrics: str) -> None:
    """Print of each metric the reading of any tool that is furthest from the lab's number.

    Mean, p50 and p90 are looked at, and p99 where the run has enough requests for one of its own.
    A reading that is an upper bound counts as it stands. Which tool it is stays unsaid.
    """
    lines = rosetta.definitions(run)
    for metric in metrics:
        apart = [
            (abs(one.value / line.ours - 1), line.level, one.value, line.ours)
            for line in lines
            for one in line.readings
            if line.metric == metric and line.ours and one.value is not None
        ]
        if not apart:
            print(f"{_NAMES[metric]}: no number to hold against the lab's.")
            continue
        most, level, theirs_s, ours_s = max(apart, key=lambda found: found[0])
        if most < 0.0005:
            print(f"{_NAMES[metric]}: no tool is 0.1% away.")
            continue
        shown = f"{units.show(theirs_s, 's')} for {units.show(ours_s, 's')}"
        print(f"{_NAMES[metric]}: at most {theirs_s / ours_s - 1:+.1%}, at the {level} ({shown}).")


def reasons(run: Run, *metrics: str) -> None:
    """Print in what each tool's definitions of these metrics differ from the lab's."""
    lines = [line for line in rosetta.definitions(run) if line.metric in metrics]
    for sentence in definition_tables.why(lines):
        print(textwrap.fill(sentence, 98, initial_indent="- ", subsequent_indent="  "))


def laid_beside(sent: Truth, seen: dict[str, float], *, skip_s: float = 1.0) -> Beside:
    """TTFTs by request id beside the truth; requests of the first `skip_s` are left out."""
    place = {name: i for i, name in enumerate(sent.request_id) if name in seen}
    at = np.array(sorted(place.values()), dtype=np.int64)
    at = at[np.diff(sent.offset)[at] > 0]
    if at.size:
        at = at[sent.received_s[at] >= sent.received_s[at].min() + skip_s]
    true_s = sent.sent_s[sent.offset[at]] - sent.received_s[at]
    return Beside(true_s, np.array([seen[sent.request_id[i]] for i in at.tolist()]))


def _truth(instance: Instance) -> Truth:
    answer = httpx.get(f"{instance.base_url}/truth", timeout=_TIMEOUT_S, trust_env=False)
    return decode(answer.raise_for_status().content)
