"""TorchServe's command line and files, as text; nothing is started."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import yaml
from asked import request_of
from hypothesis import given
from hypothesis import strategies as st

from servers import environments, knobs, models
from servers.torchserve import ENGINE, java
from servers.torchserve.launch import LOG4J, configuration, model_configuration, prepare
from servers.torchserve.metrics import METRICS
from servers.torchserve.metrics import configuration as metrics_configuration

JAVA = Path("/usr/lib/jvm/java-17/bin/java")


@pytest.fixture(autouse=True)
def some_java(monkeypatch):
    monkeypatch.setattr(java, "find", lambda: JAVA)


request = partial(request_of, ENGINE)


def test_the_command_is_the_one_that_torchserve_s_own_wrapper_would_run():
    packages = "/envs/torchserve/lib/site-packages"
    assert list(ENGINE.launch(request(heap_mib=256)).argv) == [
        str(JAVA),
        f"-Dmodel_server_home={packages}",
        "-Dlog4j.configurationFile=file:///lab/work/one/log4j2.xml",
        "-Djava.io.tmpdir=/lab/work/one/tmp",
        "-XX:-UsePerfData",
        "-Xmx256m",
        *("-cp", f"{packages}/ts/frontend/*"),
        "org.pytorch.serve.ModelServer",
        *("--python", "/envs/torchserve/bin/python"),
        *("--ts-config-file", "/lab/work/one/config.properties"),
        *("--model-store", "/lab/work/one/store"),
        *("--models", "classify=classify.mar"),
        "--no-config-snapshot",
        "--disable-token-auth",
    ]


def test_addresses_are_this_machine_s_and_ready_means_a_worker_that_has_loaded_the_model():
    made = ENGINE.launch(request())
    assert made.base_url == "http://127.0.0.1:8080/predictions"
    assert made.ready_url == "http://127.0.0.1:8081/models/classify#READY"
    assert made.metrics_url == "http://127.0.0.1:8082/metrics"


def test_the_configuration_binds_every_port_and_reads_bodies_as_they_are():
    lines = dict(line.split("=", 1) for line in configuration(request()).splitlines())
    assert lines == {
        "inference_address": "http://127.0.0.1:8080",
        "management_address": "http://127.0.0.1:8081",
        "metrics_address": "http://127.0.0.1:8082",
        "grpc_inference_address": "127.0.0.1",
        "grpc_inference_port": "7070",
        "grpc_management_address": "127.0.0.1",
        "grpc_management_port": "7071",
        "metrics_mode": "prometheus",
        "metrics_config": "/lab/work/one/metrics.yaml",
        "disable_system_metrics": "true",
        "decode_input_request": "false",
        "install_py_dep_per_model": "false",
        "number_of_gpu": "0",
        "use_native_io": "true",
    }


def test_knobs_end_in_the_model_s_configuration_and_delays_in_milliseconds_rounded_up():
    asked = request(
        max_batch_size=8, max_queue_delay_us=1_200, instances=2, threads=3, max_queue_size=7
    )
    assert yaml.safe_load(model_configuration(asked.settings)) == {
        "minWorkers": 2,
        "maxWorkers": 2,
        "batchSize": 8,
        "maxBatchDelay": 2,
        "jobQueueSize": 7,
        "responseTimeout": 120,
        "handler": {"threads": 3},
    }


@given(st.integers(0, 10_000_000))
def test_a_delay_is_never_shortened_and_less_than_a_millisecond_longer(delay_us):
    settings = knobs.complete(ENGINE, {"max_queue_delay_us": delay_us})
    delay_ms = yaml.safe_load(model_configuration(settings))["maxBatchDelay"]
    assert 0 <= delay_ms * 1000 - delay_us < 1000


def test_a_path_too_long_for_a_socket_is_left_and_what_lies_outside_removed():
    assert ENGINE.launch(request()).cleanup is None
    deep = ENGINE.launch(replace(request(), workspace=Path("/" + "deep/" * 20 + "one")))
    (folder,) = {word.partition("=")[2] for word in deep.argv if "tmpdir" in word}
    assert len(folder) < 90
    assert deep.cleanup == ("rm", "-rf", "--", folder)
    assert deep.env["TMPDIR"] == folder


def test_no_request_is_a_line_of_the_log():
    assert '<Logger name="ACCESS_LOG" level="off"/>' in LOG4J


def test_every_metric_that_is_mapped_is_one_that_torchserve_is_told_to_export():
    kinds = {"counter": "counter", "gauge": "gauge", "histogram": "histogram"}
    told = metrics_configuration()
    exported = {
        one["name"]: kinds[kind]
        for section in ("ts_metrics", "model_metrics")
        for kind, families in told[section].items()
        for one in families
    }
    assert {metric.name: exported.get(metric.name) for metric in METRICS} == {
        metric.name: metric.kind for metric in METRICS
    }


def test_its_end_as_a_project_is_said_where_it_is_named():
    assert "archived" in ENGINE.title
    assert "archived in August 2025" in ENGINE.summary


def test_every_default_is_a_value_its_knob_takes():
    given_all = {knob.name: knob.default for knob in ENGINE.knobs}
    assert knobs.complete(ENGINE, given_all) == knobs.complete(ENGINE, {})


def test_what_a_start_that_was_killed_left_of_its_archive_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(java, "ensure", lambda: JAVA)
    monkeypatch.setattr(models, "classifier", lambda say: tmp_path)
    archiving: list[Path] = []

    def run(what, argv, folder, env, timeout_s):
        archiving.extend(tmp_path.glob(".archive.*"))
        assert archiving == [folder]

    monkeypatch.setattr(environments, "run", run)
    (tmp_path / ".archive.left").mkdir()
    (tmp_path / ".archive.left" / "model.onnx").write_bytes(b"half")
    prepare(replace(request(), workspace=tmp_path), print)
    assert archiving and not list(tmp_path.glob(".archive.*"))
