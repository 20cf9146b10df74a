"""What this machine has and lacks. Each check says what to do, and none changes anything."""

from concurrent.futures import ThreadPoolExecutor

from lab.doctor import gpu, machine, own
from lab.doctor.check import Check
from servers.device import detect

__all__ = ["Check", "checks"]


def checks() -> list[Check]:
    """Every check, in the order a person would put things right. Takes a few seconds at most."""
    with ThreadPoolExecutor() as pool:
        java, gpus = pool.submit(machine.java), pool.submit(gpu.lines)
        machine_lines = [
            machine.python(),
            machine.uv(),
            machine.memory(),
            machine.disk(),
            own.folder(),
            machine.shared_memory(),
            machine.ports(),
        ]
        gpu_lines, has_gpu = gpus.result()
        return [
            *machine_lines,
            *gpu_lines,
            machine.prometheus(),
            java.result(),
            # A driver that answered will answer again.
            *own.environments(detect() if has_gpu else "cpu"),
            own.made_models(),
            own.calibrated(),
            machine.browser(),
        ]
