"""How long this process was ready to run and had no core."""

from pathlib import Path

_SCHEDSTAT = Path("/proc/thread-self/schedstat")


def core_wait_s() -> float:
    """The calling thread's run delay since it began, in seconds: Linux counts it for each thread.

    All greenlets share the main thread, so asked there it is theirs. 0 where the kernel does not
    tell (another system, or one built without schedstats).
    """
    try:
        return int(_SCHEDSTAT.read_text(encoding="ascii").split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0
