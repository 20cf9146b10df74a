"""The `lab` command. Each command is a few lines over the rooms; `lab.terminal` ends errors.

What only some commands need (pandas, Arrow) they import themselves: `lab ps` must not wait for it.
"""

import io
import signal
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from lab import services, tables
from lab.batch_command import batch_command
from lab.errors import LabError
from lab.plan import plan_command
from lab.run_command import run_command
from lab.terminal import (
    Cold,
    EngineName,
    InstanceName,
    Model,
    Settings,
    WayOfRunning,
    console,
    guarded,
    say,
)
from measure.durations import parse_duration_s
from servers import instances, knobs, supervisor
from servers.paths import log_file

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Launch real model servers, load them, and see what a setting does to the tail.",
)


@app.command()
@guarded
def up(
    engine: EngineName,
    settings: Settings = None,
    model: Model = None,
    name: InstanceName = None,
    port: Annotated[int | None, typer.Option(help="The port that answers requests.")] = None,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    way: WayOfRunning = None,
    cold: Cold = False,
    force: Annotated[
        bool, typer.Option("--force", help="Start it although `lab plan` says it cannot fit.")
    ] = False,
) -> None:
    """Start an engine (or prometheus, exporter, dashboard), wait until it answers, and warm it up.

    One that already runs as asked is left alone; one that runs with other settings is started
    anew with these.
    """
    kind = services.find(engine)
    ports = {next(iter(kind.ports)): port} if port is not None else None
    chosen = knobs.parse(kind, settings or [])
    if kind is services.DASHBOARD:
        services.watch(say)
    # To start an engine while another is measured would spoil the measurement.
    with services.alone(say) if kind.protocols else nullcontext():
        instance = supervisor.up(
            kind,
            name=name,
            settings=chosen,
            model=model,
            ports=ports,
            host=host,
            way=way,
            replace_other=True,
            warm=not cold,
            force=force,
            say=say,
        )
    say(f"{instance.name} answers at {instance.base_url}   (log: {instance.log})")


@app.command("knobs")
@guarded
def knobs_command(engine: EngineName) -> None:
    """Show what can be set on an engine, and what each setting trades."""
    console.print(tables.knobs_table(services.find(engine)))


@app.command()
@guarded
def ps() -> None:
    """Show what runs, and whether it is well."""
    console.print(tables.instances_table(instances.all_instances()))


@app.command()
@guarded
def logs(
    name: Annotated[str, typer.Argument(help="The instance's name, as `lab ps` shows it.")],
    lines: Annotated[int, typer.Option("-n", help="How many of the last lines.", min=1)] = 50,
    follow: Annotated[bool, typer.Option("-f", help="Go on as the log grows.")] = False,
) -> None:
    """Print the last lines of an instance's log."""
    instance = instances.load(name)
    # The log of a start that failed outlives its instance.
    path = Path(instance.log) if instance is not None else log_file(name)
    if not path.exists():
        known = ", ".join(instances.names()) or "nothing"
        raise LabError(f"No instance is called '{name}'. `lab ps` shows what runs: {known}.")
    with path.open(errors="replace") as log:
        for line in log.readlines()[-lines:]:
            sys.stdout.write(line)
        while follow:
            sys.stdout.write(log.read())
            sys.stdout.flush()
            time.sleep(0.3)


@app.command()
@guarded
def down(
    name: Annotated[str | None, typer.Argument(help="One instance; all if left out.")] = None,
) -> None:
    """Stop what the lab started: one instance, or everything."""
    stopped = supervisor.down(name, say=say)
    if stopped:
        say(f"stopped {', '.join(stopped)}")
    elif name is not None and instances.names():
        say(f"{name} was not running; there are {', '.join(instances.names())}")
    else:
        say("nothing was running")


app.command("run")(guarded(run_command))
app.command("batch")(guarded(batch_command))
app.command("plan")(guarded(plan_command))


@app.command()
@guarded
def compare(
    runs: Annotated[list[str], typer.Argument(metavar="RUN RUN...", help="Run ids or folders.")],
    definitions: Annotated[
        bool,
        typer.Option(
            "--definitions",
            help="Each run, one is enough, as other load generators would have put it, and why.",
        ),
    ] = False,
) -> None:
    """Two or more runs side by side: the client's numbers with intervals, then the engine's."""
    from lab import reports

    if not (1 if definitions else 2) <= len(runs) <= reports.MOST_RUNS:
        raise LabError(
            f"A comparison is of 2 to {reports.MOST_RUNS} runs, and {len(runs)} were given. "
            "`ls runs` shows those you have; --definitions takes one too."
        )
    found = [reports.find_run(run) for run in runs]
    if definitions:
        reports.print_definitions(console, found)
    else:
        reports.print_comparison(console, found)


@app.command()
@guarded
def doctor() -> None:
    """Look at this machine: what is there, what is missing, what to do about it."""
    from lab.doctor import checks as look

    checks = look()
    console.print(tables.doctor_table(checks))
    if any(check.state == "missing" and check.needed for check in checks):
        raise typer.Exit(1)


@app.command("calibrate")
@guarded
def calibrate_command(
    levels: Annotated[
        str | None, typer.Option(help="Streams at each level (default 64,256,1024).")
    ] = None,
    processes: Annotated[int, typer.Option(help="Processes of the load test.")] = 1,
    duration: Annotated[
        str | None, typer.Option(help="Each level, without its warm-up (default 10s).")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Half a minute; not kept.")] = False,
) -> None:
    """How far the load test is off on this machine, and up to which load.

    Drives the reference server, whose times are known, and keeps the error and the ceiling; runs
    above the ceiling say so.
    """
    from lab import calibrate

    duration_s = parse_duration_s(duration) if duration is not None else None
    asked = calibrate.plan(levels, processes, duration_s, quick)
    calibrate.finish(calibrate.calibrate(asked, console), console, keep=not quick)


@app.command()
@guarded
def tour() -> None:
    """The main job: vLLM and Triton, the same load on both, a classifier, a comparison."""
    from lab.tour import tour as steps

    steps(console)


def _terminated(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """Entry point of `lab`. A closed terminal or SIGTERM ends a command as Ctrl-C does."""
    signal.signal(signal.SIGTERM, _terminated)
    signal.signal(signal.SIGHUP, _terminated)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal of another encoding gets a question mark for what it cannot show.
            stream.reconfigure(errors="replace")
    app()
