"""The loads that the README shows are taken by `lab run`, and by Locust's side as it passes them on."""

import argparse
import json
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lab import cli, experiment
from lab.load import Load, locust_argv
from loadtests.flags import add_arguments
from loadtests.options import Options, check

README = Path(__file__).resolve().parents[2] / "README.md"
SECTION = re.search(r"^## Loads$(.*?)^## ", README.read_text(), re.DOTALL | re.MULTILINE)
LOOPS = re.findall(
    r"^    for engine in (.*); do\n +lab (run [^;]*);", README.read_text(), re.MULTILINE
)
EACH = [command.replace("$engine", name) for names, command in LOOPS for name in names.split()]
EACH += re.findall(r"^    lab (run .*--scenario classify .*)$", README.read_text(), re.MULTILINE)
COMMANDS = re.findall(r"^    lab (run .*)$", SECTION[1], re.MULTILINE) if SECTION else []


class Reached(Exception):
    """An engine would be started now."""


def taken_by_locust(load: Load) -> Options:
    """What the flags mean on the other side of the command line."""
    argv = locust_argv(
        load, host="http://127.0.0.1:8000", model="m", protocol="openai-chat",
        run_dir=Path("runs/new"), engine_json=Path("engine.json"),
    )  # fmt: skip
    parser = argparse.ArgumentParser()
    for flags in (("-f",), ("-H", "--host"), ("--stop-timeout",), ("--loglevel",)):
        parser.add_argument(*flags)
    for flag in ("--headless", "--only-summary"):
        parser.add_argument(flag, action="store_true")
    parser.add_argument("-u", dest="num_users", type=int)
    parser.add_argument("-r", dest="spawn_rate", type=float)
    parser.add_argument("-t", dest="run_time", type=lambda text: int(text.removesuffix("s")))
    add_arguments(parser, ("openai-chat",))
    return check(parser.parse_args(argv[argv.index("locust") + 1 :]))


@pytest.fixture
def files(tmp_path, monkeypatch, make_trace_run):
    """The files that the commands name."""
    monkeypatch.chdir(tmp_path)
    Path("engine.json").write_text("{}")
    Path("AzureLLMInferenceTrace_conv.csv").write_text(
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,44\n"
        "2023-11-16 18:16:46.6805900,374,44\n"
    )
    said = [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}] * 2
    Path("ShareGPT.json").write_text(json.dumps([{"id": "x", "conversations": said}]))
    Path("mine.jsonl").write_text('{"prompt": "a"}\n')
    make_trace_run(Path("runs/RUN"))


@pytest.fixture
def make_trace_run():
    """Writes a small run, whose requests can be asked again."""
    from measure.manifest import new_manifest
    from measure.records import Record, Status
    from measure.store import RunWriter
    from measure.verdict import ClientStats

    def make(path: Path) -> None:
        load = {"scenario": "chat", "protocol": "openai-chat", "host": "h"}
        load["arrival"] = {"kind": "closed", "users": 1}
        writer = RunWriter.create(path, new_manifest(run_id=path.name, epoch_s=0.0, load=load))
        for number in range(3):
            writer.append(
                Record(
                    request_id=f"0-{number}", worker=0, scheduled_s=3.0 * number,
                    prompt_tokens=5, output_tokens=2, status=Status.OK,
                )
            )  # fmt: skip
        writer.close(ClientStats(cpu_s=0.1, wall_s=8.0, max_in_flight=1, end_s=8.0))

    return make


def test_the_readme_shows_every_kind_of_arrival_of_prompt_and_of_engine():
    assert len(LOOPS) == 2 and len(EACH) >= 9
    shown = " ".join(COMMANDS)
    for word in ("gamma", "ramp", "steps", "spike", "diurnal", "trace", "--turns", "--dataset"):
        assert word in shown


@pytest.mark.parametrize("command", [*COMMANDS, *EACH])
def test_a_load_of_the_readme_can_be_driven(command, files, monkeypatch):
    loads = []

    def reached(*_, **__):
        raise Reached

    protocol_of = experiment.protocol_of
    monkeypatch.setattr(
        experiment, "protocol_of", lambda kind, load: (loads.append(load), protocol_of(kind, load))
    )
    monkeypatch.setattr(experiment, "ensure_instance", reached)
    done = CliRunner().invoke(cli.app, shlex.split(command))
    assert isinstance(done.exception, Reached), done.output
    options = taken_by_locust(loads[0])
    assert options.asking.workload.turn(0) is not None
    if options.schedule is not None:
        assert next(options.schedule.offsets_s(options.seed)) >= 0
