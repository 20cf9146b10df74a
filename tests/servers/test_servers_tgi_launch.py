"""TGI's command lines, in all three ways and on both devices, as text; nothing is started."""

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from asked import request_of

from servers import paths, supervisor, ways
from servers.contract import Request
from servers.errors import ServerError
from servers.tgi import ENGINE
from servers.tgi.launch import prepare
from servers.tgi.metrics import METRICS

SECRET = "hf_this-is-nobodys-token"
IMAGE = "ghcr.io/huggingface/text-generation-inference:3.3.7"
KNOBS = (
    "--max-concurrent-requests 128 --max-batch-prefill-tokens 2048 --waiting-served-ratio 0.3 "
    "--max-waiting-tokens 20 --max-input-tokens 1024 --max-total-tokens 2048 "
)


def request(way="environment", device="cpu", model="/models/SmolLM2", **settings) -> Request:
    asked = request_of(ENGINE, model=model, device=device, **settings)
    program = Path("/usr/bin/text-generation-launcher") if way == "path" else None
    python = asked.python if way == "environment" else None
    return replace(asked, way=way, program=program, python=python)


def command(*given, **more) -> list[str]:
    return list(ENGINE.launch(request(*given, **more)).argv)


LAUNCHER = (
    "/usr/bin/text-generation-launcher --model-id /models/SmolLM2 --hostname 127.0.0.1 "
    "--port 3000 --master-port 29500 --shard-uds-path /lab/work/one/shard "
)


def test_the_launcher_on_path_without_a_gpu():
    assert command("path") == shlex.split(
        LAUNCHER + KNOBS + "--disable-custom-kernels --usage-stats off"
    )


def test_the_launcher_on_path_with_a_gpu():
    found = command(
        "path",
        "cuda",
        max_batch_size=64,
        max_batch_total_tokens=65536,
        dtype="bfloat16",
        cuda_memory_fraction=0.5,
    )
    assert found == shlex.split(
        LAUNCHER + "--max-concurrent-requests 128 --max-batch-size 64 "
        "--max-batch-total-tokens 65536 --max-batch-prefill-tokens 2048 "
        "--waiting-served-ratio 0.3 --max-waiting-tokens 20 --max-input-tokens 1024 "
        "--max-total-tokens 2048 --dtype bfloat16 --cuda-memory-fraction 0.5 --usage-stats off"
    )


DOCKER = "docker run --rm --init --name {name} {gpus}--shm-size 1024m --publish 127.0.0.1:3000:80 "


def in_docker(asked: Request) -> tuple[list[str], str]:
    made = ENGINE.launch(asked)
    name = made.argv[made.argv.index("--name") + 1]
    assert made.cleanup == ("docker", "rm", "--force", name)
    return list(made.argv), name


@pytest.mark.parametrize(
    ("device", "gpus", "last"),
    [
        ("cuda", "--gpus all ", "--usage-stats off"),
        ("cpu", "", "--disable-custom-kernels --usage-stats off"),
    ],
)
def test_the_image_with_a_models_folder(device, gpus, last):
    argv, name = in_docker(request("docker", device))
    assert argv == shlex.split(
        DOCKER.format(name=name, gpus=gpus)
        + "--volume /models/SmolLM2:/model/SmolLM2:ro --env HF_HUB_DISABLE_TELEMETRY=1 "
        f"--env HF_HUB_OFFLINE=1 {IMAGE} --model-id /model/SmolLM2 --hostname 0.0.0.0 --port 80 "
        + KNOBS
        + last
    )


def test_the_image_with_a_hugging_face_id():
    argv, name = in_docker(request("docker", "cuda", "Qwen/Qwen2.5-0.5B-Instruct"))
    cache = paths.environments().parent / "cache" / "huggingface"
    assert argv == shlex.split(
        DOCKER.format(name=name, gpus="--gpus all ")
        + f"--volume {cache}:/data --env HF_HUB_DISABLE_TELEMETRY=1 --env HF_TOKEN {IMAGE} "
        "--model-id Qwen/Qwen2.5-0.5B-Instruct --hostname 0.0.0.0 --port 80 "
        + KNOBS
        + "--usage-stats off"
    )


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_tgi_compatible_server(device):
    python, script, *rest = command("environment", device)
    assert python == "/envs/tgi/bin/python"
    assert Path(script).is_file()
    assert rest == shlex.split(
        "--model-id /models/SmolLM2 --hostname 127.0.0.1 --port 3000 " + KNOBS.strip()
    )


def test_only_the_stand_in_is_called_one():
    titles = {way: ENGINE.launch(request(way)).title for way in ENGINE.ways}
    assert titles == {
        "path": None,
        "docker": None,
        "environment": "TGI-compatible (transformers)",
    }


@pytest.mark.parametrize("way", ENGINE.ways)
def test_the_token_of_hugging_face_stands_in_no_command_and_no_environment_we_write(
    way, monkeypatch
):
    monkeypatch.setenv("HF_TOKEN", SECRET)
    for model in ("/models/SmolLM2", "Qwen/Qwen2.5-0.5B-Instruct"):
        made = ENGINE.launch(request(way, model=model))
        assert SECRET not in " ".join((*made.argv, *made.env.values()))


def test_the_token_gets_to_the_launcher_and_into_no_file_of_ours(lab_home, tmp_path, monkeypatch):
    """A launcher of three lines tells that it was given the token, not what it is."""
    launcher = tmp_path / "bin" / "text-generation-launcher"
    launcher.parent.mkdir()
    launcher.write_text('#!/bin/sh\necho "token of ${#HF_TOKEN} letters"\nexit 3\n')
    launcher.chmod(0o755)
    monkeypatch.setenv("HF_TOKEN", SECRET)
    monkeypatch.setenv("PATH", f"{launcher.parent}:/usr/bin:/bin")
    said: list[str] = []
    with pytest.raises(ServerError) as failed:
        supervisor.up("tgi", model="Qwen/Qwen2.5-0.5B-Instruct", say=said.append)
    assert f"token of {len(SECRET)} letters" in str(failed.value)
    written = "".join(
        file.read_text(errors="replace") for file in lab_home.rglob("*") if file.is_file()
    )
    assert "token of" in written
    assert SECRET not in written + "".join(said) + str(failed.value)


def test_tgi_itself_is_preferred_where_it_can_be_had(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ways.choose(ENGINE, None, docker=lambda: None).way == "docker"
    assert ways.choose(ENGINE, None, docker=lambda: "no").way == "environment"
    program = tmp_path / "text-generation-launcher"
    program.write_text("")
    program.chmod(0o755)
    assert ways.choose(ENGINE, None, docker=lambda: None).program == program


def test_a_socket_whose_path_is_too_long_goes_to_the_temporary_folder():
    deep = replace(request("path"), workspace=Path("/" + "deep/" * 20 + "one"))
    argv = ENGINE.launch(deep).argv
    assert len(argv[argv.index("--shard-uds-path") + 1]) < 100


def test_the_folder_of_fetched_models_is_made_for_a_container_that_fetches(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "environments", lambda: tmp_path / "envs")
    prepare(request("docker"), print)
    assert not (tmp_path / "cache").exists()
    prepare(request("docker", model="Qwen/Qwen2.5-0.5B-Instruct"), print)
    assert (tmp_path / "cache" / "huggingface").is_dir()


@pytest.mark.parametrize(
    ("way", "settings", "named"),
    [
        ("path", {"max_total_tokens": 1024}, "max_input_tokens"),
        ("docker", {"max_batch_prefill_tokens": 512}, "max_batch_prefill_tokens"),
        ("environment", {"max_batch_total_tokens": 1024}, "max_batch_total_tokens"),
        ("environment", {"max_total_tokens": 30000}, "max_batch_total_tokens"),
        ("environment", {"cuda_memory_fraction": 0.5}, "max_batch_total_tokens"),
        ("path", {"dtype": "float32"}, "--way environment"),
    ],
)
def test_settings_that_contradict_each_other_or_the_way_are_refused(way, settings, named):
    with pytest.raises(ServerError, match=named):
        ENGINE.launch(request(way, **settings))


def test_addresses_lead_to_this_machine_even_when_all_interfaces_are_bound():
    made = ENGINE.launch(replace(request(), host="0.0.0.0"))
    assert made.argv[made.argv.index("--hostname") + 1] == "0.0.0.0"
    assert made.ready_url == "http://127.0.0.1:3000/health"
    assert made.metrics_url == "http://127.0.0.1:3000/metrics"


def test_warm_requests_are_what_the_server_takes():
    (warm,) = ENGINE.warm_requests(request())
    assert warm.path == "/generate"
    assert json.loads(json.dumps(warm.body))["parameters"]["max_new_tokens"] == 8


def test_no_concept_is_declared_twice():
    concepts = [metric.concept for metric in METRICS]
    assert len(concepts) == len(set(concepts))
