"""What the doctor reads from other programs. Those on PATH here are stand-ins that print or hang."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stub_nvml import GIB, Card, Nvml

from lab.doctor import gpu, machine, own
from lab.doctor.tools import Said, ask
from servers.machine import HostMemory

SMI_MISMATCH = (
    "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 580.65"
)
NO_ENGINE = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"


def stand_in(folder: Path, name: str, script: str) -> None:
    """A program of that name which is none: a shell script."""
    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def doctor(home: Path, path: Path | None = None, **more: str) -> str:
    env = {**os.environ, "SERVING_LAB_HOME": str(home / "home"), **more}
    if path is not None:
        env["PATH"] = f"{path}:{env['PATH']}"
    ended = subprocess.run(
        [sys.executable, "-m", "lab", "doctor"], capture_output=True, text=True, env=env, timeout=60
    )
    assert "Traceback" not in ended.stdout + ended.stderr
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def line_of(shown: str, what: str) -> str:
    return " ".join(
        next(line for line in shown.splitlines() if line.startswith(what + "  ")).split()
    )


def test_a_machine_with_gpus_and_docker_is_all_ok(tmp_path):
    nvml = Nvml(tmp_path)
    nvml.tell(Card(), Card())
    info = json.dumps({"Runtimes": {"runc": {}, "nvidia": {}}})
    version = json.dumps({"Client": {"Version": "29.0.1"}, "Server": {"Version": "29.0.1"}})
    stand_in(
        tmp_path / "bin",
        "docker",
        f"case $1 in version) echo '{version}';; info) echo '{info}';; esac",
    )
    stand_in(
        tmp_path / "bin", "nvidia-ctk", "echo NVIDIA Container Toolkit CLI version 1.18.0; echo x"
    )
    stand_in(tmp_path / "bin", "java", "echo 'openjdk version \"21.0.4\" 2026-07-16' >&2")
    environment = {**nvml.environment(), "CUDA_VISIBLE_DEVICES": "0,1", "JAVA_HOME": ""}
    shown = doctor(tmp_path, tmp_path / "bin", **environment)
    assert line_of(shown, "GPU").startswith("GPU ok Stand-in GPU, 80.0 GiB, 49.0 GiB free;")
    assert line_of(shown, "driver") == "driver ok 999.1"
    assert line_of(shown, "CUDA") == "CUDA ok up to 13.2"
    assert line_of(shown, "container toolkit") == "container toolkit ok 1.18.0"
    assert line_of(shown, "Docker") == "Docker ok engine 29.0.1"
    assert line_of(shown, "Docker GPU access").startswith("Docker GPU access ok by the runtime")
    assert line_of(shown, "Java") == "Java ok 21 (java)"


def test_programs_that_hang_fail_or_lie_are_lines_like_others(tmp_path):
    # The child of the stand-in keeps its output open: waiting for its end would take a minute.
    stand_in(tmp_path / "bin", "docker", "sleep 60 & wait")
    stand_in(tmp_path / "bin", "nvidia-smi", f"echo '{SMI_MISMATCH}'; exit 18")
    stand_in(tmp_path / "bin", "java", "head -c 3000000 /dev/urandom; exit 0")
    (tmp_path / "bin" / "uv").symlink_to("/nowhere")
    shown = doctor(tmp_path, tmp_path / "bin", JAVA_HOME=str(tmp_path / "gone"))
    assert "no answer within 3 s" in shown
    assert "nvidia-smi: NVML library" in line_of(shown, "GPU")
    assert line_of(shown, "GPU").startswith("GPU missing")


def test_a_program_that_is_no_program_is_told_and_not_raised(tmp_path, monkeypatch):
    (tmp_path / "broken").write_bytes(b"\x7fELF no binary")
    (tmp_path / "broken").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}")
    said = ask(["broken"])
    assert said is not None and said.code is None and "cannot be run" in said.last_words
    assert ask(["absent"]) is None


def test_every_line_is_there_without_a_gpu(tmp_path):
    environment = {"LD_LIBRARY_PATH": str(tmp_path), "CUDA_VISIBLE_DEVICES": "-1"}
    shown = doctor(tmp_path, **environment)
    for what in (
        *(
            "Python",
            "uv",
            "memory",
            "disk",
            "lab's own folder",
            "shared memory",
            "ports",
            "GPU",
            "driver",
            "CUDA",
        ),
        *("Docker", "container toolkit", "Docker GPU access", "Prometheus", "Java"),
        *("vLLM environment", "models", "calibration", "browser"),
    ):
        assert line_of(shown, what).split()[len(what.split())] in ("ok", "missing", "note")


@pytest.mark.parametrize(
    ("answer", "state", "found", "advice"),
    [
        (None, "note", "not on PATH", "install Docker Engine"),
        (
            Said(1, '{"Client":{"Version":"28.2"}}', NO_ENGINE),
            "missing",
            "client 28.2, no engine",
            "start",
        ),
        (
            Said(1, "", "permission denied while trying to connect"),
            "missing",
            "denied",
            "group docker",
        ),
        (Said(0, "not json", ""), "missing", "no engine: not json", "start"),
        (Said(0, '{"Client":1,"Server":null}', ""), "missing", "no engine", "start"),
        (Said(None, err="no answer within 3 s"), "missing", "no answer within 3 s", "start"),
        (Said(0, '{"Server":{"Version":"29.0"}}', ""), "ok", "engine 29.0", ""),
    ],
)
def test_docker_s_engine(answer, state, found, advice):
    line = gpu.docker_engine(answer)
    assert line.state == state
    assert found in line.found
    assert advice in line.advice


@pytest.mark.parametrize(
    ("document", "state", "found"),
    [
        ({"Runtimes": {"nvidia": {}}}, "ok", "runtime nvidia"),
        ({"DiscoveredDevices": [{"ID": "nvidia.com/gpu=all"}]}, "ok", "CDI"),
        ({"Runtimes": {"runc": {}}, "DiscoveredDevices": None}, "missing", "no NVIDIA runtime"),
        ({"Runtimes": ["nvidia"], "DiscoveredDevices": "nvidia.com/gpu"}, "missing", "no NVIDIA"),
        ({}, "missing", "docker info"),
    ],
)
def test_docker_s_way_to_the_gpu(document, state, found):
    line = gpu.docker_gpu(Said(0, json.dumps(document)))
    assert (line.state, found in line.found) == (state, True)


def test_a_driver_too_old_for_the_engines_packages_says_which_is_needed():
    answer = json.dumps([["550.54", "12.4"], [["NVIDIA L4", 24 * GIB, 20 * GIB]]])
    *_, cuda = gpu.read_driver(Said(0, answer))
    assert cuda.state == "missing"
    assert "580" in cuda.advice
    assert not cuda.needed


@pytest.mark.parametrize("text", ["", "[null, []]", "[]", "{}", '[["1"], [["x", 1, 1]]]', "[1, 2]"])
def test_a_driver_that_tells_nonsense_is_no_driver(text):
    assert gpu.read_driver(Said(0, text)) is None


@pytest.mark.parametrize(
    ("answer", "smi", "device", "state", "found"),
    [
        (Said(0, "[null, []]"), None, False, "note", "none"),
        (Said(0, "[null, []]"), None, True, "missing", "/dev/nvidia0"),
        (Said(0, "[null, []]"), Said(18, SMI_MISMATCH), True, "missing", "NVML library version"),
        (Said(0, "[null, []]"), Said(0, "ok"), True, "missing", "NVML does not"),
        (Said(None, err="no answer within 3 s"), None, True, "missing", "no answer within 3 s"),
    ],
)
def test_why_no_gpu_answers(answer, smi, device, state, found):
    line = gpu.without_driver(answer, smi, device)
    assert (line.state, found in line.found) == (state, True)
    assert line.advice


@pytest.mark.parametrize(
    ("said", "unpack", "state", "found"),
    [
        ([], False, "missing", "not on PATH"),
        ([], True, "note", "not on PATH"),
        ([("java", Said(0, "", 'openjdk version "17.0.12" 2024'))], False, "ok", "17 (java)"),
        ([("java", Said(0, "", 'java version "1.8.0_392"'))], True, "note", "java is 8"),
        (
            [("/old/java", Said(0, "", 'version "11.0.1"')), ("java", Said(0, "", 'version "21"'))],
            False,
            "ok",
            "21 (java)",
        ),
        ([("java", Said(1, "", 'version "17" crashed'))], False, "missing", "java is 17"),
        ([("java", Said(None, err="no answer within 3 s"))], False, "missing", "no answer"),
    ],
)
def test_which_java_is_taken(said, unpack, state, found):
    line = machine.java_line(said, unpack)
    assert (line.state, found in line.found) == (state, True)


def test_ports_say_who_has_them_and_which_are_the_lab_s_own():
    wanted = {8000: ["vllm", "triton"], 8001: ["triton"], 9090: ["prometheus"]}
    line = machine.ports_line(wanted, {8000: "nginx (pid 7)", 9090: "prometheus"}, {9090})
    assert line.state == "note"
    assert (
        line.found == "taken: 8000 (vllm, triton): nginx (pid 7); the lab's own: 9090: prometheus"
    )
    free = machine.ports_line(wanted, {9090: "prometheus"}, {9090})
    assert (free.state, free.found) == ("ok", "2 free; the lab's own: 9090: prometheus")


def test_a_container_s_limit_is_named():
    line = machine.memory_line(HostMemory(4 * GIB, 3 * GIB, limited=True))
    assert (line.state, line.found) == ("missing", "3.0 GiB free of this container's limit 4.0 GiB")
    assert machine.memory_line(HostMemory(64 * GIB, 9 * GIB)).found == "9.0 GiB free of 64.0 GiB"


def test_a_folder_that_is_not_there_is_a_line(tmp_path):
    line = machine.disk_line(tmp_path / "none", "shared memory", 1, "they want")
    assert line.state == "missing"
    assert "No such file" in line.found


def test_a_lab_that_cannot_write_is_told_so(tmp_path, monkeypatch):
    monkeypatch.setenv("SERVING_LAB_HOME", str(tmp_path / "not" / "made" / "yet"))
    assert own.folder().state == "ok"
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("SERVING_LAB_HOME", str(tmp_path / "file"))
    assert (own.folder().state, own.folder().needed) == ("missing", True)
    monkeypatch.setenv("SERVING_LAB_HOME", str(tmp_path))
    # As on a read-only disk; tests may run as root, whom a folder's mode does not stop.
    monkeypatch.setattr(os, "access", lambda path, _: path != tmp_path)
    assert own.folder().state == "missing"


@given(st.text(), st.text(), st.one_of(st.none(), st.integers(0, 255)))
def test_nothing_that_a_program_prints_is_an_error(out, err, code):
    said = Said(code, out, err)
    gpu.read_driver(said)
    for line in (
        gpu.docker_engine(said),
        gpu.docker_gpu(said),
        gpu.toolkit(said),
        gpu.without_driver(said, said, True),
        machine.java_line([("java", said)], True),
    ):
        assert line.found
