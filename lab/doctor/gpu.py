"""The GPU, its driver, and Docker's way to it. What programs say is read by pure functions."""

import json
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from lab.doctor.check import Check, lacking, note
from lab.doctor.tools import Said, ask
from servers.memory import show

# The CUDA packages that the engines' environments are compiled with (servers/*/env).
LEAST_CUDA = (13, 0)
LEAST_DRIVER = 580
# In a process of its own: a driver in trouble can hold whoever asks it for good.
_ASK_DRIVER = """
import json
from servers.gpus import Driver
driver = Driver()
gpus = driver.look()
print(json.dumps([driver.versions(), [[g.model, g.total_bytes, g.free_bytes] for g in gpus]]))
"""
_ASKED = {
    "driver": (sys.executable, "-c", _ASK_DRIVER),
    "smi": ("nvidia-smi",),
    "toolkit": ("nvidia-ctk", "--version"),
    "version": ("docker", "version", "--format", "{{json .}}"),
    "info": ("docker", "info", "--format", "{{json .}}"),
}
_OF_A_GPU = ("driver", "CUDA", "container toolkit", "Docker GPU access")
_VERSION = re.compile(r"\d+(?:\.\d+)+")
_NO_GPU = "no GPU answers"
_TRY_IT = "`docker run --rm --gpus all ubuntu nvidia-smi` proves it"


def lines() -> tuple[list[Check], bool]:
    """GPU, driver, CUDA, Docker, container toolkit, Docker's GPU access; whether a GPU answers."""
    with ThreadPoolExecutor() as pool:
        # All at once: each may take its time to no end.
        asked = {name: pool.submit(ask, argv) for name, argv in _ASKED.items()}
        said = {name: answer.result() for name, answer in asked.items()}
    driver = read_driver(said["driver"])
    docker = docker_engine(said["version"])
    if driver is None:
        gpu = without_driver(said["driver"], said["smi"], Path("/dev/nvidia0").exists())
        none = [note(what, f"not looked for: {_NO_GPU}") for what in _OF_A_GPU]
        return [gpu, *none[:2], docker, *none[2:]], False
    access = [docker_gpu(said["info"])] if docker.state == "ok" else []
    return [*driver, docker, toolkit(said["toolkit"]), *access], True


def read_driver(answer: Said | None) -> list[Check] | None:
    """Lines from what NVML says; `None` if there is no driver that answers."""
    try:
        versions, gpus = json.loads(answer.out if answer is not None else "")
        if not versions or not gpus:
            return None
        driver, cuda = (str(version) for version in versions)
        named = [f"{name}, {_memory(total, free)}" for name, total, free in gpus]
        newest = tuple(int(part) for part in cuda.split(".")[:2])
    except (ValueError, TypeError):
        return None
    lines = [
        Check("GPU", "ok", "; ".join(named), needed=False),
        Check("driver", "ok", driver, needed=False),
    ]
    if newest >= LEAST_CUDA:
        return [*lines, Check("CUDA", "ok", f"up to {cuda}", needed=False)]
    least = ".".join(map(str, LEAST_CUDA))
    advice = (
        f"the engines' packages are of CUDA {least}: update the driver to {LEAST_DRIVER} or newer"
    )
    return [*lines, lacking("CUDA", f"up to {cuda}", advice)]


def without_driver(answer: Said | None, smi: Said | None, device: bool) -> Check:
    """The line where NVML tells nothing: no GPU, or one that cannot be reached, and why."""
    if smi is not None and smi.code != 0:
        return lacking(
            "GPU", f"nvidia-smi: {smi.last_words}", "mend or reload the driver, or reboot"
        )
    if answer is not None and answer.code is None:
        return lacking(
            "GPU", f"the driver gives {answer.last_words}", "reload the driver, or reboot"
        )
    if smi is not None:
        advice = (
            "its library (libnvidia-ml.so.1) cannot be loaded: see `nvidia-smi`, LD_LIBRARY_PATH"
        )
        return lacking("GPU", "nvidia-smi answers, NVML does not", advice)
    if device:
        advice = "start this container with `--gpus all`, or install the driver's libraries"
        return lacking("GPU", "/dev/nvidia0 is there, the driver's library is not", advice)
    return note("GPU", "none", "engines run on the CPU, and say so")


def docker_engine(answer: Said | None) -> Check:
    """From `docker version --format '{{json .}}'`."""
    what, use = "Docker", "only for engines run by --way docker"
    if answer is None:
        return note(what, "not on PATH", f"{use}: install Docker Engine")
    client, server = (_object(_json(answer.out).get(part)) for part in ("Client", "Server"))
    if answer.code == 0 and isinstance(server.get("Version"), str):
        return Check(what, "ok", f"engine {server['Version']}", needed=False)
    has = f"client {client['Version']}, " if isinstance(client.get("Version"), str) else ""
    words = answer.err.strip().splitlines()[-1:] or [answer.last_words]
    denied = "permission denied" in answer.err.lower()
    advice = "add yourself to the group docker and log in anew" if denied else "start its engine"
    return lacking(what, f"{has}no engine: {words[0][:200]}", f"{use}: {advice}")


def toolkit(answer: Said | None) -> Check:
    """From `nvidia-ctk --version`."""
    what = "container toolkit"
    if answer is None:
        advice = "install nvidia-container-toolkit, then `sudo nvidia-ctk runtime configure`"
        return lacking(what, "no nvidia-ctk on PATH", f"for GPUs in containers: {advice}")
    version = _VERSION.search(answer.out)
    if answer.code == 0 and version is not None:
        return Check(what, "ok", version[0], needed=False)
    return lacking(
        what, f"nvidia-ctk: {answer.last_words}", "install nvidia-container-toolkit anew"
    )


def docker_gpu(answer: Said | None) -> Check:
    """From `docker info --format '{{json .}}'`: the NVIDIA runtime, or devices by CDI."""
    what, document = "Docker GPU access", _json(answer.out if answer is not None else "")
    if not document:
        words = answer.last_words if answer is not None else "no docker"
        return lacking(what, f"docker info: {words}", "see `docker info`")
    if "nvidia" in _object(document.get("Runtimes")):
        return Check(what, "ok", "by the runtime nvidia", _TRY_IT, needed=False)
    devices = document.get("DiscoveredDevices")
    ids = [_object(one).get("ID") for one in devices] if isinstance(devices, list) else []
    if any(str(one).startswith("nvidia.com/gpu") for one in ids):
        return Check(what, "ok", "by CDI", _TRY_IT, needed=False)
    advice = "`sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker`"
    return lacking(what, "Docker knows no NVIDIA runtime and no GPU", advice)


def _memory(total: int | None, free: int | None) -> str:
    if total is None or free is None:
        return "memory not told"
    return f"{show(total)}, {show(free)} free"


def _json(text: str) -> dict[str, Any]:
    try:
        return _object(json.loads(text))
    except ValueError:
        return {}


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
