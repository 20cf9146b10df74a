"""What `lab ps` shows stays whole, however much there is to show."""

import io
import time
from dataclasses import replace

import pytest
from rich.console import Console

from lab import tables
from servers import instances
from servers.instances import Instance
from servers.tgi.launch import COMPATIBLE


@pytest.mark.parametrize("state", ["running", "unhealthy", "dead"])
def test_the_state_is_whole_beside_a_long_address(state, monkeypatch):
    assert f" {state} " in shown(monkeypatch, state, an_instance())


def test_addresses_are_whole_beside_a_stand_in_and_a_long_version(monkeypatch):
    tgi = replace(
        an_instance(), name="tgi", engine="tgi", title=COMPATIBLE, base_url="http://127.0.0.1:3000",
        version="transformers 5.4.0, torch 2.13.0+cpu", model="/m", served_name="SmolLM2-135M",
        settings={"max_batch_prefill_tokens": 512, "max_concurrent_requests": 4},
    )  # fmt: skip
    both = shown(monkeypatch, "running", tgi, an_instance())
    assert " http://127.0.0.1:3000 " in both
    assert " http://127.0.0.1:8000/predictions " in both
    assert " TGI-compatible " in shown(monkeypatch, "running", tgi)


def test_eighty_columns_cut_no_word(monkeypatch):
    settings = {"max_batch_size": 8, "max_queue_delay_us": 10_000, "instances": 2, "threads": 2}
    one = replace(an_instance(), settings=settings, model="/m", served_name="SmolLM2-135M-Instruct")
    out = shown(monkeypatch, "unhealthy", one, width=80)
    assert max(map(len, out.splitlines())) <= 80
    words = out.split()
    for word in ("SmolLM2-135M-Instruct", "max_batch_size=8,", "max_queue_delay_us=10000,"):
        assert word in words
    assert "grpc_management" in words


@pytest.mark.parametrize(
    ("leader", "words"),
    [(False, "those it left may answer on: `lab down torchserve` stops"), (True, "does not answer http://127.0.0.1/ping")],
)  # fmt: skip
def test_one_that_is_not_well_says_why(leader, words, monkeypatch):
    """BentoML's workers answer on after their parent has gone: unhealthy is no error of ours."""
    monkeypatch.setattr(instances, "leader_alive", lambda _: leader)
    one = replace(an_instance(), ready_url="http://127.0.0.1/ping")
    assert words in shown(monkeypatch, "unhealthy", one)
    assert words not in shown(monkeypatch, "running", one)


def test_settings_after_a_change_that_was_cut_short_are_called_unknown(monkeypatch):
    one = replace(an_instance(), settings={"instances": 3}, changing=True)
    out = shown(monkeypatch, "running", one)
    assert "its settings are not known" in out
    assert "instances=3" not in out


def an_instance() -> Instance:
    ports = dict.fromkeys(("http", "management", "metrics", "grpc", "grpc_management"), 8000)
    return Instance(
        name="torchserve", engine="torchserve", pid=1, create_time=1.0, argv=(), ports=ports,
        host="127.0.0.1", base_url="http://127.0.0.1:8000/predictions", ready_url="",
        metrics_url=None, log="", settings={}, model=None, served_name="", device="cpu",
        protocols=(), job="engine", started_s=time.time(), ready_timeout_s=1.0, stop_grace_s=1.0,
    )  # fmt: skip


def shown(monkeypatch, state: str, *found: Instance, width: int = 100) -> str:
    monkeypatch.setattr(instances, "status", lambda _: state)
    monkeypatch.setattr(instances, "members", lambda _: [])
    out = io.StringIO()
    Console(file=out, width=width).print(tables.instances_table(found))
    return out.getvalue()
