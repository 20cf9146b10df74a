"""One Ray node on this machine's own address, and the classifier served on it.

    python run.py CONFIG.json

`ray.init` cannot be told all ports and `ray start` leaves daemons that only a `ray stop` of the
whole machine ends; so the node is made as both make it, by Ray's own `Node`.
"""

import atexit
import json
import os
import signal
import sys
import time
from pathlib import Path

import ray
from deployments import application
from ray import serve
from ray._private.node import Node
from ray._private.parameter import RayParams

NAME = "classify"
_LOOK_EVERY_S = 0.5


def start_node(config):
    """Ray's processes: all on the host's address, ports that are not given chosen by the kernel."""
    return Node(
        RayParams(
            node_ip_address=config["host"],
            gcs_server_port=config["ports"]["gcs"],
            metrics_export_port=config["ports"]["metrics"],
            dashboard_agent_listen_port=config["ports"]["agent"],
            runtime_env_agent_port=config["ports"]["runtime_env"],
            node_manager_port=0,
            object_manager_port=0,
            min_worker_port=0,
            max_worker_port=0,
            include_dashboard=False,
            include_log_monitor=False,
            no_monitor=True,
            num_cpus=1,
            num_gpus=0,
            object_store_memory=config["object_store_bytes"],
            temp_dir=config["temporary"],
            session_name="session",
            _system_config={
                # What nobody asked for is not started ahead.
                "enable_worker_prestart": False,
                "prestart_worker_first_driver": False,
                # Prometheus scrapes each second.
                "metrics_report_interval_ms": 1000,
            },
        ),
        head=True,
        # Its answer to SIGTERM is to wait half a minute for a drain, also before it serves.
        shutdown_at_exit=False,
        spawn_reaper=True,
    )


def leave(node):
    """End at once: before it serves there is nothing to finish."""
    node.kill_all_processes(check_alive=False, allow_graceful=False)
    os._exit(0)


def main():
    """Serve until SIGTERM; end with an error as soon as a process of Ray's node has died."""
    config = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    node = start_node(config)
    atexit.register(node.kill_all_processes, check_alive=False, allow_graceful=True)
    ray.init(
        address=node.address,
        _node_ip_address=config["host"],
        log_to_driver=False,
        logging_level="warning",
    )
    # After Ray's own, which would write a stack trace into the log of every good end.
    signal.signal(signal.SIGTERM, lambda *_: leave(node))
    serve.start(
        proxy_location="HeadOnly",
        http_options={"host": config["host"], "port": config["ports"]["http"]},
        logging_config={"enable_access_log": False},
    )
    app = application(config["settings"], config["classifier"])
    serve.run(app, name=NAME, route_prefix="/", logging_config={"enable_access_log": False})
    print("serving", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    dead = []
    try:
        while not (dead := node.dead_processes()):
            time.sleep(_LOOK_EVERY_S)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if not dead:
            # Replicas finish what they have; `serve.shutdown` would take a minute over the rest.
            serve.delete(NAME)
            ray.shutdown()
        node.kill_all_processes(check_alive=False, allow_graceful=not dead)
    names = ", ".join(sorted({name for name, _ in dead}))
    print(f"Ray's {names} has ended; its logs are in {node.get_logs_dir_path()}", flush=True)
    # Ray's own goodbye asks a node that is no longer whole, for a minute.
    os._exit(1)


if __name__ == "__main__":
    main()
