"""An experiment: one engine with its settings, one load, and the run that comes of it."""

import json
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from dashboard import runs
from lab import scrapes, services
from lab.driving import drive
from lab.errors import LabError
from lab.load import SCENARIOS, Load, check_protocol, in_words, locust_argv, protocol_for
from measure import server_metrics
from measure.manifest import new_run_id
from measure.store import Run, open_run
from measure.writer import note_engine
from servers import instances, supervisor
from servers.contract import Engine, Say, Value, Way
from servers.instances import Instance
from servers.models.classifier import NAME as CLASSIFIER

# One scrape more than the last answer, so that the engine's last increments are carried home: for
# so long at most, where Prometheus or what it scrapes is slow.
AFTER_SCRAPES_S = 2.5
BEFORE_SCRAPES_S = 5.0
# Prometheus looks every 5 s for what is new; twice that, where it is slow.
_FIRST_SCRAPE_S = 12.0


@dataclass(frozen=True)
class Outcome:
    """The run, how Locust ended, and whether it was cut short by Ctrl-C."""

    run: Run
    exit_code: int
    interrupted: bool


def ensure_instance(
    engine: Engine,
    say: Say,
    *,
    name: str | None = None,
    settings: Mapping[str, Value] | None = None,
    model: str | None = None,
    way: Way | None = None,
    warm: bool = True,
) -> Instance:
    """The instance asked for, running: the live one if it fits, else a new one in its place.

    An experiment says how its engine is set. If an instance of this name runs with other
    settings, it is stopped and started anew, and that is said. It is warmed up, if it has not
    been, unless `warm` is false.
    """
    with services.alone(say):
        return supervisor.up(
            engine,
            name=name,
            settings=settings,
            model=model,
            way=way,
            replace_other=True,
            warm=warm,
            say=say,
        )


def protocol_of(engine: Engine, load: Load) -> str:
    """The protocol in which `load` reaches the engine; `LabError` if there is none."""
    if load.protocol:
        if load.protocol not in engine.protocols:
            raise LabError(
                f"{engine.title} does not answer --protocol {load.protocol}; it answers "
                f"{', '.join(engine.protocols)}."
            )
        check_protocol(load, load.protocol)
        return load.protocol
    protocol = protocol_for(load.scenario, engine.protocols)
    if protocol is None:
        fitting = [s for s in SCENARIOS if protocol_for(s, engine.protocols)]
        raise LabError(
            f"{engine.title} cannot answer the scenario '{load.scenario}'. "
            f"Scenarios for it: {', '.join(fitting) or 'none'}."
        )
    check_protocol(load, protocol)
    return protocol


def run(engine: Engine, instance: Instance, load: Load, console: Console) -> Outcome:
    """Drive `load` at `instance`, and bring home its records, its metrics and its logs.

    Ctrl-C ends the load early: what has finished is kept and the run is still summed up.
    Raises `LabError` if the engine cannot answer such a scenario or nothing could be recorded.
    """
    say = console.print
    with services.alone(say):
        return _run(engine, instance, load, console, say)


def _run(engine: Engine, instance: Instance, load: Load, console: Console, say: Say) -> Outcome:
    protocol = protocol_of(engine, load)
    prometheus = services.watch(say)
    if instance.metrics_url is not None:
        # A load on an engine that has just started would be without the engine's own numbers.
        scrapes.wait_for(prometheus.base_url, [instance.name], instance.started_s, _FIRST_SCRAPE_S)
    run_dir = new_folder(new_run_id(instance.name, load.scenario, datetime.now(UTC)))
    engine_log = Path(instance.log)
    log_start = engine_log.stat().st_size if engine_log.exists() else 0
    with tempfile.TemporaryDirectory(prefix="serving-lab-") as scratch:
        engine_json = Path(scratch) / "engine.json"
        engine_json.write_text(json.dumps(engine_facts(engine, instance) | _other_model(load)))
        argv = locust_argv(
            load,
            host=_host(instance, protocol, load.transport),
            model=engine.served_models.get(protocol, instance.served_name),
            protocol=protocol,
            run_dir=run_dir,
            engine_json=engine_json,
        )
        locust_log = Path(scratch) / "locust.log"
        what = f"{load.scenario} on {instance.name}, {in_words(load)}, {load.duration_s:g} s"
        exit_code, interrupted = drive(argv, locust_log, what, load.duration_s, console)
        if not (run_dir / "manifest.json").exists():
            if interrupted:
                raise KeyboardInterrupt
            raise LabError(
                f"The load test ended (exit code {exit_code}) before it recorded anything:\n"
                + "\n".join(locust_log.read_text().strip().splitlines()[-15:])
            )
        for line in locust_log.read_text(errors="replace").splitlines():
            if line.startswith("Note: "):
                console.print(line, markup=False)
        logs = run_dir / "logs"
        logs.mkdir(exist_ok=True)
        shutil.copy(locust_log, logs / "locust.log")
    _keep_engine_log(engine_log, log_start, logs)
    if not instances.leader_alive(instance):
        say(
            f"warning: the first process of {instance.name} ended during the run: what was "
            "answered since is by what it left, if anything; `lab ps` shows how it is"
        )
        note_engine(run_dir, ended_in_run=True)
    finished = open_run(run_dir)
    _keep_server_metrics(finished, prometheus, instance, engine.metrics_lag_s, say)
    return Outcome(open_run(run_dir), exit_code, interrupted)


def measured(engine: Engine, instance: Instance, load: Load, console: Console) -> Run:
    """The run of a load that went through and was answered.

    Raises `KeyboardInterrupt` if it was cut short, `LabError` if no request succeeded; what was
    recorded is kept in both cases.
    """
    outcome = run(engine, instance, load, console)
    if outcome.interrupted:
        raise KeyboardInterrupt
    if not outcome.run.summary["requests"]["ok"]:
        raise nothing_answered(outcome.run)
    return outcome.run


def nothing_answered(run: Run) -> LabError:
    """What to say of a run none of whose requests succeeded."""
    kinds = "; ".join(f"{n} x {text}" for text, n in run.summary["requests"]["by_error"].items())
    return LabError(
        f"No request of run {run.path.name} succeeded ({kinds or 'none was finished'}). "
        f"{run.path / 'logs'} holds what Locust and the engine said."
    )


def engine_facts(engine: Engine, instance: Instance) -> dict[str, object]:
    """The manifest's `engine`: what was measured, exactly enough to start it again."""
    return {
        "name": engine.name,
        "title": instance.title or engine.title,
        "way": instance.way,
        "instance": instance.name,
        "version": instance.version,
        "settings": dict(instance.settings),
        "argv": list(instance.argv),
        "model": instance.model,
        "device": instance.device,
        "memory_plan": instance.memory_plan,
        "ready_s": instance.ready_s,
        "warm": instance.warmup is not None,
        "warmup": asdict(instance.warmup) if instance.warmup is not None else None,
        "neighbours": services.neighbours(instance.name),
    }


def _other_model(load: Load) -> dict[str, str]:
    """The lab's classifier, where that answers and not the instance's language model."""
    return {"model": CLASSIFIER} if load.scenario == "classify" else {}


def new_folder(run_id: str) -> Path:
    """A folder that no run has yet; another lab's home may share the runs."""
    folder = runs.root() / run_id
    number = 1
    while folder.exists():
        number += 1
        folder = runs.root() / f"{run_id}-{number}"
    return folder


def _host(instance: Instance, protocol: str, transport: str) -> str:
    if protocol == "kserve-grpc" or (protocol == "kserve-infer" and transport == "grpc"):
        return f"grpc://{instance.host}:{instance.ports['grpc']}"
    return instance.base_url


def _keep_engine_log(log: Path, start: int, logs: Path) -> None:
    """Copy what the engine wrote during the run."""
    if log.exists():
        with log.open("rb") as source, (logs / "engine.log").open("wb") as target:
            source.seek(start)
            shutil.copyfileobj(source, target)


def _keep_server_metrics(
    run: Run, prometheus: Instance, instance: Instance, lag_s: float, say: Say
) -> None:
    scraped = [instance.name, services.EXPORTER]
    scrapes.wait_for(prometheus.base_url, scraped, time.time() + lag_s, AFTER_SCRAPES_S)
    epoch_s = float(run.manifest["epoch_s"])
    try:
        table = scrapes.collect(
            prometheus.base_url,
            [instance.name],
            epoch_s - BEFORE_SCRAPES_S,
            time.time(),
            epoch_s,
        )
    except LabError as problem:
        say(f"warning: {problem}")
        return
    server_metrics.write(run.path, table)
