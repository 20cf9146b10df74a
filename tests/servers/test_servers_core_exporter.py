import os
import subprocess
import sys

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from servers_standin import STANDIN

from servers import supervisor
from servers.exporter.__main__ import InstanceCollector, families
from servers.exporter.facts import CpuClock, Facts, Observer
from servers.gpus import Driver


@given(st.lists(st.floats(0, 1e6)))
def test_cpu_seconds_never_fall_and_count_every_rise(readings):
    clock = CpuClock()
    totals = [clock.total(reading) for reading in readings]
    assert totals == sorted(totals)
    rises = sum(max(b - a, 0) for a, b in zip([0.0, *readings], readings, strict=False))
    assert not totals or totals[-1] == pytest.approx(rises)


def test_facts_cover_every_process_of_an_instance(lab_home):
    instance = supervisor.up(STANDIN, settings={"children": 2}, say=lambda _: None)
    [facts] = Observer().look()
    assert (facts.instance, facts.engine, facts.processes) == ("standin", "standin", 3)
    alone = psutil.Process(instance.pid).memory_info().rss
    assert facts.rss_bytes > alone
    assert facts.pss_bytes is None or 0 < facts.pss_bytes <= facts.rss_bytes
    assert facts.cpu_s > 0


def test_an_instance_that_is_gone_has_no_facts(lab_home):
    observer = Observer()
    supervisor.up(STANDIN, say=lambda _: None)
    assert len(observer.look()) == 1
    supervisor.down(say=lambda _: None)
    assert observer.look() == []


def test_pss_has_no_sample_where_it_is_unknown():
    facts = [Facts("a", "vllm", 1.0, 2, 100, None, 3.5), Facts("b", "triton", 1.0, 1, 50, 40, 1.0)]
    registry = CollectorRegistry()

    class Fixed(InstanceCollector):
        def collect(self):
            return iter(families(facts))

    registry.register(Fixed(Observer(), Driver()))
    samples = {
        (sample.name, sample.labels["instance"], sample.labels.get("kind")): sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
    }
    assert ("lab_instance_memory_bytes", "a", "pss") not in samples
    assert samples["lab_instance_memory_bytes", "b", "pss"] == 40
    assert samples["lab_instance_cpu_seconds_total", "a", None] == 3.5
    assert samples["lab_instance_processes", "a", None] == 2


def test_importing_the_catalogue_brings_no_heavy_library():
    heavy = [
        "torch",
        "numpy",
        "pyarrow",
        "transformers",
        "locust",
        "streamlit",
        "onnxruntime",
        "tritonclient",
    ]
    code = f"import sys, servers.catalog; print([m for m in {heavy} if m in sys.modules])"
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ)
    )
    assert ended.stdout.strip() == "[]", ended.stderr
