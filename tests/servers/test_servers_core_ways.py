"""Which way an engine is run, and the container it gets where that is Docker."""

from pathlib import Path

import pytest

from servers import docker, stopping, ways
from servers.contract import Engine, Launch, Request
from servers.errors import ServerError


def engine(*of: str, program: str = "no-such-program") -> Engine:
    return Engine(
        name="some",
        title="Some engine",
        summary="",
        ports={"http": 8000},
        launch=lambda _: Launch(argv=(), env={}, base_url="", ready_url=""),
        ways=of,  # type: ignore[arg-type]
        program=program,
        image="registry/some:1.2",
    )


def no_docker() -> str | None:
    return "no Docker engine answers"


def with_docker() -> str | None:
    return None


def test_an_engine_of_one_way_says_nothing_of_it():
    assert ways.choose(engine("environment"), None, no_docker) == ways.Choice("environment")


def test_the_first_way_that_can_be_had_is_taken_and_the_others_are_told():
    chosen = ways.choose(engine("path", "docker", "environment"), None, no_docker)
    assert chosen.way == "environment"
    assert "`no-such-program` on PATH" in chosen.why and "no Docker engine answers" in chosen.why


def test_a_program_on_path_comes_with_its_full_path():
    chosen = ways.choose(engine("path", "environment", program="sh"), None, no_docker)
    assert chosen.way == "path"
    assert chosen.program is not None and chosen.program.is_absolute()


def test_docker_is_taken_where_it_answers_and_the_image_is_named():
    chosen = ways.choose(engine("path", "docker", "environment"), None, with_docker)
    assert chosen.way == "docker" and "registry/some:1.2" in chosen.why


def test_what_the_user_says_comes_first():
    both = engine("path", "environment", program="sh")
    assert ways.choose(both, "environment", no_docker).way == "environment"


def test_a_way_the_engine_does_not_have_is_refused_with_those_it_has():
    with pytest.raises(ServerError, match="cannot be run by --way docker; it can by: environment"):
        ways.choose(engine("environment"), "docker", with_docker)


def test_a_way_this_machine_does_not_have_is_refused_with_the_reason():
    with pytest.raises(ServerError, match="no Docker engine answers"):
        ways.choose(engine("docker", "environment"), "docker", no_docker)


def request_of(host: str = "127.0.0.1", device: str = "cuda") -> Request:
    return Request(
        instance="one", settings={}, model=None, served_name="", ports={"http": 8000}, host=host,
        workspace=Path("/lab/work/one"), python=None, device=device, way="docker",  # type: ignore[arg-type]
    )  # fmt: skip


def test_the_docker_command_line_is_exactly_this():
    container = docker.Container(
        image="registry/some:1.2",
        arguments=("--port", "80"),
        ports={80: 8000},
        mounts={Path("/models/m"): "/model", Path("/cache"): "/data"},
        read_only=frozenset({Path("/models/m")}),
        env={"OFFLINE": "1"},
        pass_env=("HF_TOKEN",),
    )
    name = docker.name(request_of())
    assert docker.run_argv(request_of(), container) == (
        "docker", "run", "--rm", "--init", "--name", name, "--gpus", "all", "--shm-size", "1024m",
        "--publish", "127.0.0.1:8000:80", "--volume", "/models/m:/model:ro", "--volume", "/cache:/data",
        "--env", "OFFLINE=1", "--env", "HF_TOKEN", "registry/some:1.2", "--port", "80",
    )  # fmt: skip
    assert docker.cleanup_argv(request_of()) == ("docker", "rm", "--force", name)


def test_without_a_gpu_none_is_asked_for():
    argv = docker.run_argv(request_of(device="cpu"), docker.Container("i", (), {}))
    assert "--gpus" not in argv


def test_containers_of_two_labs_have_different_names():
    from dataclasses import replace

    other = replace(request_of(), workspace=Path("/other/work/one"))
    assert docker.name(request_of()) != docker.name(other)


def test_a_cleanup_that_cannot_run_does_not_keep_an_instance_from_being_stopped():
    stopping._clean_up(("/no/such/program",))
