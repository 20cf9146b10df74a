"""GPU metrics: the real nvidia-ml-py over a stand-in for the driver's library (`stub_nvml.c`)."""

import json
import os
import socket
import subprocess
import sys
import urllib.request
from dataclasses import replace

import pytest
from eventually import eventually
from prometheus_client.parser import text_string_to_metric_families
from servers_standin import STANDIN
from stub_nvml import GIB, Card, Nvml

from servers import docker, paths, supervisor
from servers.containers import Containers
from servers.exporter import ENGINE as EXPORTER
from servers.exporter.dcgm import METRICS, families
from servers.gpus import Gpu, held, visible

# Looks at the driver each time a line comes in, and writes what it sees as one line.
LOOKER = """
import dataclasses, json, sys
from servers.gpus import Driver
driver = Driver(retry_s=0)
for _ in sys.stdin:
    print(json.dumps([[dataclasses.asdict(g) for g in driver.look()], driver.versions()]), flush=True)
"""


@pytest.fixture(scope="module")
def nvml(tmp_path_factory):
    return Nvml(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def look(nvml):
    """Asks one process, whose driver stays the same, again and again."""
    process = subprocess.Popen(
        [sys.executable, "-c", LOOKER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **nvml.environment()},
    )

    def ask():
        process.stdin.write("\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    yield ask
    process.stdin.close()
    process.wait(30)


def test_every_gpu_is_described_in_dcgm_s_units(nvml, look):
    nvml.tell(Card(), Card(used=2 * GIB, free=77 * GIB, util=0))
    [first, second], versions = look()
    assert versions == ["999.1", "13.2"]
    assert first["values"] == {
        "DCGM_FI_DEV_SM_CLOCK": 1980,
        "DCGM_FI_DEV_MEM_CLOCK": 2619,
        "DCGM_FI_DEV_GPU_TEMP": 61,
        "DCGM_FI_DEV_POWER_USAGE": 312.5,
        "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION": 9_000_000_123,
        "DCGM_FI_DEV_GPU_UTIL": 87,
        "DCGM_FI_DEV_MEM_COPY_UTIL": 40,
        "DCGM_FI_DEV_FB_FREE": 49 * 1024,
        "DCGM_FI_DEV_FB_USED": 30 * 1024,
        "DCGM_FI_DEV_XID_ERRORS": 0,
    }
    assert (first["total_bytes"], first["free_bytes"]) == (80 * GIB, 49 * GIB)
    assert (second["index"], second["uuid"], second["model"], second["pci_bus_id"]) == (
        1,
        "GPU-00000001-0000",
        "Stand-in GPU",
        "00000000:02:00.0",
    )
    assert second["values"]["DCGM_FI_DEV_GPU_UTIL"] == 0


def test_what_a_gpu_does_not_support_is_absent_and_not_zero(nvml, look):
    nvml.tell(Card(util=-1, milliwatts=-1, millijoules=-1, reserved=-1, xid=-1))
    [[gpu], _] = look()
    assert sorted(gpu["values"]) == [
        "DCGM_FI_DEV_FB_FREE",
        "DCGM_FI_DEV_FB_USED",
        "DCGM_FI_DEV_GPU_TEMP",
        "DCGM_FI_DEV_MEM_CLOCK",
        "DCGM_FI_DEV_SM_CLOCK",
    ]
    # The older question counts what the driver keeps for itself as used.
    assert gpu["values"]["DCGM_FI_DEV_FB_USED"] == 31 * 1024


def test_a_gpu_that_tells_nothing_is_there_without_values(nvml, look):
    nvml.tell(Card(*[-1] * 12))
    [[gpu], _] = look()
    assert gpu["values"] == {}
    assert gpu["total_bytes"] is None


def test_a_driver_that_is_lost_and_comes_back_is_found_again(nvml, look):
    nvml.tell(Card())
    assert len(look()[0]) == 1
    nvml.lose()
    assert look() == [[], None]
    nvml.tell(Card(), Card())
    assert len(look()[0]) == 2


def test_the_last_xid_stays_and_a_driver_s_loss_does_not_hide_it(nvml, look):
    nvml.tell(Card(), Card())
    look()
    nvml.tell(Card(), Card(xid=79))
    assert [gpu["values"]["DCGM_FI_DEV_XID_ERRORS"] for gpu in look()[0]] == [0, 79]
    nvml.lose()
    look()
    nvml.tell(Card(), Card())
    assert [gpu["values"]["DCGM_FI_DEV_XID_ERRORS"] for gpu in look()[0]] == [0, 79]


def test_memory_of_processes_is_told_where_the_driver_tells_it(nvml, look):
    nvml.tell(Card(), Card(), processes=((0, 11, 5 * GIB), (0, 12, -1), (1, 11, GIB)))
    [first, second], _ = look()
    assert (first["processes"], second["processes"]) == ({"11": 5 * GIB}, {"11": GIB})


def test_the_exporter_gives_a_gpu_s_memory_to_the_instance_whose_process_holds_it(
    nvml, lab_home, monkeypatch
):
    for name, value in nvml.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    one = supervisor.up(STANDIN, name="one", settings={"children": 2}, say=lambda _: None)
    two = supervisor.up(STANDIN, name="two", say=lambda _: None)
    child = one.members[-1][0]
    assert child != one.pid
    nvml.tell(
        Card(util=-1),
        Card(),
        processes=(
            (0, one.pid, 3 * GIB),
            (0, child, 2 * GIB),
            (1, child, GIB),
            (1, two.pid, 4 * GIB),
            (1, os.getpid(), 7 * GIB),
        ),
    )
    exporter = supervisor.up(EXPORTER, say=lambda _: None)

    samples = scraped(exporter.metrics_url)
    by_instance = {
        (labels["instance"], labels["gpu"]): value
        for name, labels, value in samples
        if name == "lab_instance_gpu_memory_bytes"
    }
    assert by_instance == {("one", "0"): 5 * GIB, ("one", "1"): GIB, ("two", "1"): 4 * GIB}
    used = [(labels, value) for name, labels, value in samples if name == "DCGM_FI_DEV_FB_USED"]
    assert used[1] == (
        {
            "gpu": "1",
            "UUID": "GPU-00000001-0000",
            "pci_bus_id": "00000000:02:00.0",
            "device": "nvidia1",
            "modelName": "Stand-in GPU",
            "Hostname": socket.gethostname(),
        },
        30 * 1024,
    )
    util = [labels["gpu"] for name, labels, _ in samples if name == "DCGM_FI_DEV_GPU_UTIL"]
    assert util == ["1"]
    energy = [value for name, _, value in samples if name == "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"]
    assert energy == [9_000_000_123] * 2

    nvml.lose()
    assert eventually(
        lambda: not any(name.startswith("DCGM") for name, *_ in scraped(exporter.metrics_url))
    )
    assert any(name == "lab_instance_memory_bytes" for name, *_ in scraped(exporter.metrics_url))


def scraped(url):
    text = urllib.request.urlopen(url, timeout=10).read().decode()
    return [
        (sample.name, dict(sample.labels), sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    ]


def gpu(index, uuid, processes=()):
    return Gpu(index, uuid, "x", "", {}, dict(processes))


def test_a_gpu_on_which_no_process_of_the_instance_is_known_has_no_number():
    gpus = [gpu(0, "GPU-a", {5: 100, 6: 10, 9: 1}), gpu(1, "GPU-b", {9: 1}), gpu(2, "GPU-c")]
    assert held({5, 6}, gpus) == {0: 110}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, [0, 1, 2]),
        ("", []),
        ("-1", []),
        ("2,0", [2, 0]),
        ("GPU-bb", [1]),
        ("0,7,1", [0]),
        ("GPU-", [0, 1, 2]),
    ],
)
def test_the_gpus_that_a_cuda_program_would_see(value, expected):
    gpus = [gpu(0, "GPU-aa"), gpu(1, "GPU-bb"), gpu(2, "GPU-cc")]
    environment = {} if value is None else {"CUDA_VISIBLE_DEVICES": value}
    assert [one.index for one in visible(gpus, environment)] == expected


def test_families_without_a_sample_are_left_out():
    assert families([gpu(0, "GPU-a")], "host") == []
    assert len({metric.name for metric in METRICS}) == len(METRICS)


def test_what_a_container_holds_on_a_gpu_is_its_instance_s(lab_home, tmp_path, monkeypatch):
    """The `docker` here is a stand-in that knows one container."""
    instance = supervisor.up(STANDIN, say=lambda _: None)
    contained = replace(instance, way="docker")
    identity = "f00d" * 16
    name = docker.name_of("standin", paths.workspace("standin"))
    program = tmp_path / "bin" / "docker"
    program.parent.mkdir()
    asked = f'echo asked >> {tmp_path}/asked; [ "$6" = "{name}" ] && echo {identity}'
    program.write_text(f"#!/bin/sh\n{asked}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    for pid, path in ((71, f"/system.slice/docker-{identity}.scope"), (72, "/user.slice")):
        (tmp_path / "proc" / str(pid)).mkdir(parents=True)
        (tmp_path / "proc" / str(pid) / "cgroup").write_text(f"0::{path}\n")

    containers = Containers(tmp_path / "proc")
    for _ in range(2):
        assert containers.pids(contained, {71, 72, 73}) == {71}
    assert (tmp_path / "asked").read_text() == "asked\n"
    assert containers.pids(instance, {71}) == set()
    assert Containers(tmp_path / "proc").pids(replace(contained, name="other"), {71}) == set()
    program.unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Containers(tmp_path / "proc").pids(contained, {71}) == set()
