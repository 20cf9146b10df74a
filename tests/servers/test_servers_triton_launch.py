"""How tritonserver is found, laid out and started."""

import sys
from pathlib import Path

import pytest

from servers import knobs, ways
from servers.contract import Request
from servers.errors import ServerError
from servers.triton import ENGINE, layout, metrics

VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"


def program(path: Path, content: bytes = b"") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o755)
    return path


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """The Python of an environment with the wheel's files in it (their content does not matter)."""
    environment = tmp_path / "env"
    python = environment / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    home = environment / "lib" / f"python{VERSION}" / "site-packages" / "pytriton" / "tritonserver"
    program(home / "bin" / "tritonserver")
    program(home / "backends" / "python" / "libtriton_python.so")
    program(home / "backends" / "python" / "triton_python_backend_utils.py")
    for version in ("3.8", VERSION):
        stub = home / "python_backend_stubs" / version / "triton_python_backend_stub"
        program(stub, f"ELF..libpython{version}.so.1.0..".encode())
    (home.parent.parent / "nvidia_pytriton.libs").mkdir()
    return python


def request(python: Path | None, workspace: Path, **changes) -> Request:
    facts = {
        "instance": "t1",
        "settings": knobs.parse(ENGINE, []),
        "model": "/models/m",
        "served_name": "m",
        "ports": {"http": 8000, "grpc": 8001, "metrics": 8002},
        "host": "127.0.0.1",
        "workspace": workspace,
        "python": python,
        "device": "cpu",
    }
    return Request(**{**facts, **changes})


@pytest.fixture(autouse=True)
def nothing_on_path(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv(layout.CHOICE, raising=False)
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)


def test_shared_memory_is_named_after_the_lab_and_the_instance(python, tmp_path):
    one = ENGINE.launch(request(python, tmp_path / "a")).shm_prefix
    other = ENGINE.launch(request(python, tmp_path / "b")).shm_prefix
    assert one != other
    assert one.startswith("serving_lab_") and one.endswith("_t1_")


def test_argv_of_a_launch(python, tmp_path):
    launch = ENGINE.launch(request(python, tmp_path / "w"))
    assert launch.argv[0].endswith("/pytriton/tritonserver/bin/tritonserver")
    assert launch.argv[1:] == (
        f"--model-repository={tmp_path}/w/models",
        "--model-control-mode=explicit",
        "--load-model=llm",
        "--load-model=text_classifier",
        f"--backend-directory={tmp_path}/w/backends",
        "--disable-auto-complete-config",
        "--http-address=127.0.0.1",
        "--http-port=8000",
        "--grpc-address=127.0.0.1",
        "--grpc-port=8001",
        "--metrics-address=127.0.0.1",
        "--metrics-port=8002",
        "--allow-gpu-metrics=false",
        "--metrics-config=summary_latencies=true",
        f"--backend-config=python,shm-region-prefix-name={launch.shm_prefix}",
        "--exit-timeout-secs=10",
        "--log-info=false",
    )
    assert launch.ready_url == "http://127.0.0.1:8000/v2/health/ready"
    assert launch.metrics_url == "http://127.0.0.1:8002/metrics"
    assert launch.env["PATH"] == f"{python.parent}:/nowhere"
    assert "nvidia_pytriton.libs" in launch.env["LD_LIBRARY_PATH"].split(":")[0]
    assert not (tmp_path / "w").exists(), "launch writes nothing"


def test_gpu_metrics_are_asked_for_where_there_is_a_gpu(python, tmp_path):
    launch = ENGINE.launch(request(python, tmp_path, device="cuda"))
    assert "--allow-gpu-metrics=true" in launch.argv


def test_the_named_binary_comes_before_path_and_path_before_the_environment(python, tmp_path):
    named = program(tmp_path / "named" / "bin" / "tritonserver")
    on_path = program(tmp_path / "path" / "tritonserver")
    environ = {layout.CHOICE: str(named)}
    assert layout.find(python, environ, on_path).path == named
    assert layout.find(python, {}, on_path).path == on_path
    found = layout.find(python, {}, None)
    assert found.path.is_relative_to(tmp_path / "env") and "environment" in found.why


def test_a_program_on_path_is_launched_with_the_labs_models(python, tmp_path):
    on_path = program(tmp_path / "triton" / "bin" / "tritonserver")
    launch = ENGINE.launch(request(python, tmp_path / "w", way="path", program=on_path))
    assert launch.argv[0] == str(on_path)
    assert launch.argv[1] == f"--model-repository={tmp_path}/w/models"


def test_path_comes_first_then_the_environment_and_docker_only_when_asked_for():
    assert ENGINE.ways == ("path", "environment", "docker")
    assert ways.choose(ENGINE, None, lambda: None).way == "environment"
    assert ways.choose(ENGINE, "docker", lambda: None).way == "docker"
    assert ENGINE.environment_for == ("path", "environment")


def test_a_named_binary_that_is_none_is_an_error_that_names_it(python):
    with pytest.raises(ServerError, match="SERVING_LAB_TRITONSERVER=/no/such"):
        layout.find(python, {layout.CHOICE: "/no/such"}, None)


def test_an_environment_without_tritonserver_is_an_error_that_says_what_to_do(python):
    (layout.find(python, {}, None).path).unlink()
    with pytest.raises(ServerError, match=r"No tritonserver is in .*Remove that environment"):
        layout.find(python, {}, None)


def test_the_backend_is_laid_out_with_copies_and_this_pythons_stub(python, tmp_path):
    binary = layout.find(python, {}, None)
    for _ in range(2):
        layout.lay_out(binary, python, tmp_path / "backends")
    folder = tmp_path / "backends" / "python"
    assert sorted(path.name for path in folder.iterdir()) == [
        "libtriton_python.so",
        "triton_python_backend_stub",
        "triton_python_backend_utils.py",
    ]
    assert not any(path.is_symlink() for path in folder.iterdir())
    stub = folder / "triton_python_backend_stub"
    assert layout.stub_version(stub) == VERSION and stub.stat().st_mode & 0o100


def test_a_server_whose_stub_is_for_another_python_is_refused_naming_both(python, tmp_path):
    home = tmp_path / "other"
    binary = program(home / "bin" / "tritonserver")
    for name in ("libtriton_python.so", "triton_python_backend_utils.py"):
        program(home / "backends" / "python" / name)
    program(home / "backends" / "python" / "triton_python_backend_stub", b"libpython3.7.so.1.0")
    with pytest.raises(ServerError, match=rf"no Python backend stub for Python {VERSION}.*3\.7"):
        layout.lay_out(layout.Binary(binary, "named"), python, tmp_path / "backends")


def test_a_server_without_a_python_backend_is_refused(python, tmp_path):
    binary = program(tmp_path / "bare" / "bin" / "tritonserver")
    with pytest.raises(ServerError, match="has no Python backend"):
        layout.lay_out(layout.Binary(binary, "found on PATH"), python, tmp_path / "backends")


def test_a_python_outside_an_environment_is_refused(tmp_path):
    with pytest.raises(ServerError, match="does not belong to a virtual environment"):
        layout.site_packages(tmp_path / "bin" / "python")


def test_a_concept_has_one_metric_of_the_labs_own_models_and_one_of_the_images():
    for of_vllm in (False, True):
        ours = [m for m in ENGINE.metrics if m.name.startswith("vllm:") == of_vllm]
        # The two models tell failures apart by labels of their own.
        concepts = [(m.concept, m.by) for m in ours]
        assert len(concepts) == len(set(concepts))
        assert {"ttft", "itl", "running", "waiting", "output_tokens"} <= {m.concept for m in ours}
    for metric in ENGINE.metrics:
        assert metric.scale == (metrics.US if metric.name.endswith("_us") else 1.0)


def test_the_warm_up_asks_each_model_that_is_loaded():
    def paths(chosen):
        settings = knobs.parse(ENGINE, [f"models={chosen}"])
        return [
            one.path for one in ENGINE.warm_requests(request(None, Path("w"), settings=settings))
        ]

    assert paths("both") == ["/v2/models/llm/generate", "/v2/models/text_classifier/infer"]
    assert paths("text_classifier") == ["/v2/models/text_classifier/infer"]


def test_knobs_have_defaults_they_accept_themselves():
    settings = knobs.parse(ENGINE, [])
    assert knobs.complete(ENGINE, settings) == settings
    assert settings["preferred_batch_sizes"] == (8, 16, 32)
    assert settings["max_queue_delay_us"] == 5_000
