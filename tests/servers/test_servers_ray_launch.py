"""Ray Serve's command line, environment and file, as data; nothing is started."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from asked import request_of

from servers import knobs
from servers.errors import ServerError
from servers.ray_serve import ENGINE
from servers.ray_serve.launch import HERE, configuration

INSIDE = HERE / "inside"


request = partial(request_of, ENGINE)


def test_the_command():
    assert list(ENGINE.launch(request()).argv) == [
        "/envs/ray-serve/bin/python",
        str(INSIDE / "run.py"),
        "/lab/work/one/ray.json",
    ]


def test_addresses_are_this_machine_s_and_ready_is_said_by_a_replica():
    made = ENGINE.launch(request())
    assert made.base_url == "http://127.0.0.1:8300"
    assert made.ready_url == "http://127.0.0.1:8300/version"
    assert made.metrics_url == "http://127.0.0.1:8301/metrics"


def test_usage_is_not_reported_and_files_stay_in_the_instance_s_folder():
    env = ENGINE.launch(request()).env
    assert env["RAY_USAGE_STATS_ENABLED"] == "0"
    assert env["RAY_AUTH_MODE"] == "disabled"
    assert {env[name] for name in ("HOME", "RAY_TMPDIR", "TMPDIR")} == {"/lab/work/one/tmp"}


def test_the_node_stays_on_this_machine_s_own_address():
    assert ENGINE.launch(request()).env["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"


def test_a_path_too_long_for_a_socket_is_left_and_what_lies_outside_removed():
    assert ENGINE.launch(request()).cleanup is None
    deep = ENGINE.launch(replace(request(), workspace=Path("/" + "deep/" * 20 + "one")))
    folder = deep.env["RAY_TMPDIR"]
    assert len(f"{folder}/session/sockets/plasma_store") <= 107
    assert deep.cleanup == ("rm", "-rf", "--", folder)


def test_all_that_is_set_reaches_the_process():
    asked = request(max_batch_size=8, pipeline=True, ab_share=0.25)
    document = json.loads(configuration(asked, Path("/models/sentiment")))
    assert document["settings"] == dict(asked.settings)
    assert document["ports"] == dict(ENGINE.ports)
    assert document["classifier"] == "/models/sentiment"
    assert document["temporary"] == "/lab/work/one/tmp"


def test_a_split_without_the_pipeline_that_splits_is_refused():
    with pytest.raises(ServerError, match="pipeline=true"):
        ENGINE.launch(request(ab_share=0.1))


def test_every_default_is_a_value_its_knob_takes():
    given_all = {knob.name: knob.default for knob in ENGINE.knobs}
    assert knobs.complete(ENGINE, given_all) == knobs.complete(ENGINE, {})
