"""What a process of a load test asks of its system before the load: signals, files, memory."""

import ctypes
import gc
import inspect
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import gevent
import pyarrow as pa
from locust.env import Environment

from loadtests.errors import LoadError

# Beside one socket a request: libraries, logs, Locust's own sockets.
_OTHER_FILES = 200
_PR_SET_PDEATHSIG = 1
_LOOPBACK = "127.0.0.1"
_FORKED_BY: list[int] = []
# How long a worker waits for its master, which has had the same Ctrl-C, to end the run.
_MASTERS_TURN_S = 2.0


def refuse(message: str) -> NoReturn:
    """End before anything has started. Locust turns exceptions in listeners into tracebacks."""
    print(f"locust: error: {message}", file=sys.stderr, flush=True)
    sys.exit(1)


def interrupt_main_greenlet_only(later: Callable[[], bool] = lambda: False) -> None:
    """Let Ctrl-C reach Locust, whatever greenlet is running at that moment.

    Python raises KeyboardInterrupt in the middle of whichever greenlet runs; in one that is a
    `Thread` (the metrics server, the run writer) it is swallowed and the load test goes on, in
    the event loop's own callback it would tear a read apart. Through gevent it goes to the main
    greenlet, where Locust waits for it. A shell that had us ignore it is obeyed.

    `later` says that the first one is not for this process: a terminal sends Ctrl-C to the master
    and its workers alike, and the master ends the run in good order. If it has not after two
    seconds it was for this process after all; so is a second one.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return
    hub, had = gevent.get_hub(), list[bool]()

    def interrupt() -> None:
        hub.handle_system_error(KeyboardInterrupt, KeyboardInterrupt())

    def wait_for_master() -> None:
        gevent.sleep(_MASTERS_TURN_S)
        if later():
            interrupt()

    def on_signal() -> None:
        if later() and not had:
            had.append(True)
            gevent.spawn(wait_for_master)
        else:
            interrupt()

    gevent.signal_handler(signal.SIGINT, on_signal)


def warm_up() -> None:
    """Have everything imported that would otherwise hold up the first requests of a run."""
    # pyarrow imports pandas with the first list it converts: half a second.
    pa.array([0.0])
    # Locust's stop asks for its caller's name: the first time that holds the loop for 130 ms, in
    # which the chunks of the last answers pile up and lose their own stamps.
    inspect.stack()
    # What is there by now stays: collections during the run need not look through it.
    gc.collect()
    gc.freeze()


def ender(environment: Environment) -> Callable[[], None]:
    """What ends the load test as Locust's own timer does; on the web page it ends the run alone."""
    runner, parsed = environment.runner, environment.parsed_options
    assert runner is not None and parsed is not None
    end: Callable[[], None] = runner.quit if parsed.headless else runner.stop
    return end


def allow_open_files(streams: int, *, all_of_them: bool) -> None:
    """Let this process have that many connections at once, or as many as it can have.

    Raises:
        LoadError: the system's hard limit is below, and it must be `all_of_them`.
    """
    needed = streams + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        if not all_of_them:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            return
        raise LoadError(
            f"{streams} requests at once need {needed} open files, and the system allows a process "
            f"{hard} (ulimit -Hn). Raise that limit, ask for fewer at once, or drive them from "
            "more processes (--processes)."
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def keep_master_to_this_machine(argv: Sequence[str]) -> None:
    """With --processes alone nobody else need reach the master: a port of its own, on loopback.

    Locust would listen on port 5557 of every interface, and a second load test could not start.
    What is said of it (--master-..., LOCUST_MASTER_...) stands. To be called before Locust reads
    its command line.
    """
    wanted = (
        any(word.startswith("--processes") for word in argv) or "LOCUST_PROCESSES" in os.environ
    )
    told = any(word.startswith(("--master", "--worker")) for word in argv) or any(
        name.startswith(("LOCUST_MASTER_", "LOCUST_MODE_")) for name in os.environ
    )
    if not wanted or told:
        return
    with socket.socket() as free:
        free.bind((_LOOPBACK, 0))
        port = str(free.getsockname()[1])
    os.environ |= {
        "LOCUST_MASTER_BIND_HOST": _LOOPBACK,
        "LOCUST_MASTER_BIND_PORT": port,
        "LOCUST_MASTER_NODE_HOST": _LOOPBACK,
        "LOCUST_MASTER_NODE_PORT": port,
    }


def end_with_parent() -> None:
    """Have every process forked from this one end when this one is gone, however that happened.

    Locust forgets workers whose master ended early: they would wait for it for minutes.
    """
    os.register_at_fork(after_in_child=_after_fork)


def parent_is_gone() -> bool:
    """Whether the process that forked this one has ended (never for one that was not forked)."""
    return bool(_FORKED_BY) and os.getppid() != _FORKED_BY[-1]


def _after_fork() -> None:
    _FORKED_BY[:] = [os.getppid()]
    if sys.platform == "linux":
        libc: Any = ctypes.CDLL(None)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def finish_in_peace(**_: Any) -> None:
    """From now on Ctrl-C is answered and does nothing: the run is being written, and that ends."""
    signal.signal(signal.SIGINT, _still_writing)


def _still_writing(_signal: int, _frame: object) -> None:
    os.write(2, b"Still waiting for the last answers and writing the run; this ends by itself.\n")
