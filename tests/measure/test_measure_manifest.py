import json
from datetime import datetime

import pytest

from measure.errors import MeasureError
from measure.files import plain, write_json
from measure.manifest import RUN_SCHEMA, machine, new_manifest, new_run_id, problem

LOAD = {
    "scenario": "chat",
    "protocol": "openai-chat",
    "host": "http://h",
    "arrival": {"kind": "closed"},
}


def test_a_run_id_sorts_by_time_and_is_a_plain_folder_name():
    now = datetime(2026, 11, 22, 17, 45, 1)
    assert new_run_id("vllm", "chat", now) == "20261122-174501-vllm-chat"
    assert new_run_id("../My Engine", "", now) == "20261122-174501-my-engine"


def test_a_new_manifest_is_whole_and_json(tmp_path):
    manifest = new_manifest(
        run_id="r", epoch_s=1.7e9, load=LOAD, engine={"name": "vllm"}, versions={"x": "1"}
    )
    assert problem(manifest) is None
    assert manifest["schema"] == RUN_SCHEMA and manifest["finished"] is False
    assert manifest["created"].startswith("2023-11-14T22:13:20")
    assert manifest["engine"]["name"] == "vllm" and manifest["engine"]["model"] is None
    assert manifest["load"]["warmup"] == {"rule": "fixed", "duration_s": 0.0}
    assert manifest["versions"]["x"] == "1"
    write_json(tmp_path / "m.json", manifest)
    assert json.loads((tmp_path / "m.json").read_text()) == manifest


def test_the_machine_is_described():
    facts = machine()
    assert facts["cpu"] and facts["cores"] >= 1 and facts["memory_bytes"] > 2**20
    assert isinstance(facts["gpus"], list)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"scenario": None}, "load.scenario"),
        ({"arrival": {}}, "load.arrival.kind"),
        ({"arrival": "closed"}, "load.arrival must be object"),
        ({"warmup_s": "5s"}, "warmup_s"),
    ],
)
def test_what_a_load_lacks_is_named(changes, word):
    with pytest.raises(MeasureError, match=word):
        new_manifest(run_id="r", epoch_s=0.0, load={**LOAD, **changes})


@pytest.mark.parametrize("key", ["engine", "load", "slo", "finished", "epoch_s"])
def test_a_manifest_without_a_key_says_which(key):
    manifest = new_manifest(run_id="r", epoch_s=0.0, load=LOAD)
    del manifest[key]
    assert key in problem(manifest)


def test_nan_and_numpy_become_plain_json():
    import numpy as np

    facts = {"a": float("nan"), "b": [np.float64("inf"), np.int64(3)], "c": (np.bool_(True),)}
    assert plain(facts) == {"a": None, "b": [None, 3], "c": [True]}


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    write_json(tmp_path / "m.json", {"a": 1})
    with pytest.raises(TypeError):
        write_json(tmp_path / "m.json", {"a": object()})
    assert [file.name for file in tmp_path.iterdir()] == ["m.json"]
    assert json.loads((tmp_path / "m.json").read_text()) == {"a": 1}
