"""Records what an engine's `/metrics` says at two moments of a little load.

    python tests/recorded/record.py vllm triton …     engines of the lab, by their names
    python tests/recorded/record.py exporter client   the lab's exporter (over the stand-in for
                                                      NVML), and a load test's own metrics

Everything is real: the engine runs, answers requests and refuses wrong ones. A recording is one
text file, `metrics/<engine>-<version>.txt`, with the values of two scrapes some seconds apart;
`tests/support/recorded.py` says how to read it.
"""

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path += [str(ROOT), str(HERE.parent / "support")]

from recorded import FOLDER, encode  # noqa: E402

from servers import instances, paths, supervisor  # noqa: E402
from servers.catalog import ENGINES  # noqa: E402
from servers.contract import Request, WarmRequest  # noqa: E402

# Small and quick to start; what is exported is the same.
SETTINGS = {
    "vllm": {"max_num_seqs": 4, "kv_cache_gib": 0.25, "speculative_ngram_tokens": 3},
    "vllm-fastapi": {"max_num_seqs": 4, "kv_cache_gib": 0.25},
    "reference": {"http_error_share": 0.2},
    # The target of autoscaling is exported only where it is on.
    "ray-serve": {"autoscale": True},
}
MODELS = {"vllm": "tiny", "vllm-fastapi": "tiny", "tgi": "tiny", "triton": "tiny"}
LOAD_S = 4.0
CLIENTS = 4
# Of Python and Ray themselves, and of HTTP a second time: not of what the engine serves.
NOISE = (
    *("python_", "ray_serve_long_poll", "ray_serve_event_loop", "http_request_duration_highr"),
    *("http_request_size", "http_response_size"),
    *(f"ray_{a}" for a in "abcdefghijkmnopqrtuvwxyz"),
)
_LONG = re.compile("[0-9a-f]{16,}")
_SCOPE = re.compile(',?otel_scope_[a-z]+="[^"]*"')


def main() -> None:
    for name in sys.argv[1:]:
        how = {"exporter": exporter, "client": client}.get(name)
        if how is not None:
            how()
        else:
            engine(name)


def engine(name: str) -> None:
    """The engine under requests of its warm-up, wrong ones, and clients that leave."""
    model = MODELS.get(name)
    instance = supervisor.up(name, settings=SETTINGS.get(name), model=model, warm=False)
    try:
        requests = _requests(instance)
        url = str(instance.metrics_url)
        first = _under_load(instance.base_url, requests, url)
        second = _under_load(instance.base_url, requests, url)
    finally:
        supervisor.down(instance.name)
    title = instance.title or ENGINES[name].title
    write(name, instance.version or "lab", f"{title}, {instance.way}", first, second)


def _requests(instance: instances.Instance) -> tuple[WarmRequest, ...]:
    described = ENGINES[instance.engine]
    asked = Request(
        instance.name, instance.settings, instance.model, instance.served_name, instance.ports,
        instance.host, paths.home(), None, "cpu",
    )  # fmt: skip
    if described.warm_requests is not None:
        return described.warm_requests(asked)
    body = {"model": instance.served_name, "prompt": "one two three", "max_tokens": 8}
    return (WarmRequest("/v1/completions", {**body, "stream": True}),)


def _under_load(base_url: str, requests: tuple[WarmRequest, ...], metrics_url: str) -> str:
    """What `/metrics` says while several clients ask."""
    until = time.monotonic() + LOAD_S
    threads = [
        threading.Thread(target=_ask, args=(base_url, requests, until, i)) for i in range(CLIENTS)
    ]
    for thread in threads:
        thread.start()
    time.sleep(LOAD_S - 0.5)
    # An engine that gathers its metrics over processes may be some seconds late.
    said = httpx.get(metrics_url, timeout=30).text
    for thread in threads:
        thread.join()
    return said


def _ask(base_url: str, requests: tuple[WarmRequest, ...], until: float, nth: int) -> None:
    with httpx.Client(base_url=base_url, timeout=60) as client:
        while time.monotonic() < until:
            for request in requests:
                with contextlib.suppress(httpx.HTTPError):
                    client.post(request.path, json=dict(request.body))
            if nth == 0:
                for request in requests:
                    with contextlib.suppress(httpx.HTTPError):
                        client.post(request.path, content=b"{")
                        client.post(request.path, json={"wrong": True})
                        # Gone before the answer.
                        client.post(request.path, json=dict(request.body), timeout=0.002)


def exporter() -> None:
    """The exporter with one instance and two GPUs, which are the stand-in's."""
    from stub_nvml import GIB, Card, Nvml

    nvml = Nvml(Path(tempfile.mkdtemp()))
    with _environment(nvml.environment()):
        instance = supervisor.up("reference")
        nvml.tell(Card(), Card(), processes=((0, instance.pid, 5 * GIB),))
        try:
            exporter = supervisor.up("exporter")
            first = httpx.get(str(exporter.metrics_url)).text
            nvml.tell(
                Card(millijoules=9_000_900_123, util=55), replace(Card(), xid=79),
                processes=((0, instance.pid, 6 * GIB),),
            )  # fmt: skip
            _under_load(instance.base_url, _requests(instance), str(exporter.metrics_url))
            second = httpx.get(str(exporter.metrics_url)).text
        finally:
            supervisor.down("exporter")
            supervisor.down("reference")
    write("exporter", "lab", "The lab's exporter; its GPUs are the stand-in's", first, second)


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def client() -> None:
    """Load tests on the reference server, some of whose answers are errors: closed and open loop."""
    _client("closed", "-u", "4", "-r", "4")
    _client("open", "--arrival", "poisson", "--rate", "10")


def _client(loop: str, *flags: str) -> None:
    instance = supervisor.up("reference", settings=SETTINGS["reference"])
    folder = Path(tempfile.mkdtemp())
    argv = [
        *(
            sys.executable,
            "-m",
            "locust",
            "-f",
            str(ROOT / "loadtests/completion.py"),
            "--headless",
        ),
        *("-H", instance.base_url, *flags, "-t", "12s", "--model", "reference"),
        *("--run-dir", str(folder / "runs"), "--metrics-targets", str(folder)),
        *("--prompt-tokens", "16", "--output-tokens", "16"),
    ]
    load = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not (found := list(folder.glob("[!.]*.json"))):
            time.sleep(0.2)
        target = json.loads(found[0].read_text())[0]["targets"][0]
        time.sleep(4)
        first = httpx.get(f"http://{target}/metrics").text
        time.sleep(4)
        second = httpx.get(f"http://{target}/metrics").text
    finally:
        load.wait()
        supervisor.down("reference")
    write("client", loop, "A load test's own metrics", first, second)


def write(kind: str, version: str, what: str, first: str, second: str) -> None:
    """Both moments in one file."""
    before = dict(_samples(first))
    series = [(one, before.get(one, "-"), value) for one, value in _samples(second)]
    file = FOLDER / f"{kind}-{re.sub(r'[^A-Za-z0-9_.]+', '-', version)}.txt"
    file.write_text(encode(kind, version, what, series), encoding="utf-8")
    print(f"{file}: {len(series)} series, {file.stat().st_size / 1000:.0f} kB")


def _samples(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        if line and not line.startswith("#"):
            # Some engines put a time behind the value; labels may hold spaces.
            head, closed, tail = line.rpartition("}")
            words = tail.split() if closed else line.split()
            series = f"{head}}}" if closed else words.pop(0)
            if not series.startswith(NOISE):
                yield _LONG.sub(lambda found: found.group()[:8], _SCOPE.sub("", series)), words[0]


if __name__ == "__main__":
    main()
