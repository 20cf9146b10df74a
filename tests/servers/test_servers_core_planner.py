"""The memory planner: what is stated is compared with what is here, before anything starts."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers_standin import STANDIN, processes_of
from stub_nvml import Card, Nvml

from servers import instances, planner, supervisor
from servers.errors import ServerError
from servers.gpus import Gpu
from servers.machine import HostMemory, host_memory
from servers.memory import GIB, MIB, Memory, Part, show
from servers.planner import Here, Holder, Wanted

HERE = Here(HostMemory(16 * GIB, 10 * GIB))


def wanted(*parts: Part, device="cpu", name="one", **more) -> Wanted:
    return Wanted(name, name.title(), device, Memory(parts, **more))


def gpu(index=0, free=70 * GIB, total=80 * GIB) -> Gpu:
    return Gpu(index, f"GPU-{index}", "Card", "", {}, {}, total, free)


def test_what_fits_is_neither_refused_nor_warned_of():
    plan = planner.plan([wanted(Part("weights", 4 * GIB), Part("overhead", 6 * GIB))], HERE)
    assert (plan.refusals, plan.warnings) == ((), ())


def test_a_byte_too_much_is_refused_with_the_numbers():
    plan = planner.plan([wanted(Part("weights", 4 * GIB), Part("KV cache", 9 * GIB))], HERE)
    [words] = plan.refusals
    assert "one will take 13.0 GiB of memory to start" in words
    assert "10.0 GiB of this machine's 16.0 GiB are free: 3.0 GiB too little" in words


def test_engines_planned_together_are_added_up():
    each = [wanted(Part("weights", 6 * GIB), name=name) for name in ("a", "b")]
    assert planner.plan(each[:1], HERE).refusals == ()
    assert "a and b together will take 12.0 GiB" in planner.plan(each, HERE).refusals[0]


def test_what_comes_later_is_a_warning_unless_it_can_never_be():
    later = [Part("weights", 9 * GIB), Part("KV cache", 3 * GIB, later=True)]
    plan = planner.plan([wanted(*later)], HERE)
    assert plan.refusals == ()
    assert "may grow to 12.0 GiB" in plan.warnings[0]
    never = planner.plan([wanted(later[0], replace(later[1], host_bytes=8 * GIB))], HERE)
    assert "may grow to 17.0 GiB, more than this machine's 16.0 GiB" in never.refusals[0]


def test_activations_of_the_largest_batches_never_refuse():
    parts = [Part("weights", GIB), Part("activations", 900 * GIB, later=True)]
    plan = planner.plan([wanted(*parts)], HERE)
    assert plan.refusals == ()
    assert "900 GiB" in plan.warnings[0] or "901 GiB" in plan.warnings[0]


def test_what_running_instances_have_still_to_take_is_not_free():
    here = replace(HERE, holders=(Holder("other", 2 * GIB, host_to_come=5 * GIB),))
    plan = planner.plan([wanted(Part("weights", 6 * GIB))], here)
    assert "less 5.0 GiB that running instances have still to take: 1.0 GiB" in plan.refusals[0]


def test_what_is_unknown_counts_as_nothing():
    plan = planner.plan([wanted(Part("weights", None), Part("overhead", GIB))], HERE)
    assert (plan.refusals, plan.warnings) == ((), ())


def test_a_container_s_limit_is_called_so():
    here = Here(HostMemory(2 * GIB, GIB, limited=True))
    [words] = planner.plan([wanted(Part("weights", 3 * GIB))], here).refusals
    assert "this container's 2.0 GiB" in words


def test_a_gpu_that_is_too_full_is_named():
    here = replace(HERE, gpus=(gpu(free=3 * GIB),))
    asked = wanted(Part("weights", 0, 2 * GIB), Part("KV cache", 0, 2 * GIB), device="cuda")
    [words] = planner.plan([asked], here).refusals
    assert "at least 4.0 GiB of GPU 0" in words
    assert "3.0 GiB of GPU 0's 80.0 GiB are free" in words
    assert planner.plan([replace(asked, device="cpu")], here).refusals == ()


def test_tensor_parallel_takes_of_each_gpu_and_needs_them_all():
    asked = wanted(Part("weights", 0, 60 * GIB), device="cuda", gpus=2)
    assert planner.plan([asked], replace(HERE, gpus=(gpu(), gpu(1)))).refusals == ()
    full = planner.plan([asked], replace(HERE, gpus=(gpu(), gpu(1, free=GIB)))).refusals
    assert len(full) == 1
    assert "GPU 1" in full[0]
    [alone] = planner.plan([asked], replace(HERE, gpus=(gpu(),))).refusals
    assert "wants 2 GPUs, and 1 can be seen" in alone


def test_a_share_of_the_gpu_is_taken_whole_and_gives_the_rest_to_the_kv_cache():
    asked = wanted(Part("weights", 0, 20 * GIB), device="cuda", gpu_share=0.5)
    assert planner.kv_cache_bytes(asked, gpu()) == 20 * GIB
    assert planner.taken(asked, gpu(), later=False) == 40 * GIB
    assert planner.plan([asked], replace(HERE, gpus=(gpu(),))).refusals == ()
    twice = planner.plan([asked, replace(asked, name="two")], replace(HERE, gpus=(gpu(),)))
    assert "one and two together will take at least 80.0 GiB of GPU 0" in twice.refusals[0]
    big = wanted(Part("weights", 0, 50 * GIB), device="cuda", gpu_share=0.5)
    assert (
        "weights alone are 50.0 GiB"
        in planner.plan([big], replace(HERE, gpus=(gpu(),))).refusals[0]
    )


def test_without_gpus_that_tell_their_memory_nothing_is_refused():
    asked = wanted(Part("weights", 0, 900 * GIB), device="cuda")
    assert planner.plan([asked], HERE).refusals == ()
    silent = replace(HERE, gpus=(replace(gpu(), total_bytes=None, free_bytes=None),))
    assert planner.plan([asked], silent).refusals == ()


def test_a_fault_is_told_with_the_instance():
    plan = planner.plan([wanted(fault="it cannot be.")], HERE)
    assert plan.refusals == ("one: it cannot be.",)


@given(st.integers(0, 2**50))
def test_sizes_are_shown_with_at_most_three_digits_and_are_not_far_off(size):
    number, unit = show(size).split()
    factor = {"MiB": MIB, "GiB": GIB}[unit]
    assert abs(float(number.replace(",", "")) * factor - size) <= 0.05 * size + 0.05 * MIB


# What the supervisor does with it.


def greedy(size: int):
    return replace(STANDIN, memory=lambda _: Memory((Part("weights", size),)))


def test_what_cannot_fit_is_refused_before_anything_is_there(lab_home):
    with pytest.raises(ServerError, match=r"will take 1,000,000 GiB .* `lab up standin … --force`"):
        supervisor.up(greedy(10**6 * GIB), say=lambda _: None)
    assert not list((lab_home / "instances").glob("*.json"))
    assert processes_of(lab_home) == []


def test_force_starts_it_all_the_same_and_says_so(lab_home):
    said = []
    instance = supervisor.up(greedy(10**6 * GIB), force=True, say=said.append)
    assert instances.status(instance) == "running"
    assert any("Started all the same (--force)" in words for words in said)


def test_a_refused_change_leaves_what_runs_alone(lab_home):
    before = supervisor.up(STANDIN, say=lambda _: None)
    with pytest.raises(ServerError, match="too little"):
        supervisor.up(
            greedy(10**6 * GIB), settings={"children": 1}, replace_other=True, say=lambda _: None
        )
    assert psutil.pid_exists(before.pid)
    assert instances.load("standin") == before
    again = supervisor.up(greedy(10**6 * GIB), say=lambda _: None)
    assert again.pid == before.pid  # What runs as asked needs no room.


def test_an_instance_that_will_be_replaced_gives_its_memory_back(lab_home):
    supervisor.up(STANDIN, settings={"children": 3}, say=lambda _: None)
    [holder] = planner.look().holders
    assert (holder.name, holder.host_to_come) == ("standin", 0)
    assert holder.host_bytes > 10 * MIB
    assert planner.look(without=["standin"]).holders == ()


# How much memory there is.


def cgroup(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n")


def membership(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "cgroup"
    path.write_text(text)
    return path


def test_without_a_limit_it_is_the_system_s(tmp_path):
    cgroup(tmp_path / "root" / "a", memory__max="max", memory__current=5)
    found = host_memory(tmp_path / "root", membership(tmp_path, "0::/a\n"))
    assert found.total_bytes == psutil.virtual_memory().total
    assert not found.limited


def test_the_tightest_limit_on_the_way_up_counts_and_cached_files_are_free(tmp_path):
    root = tmp_path / "root"
    cgroup(root / "pod" / "box", memory__max=3 * GIB, memory__current=GIB)
    stat = f"anon 1\ninactive_file {GIB}\nactive_file 7"
    cgroup(root / "pod", memory__max=2 * GIB, memory__current=3 * GIB // 2, memory__stat=stat)
    found = host_memory(root, membership(tmp_path, "0::/pod/box\n"))
    assert (found.total_bytes, found.limited) == (2 * GIB, True)
    assert found.free_bytes == 3 * GIB // 2


def test_a_limit_of_the_first_cgroups_is_found_inside_a_container(tmp_path):
    files = {
        "memory__limit_in_bytes": GIB,
        "memory__usage_in_bytes": 2 * GIB,
        "memory__stat": "total_inactive_file 0",
    }
    cgroup(tmp_path / "root" / "memory", **files)
    found = host_memory(
        tmp_path / "root", membership(tmp_path, "4:cpu,memory:/seen/outside\n1:name=systemd:/\n")
    )
    assert found == HostMemory(GIB, 0, limited=True)


def test_nonsense_in_cgroup_files_is_no_limit(tmp_path):
    cgroup(tmp_path / "root" / "a", memory__max="lots", memory__current="some")
    found = host_memory(tmp_path / "root", membership(tmp_path, "0::/a\nnonsense\n\n:::\n"))
    assert not found.limited


# The command, on a machine with GPUs (a stand-in for the driver's library).


def test_lab_plan_shows_each_gpu_and_ends_with_1_where_it_cannot_be(tmp_path):
    nvml = Nvml(tmp_path)
    nvml.tell(Card(used=10 * GIB, free=69 * GIB), Card(used=75 * GIB, free=4 * GIB))
    model = made_model(tmp_path / "model", layers=2, hidden=64)
    shown, code = lab_plan(nvml, tmp_path, "vllm", "--model", str(model))
    assert code == 0, shown
    assert "GPU 0, Stand-in GPU: 80.0 GiB, 69.0 GiB free" in shown
    assert "as far as is known" in shown
    share = ("vllm", "--model", str(model), "--set", "gpu_memory_utilization=0.9")
    shown, code = lab_plan(nvml, tmp_path, *share)
    assert code == 1
    assert "will take at least 72.0 GiB of GPU 0" in shown
    shown, code = lab_plan(nvml, tmp_path, *share[:3], "--set", "tensor_parallel_size=2")
    assert code == 0, shown
    shown, code = lab_plan(
        nvml, tmp_path, *share[:3], "--set", "tensor_parallel_size=2", "--set", "kv_cache_gib=6"
    )
    assert code == 1
    assert "of GPU 1" in shown


def test_lab_plan_of_several_engines_sets_a_knob_on_each_that_has_it(tmp_path):
    model = str(made_model(tmp_path / "model", layers=2, hidden=64))
    both = ("vllm", "triton", "--model", model, "--set", "models=llm")
    shown, code = lab_plan(None, tmp_path, *both, "--set", "max_model_len=512")
    assert code == 0, shown
    assert "requests of max_model_len=512" in shown
    assert "16 rows of 512 tokens" in shown
    shown, code = lab_plan(None, tmp_path, "vllm", "triton", "--set", "nothing=1")
    assert (code, "no knob 'nothing'" in shown) == (1, True)


def lab_plan(nvml: Nvml | None, home: Path, *words: str) -> tuple[str, int]:
    env = {**os.environ, "SERVING_LAB_HOME": str(home / "home")}
    env |= {**nvml.environment(), "CUDA_VISIBLE_DEVICES": "0,1"} if nvml else {}
    ended = subprocess.run(
        [sys.executable, "-m", "lab", "plan", *words],
        capture_output=True,
        text=True,
        env=env,
        timeout=120,
    )
    assert "Traceback" not in ended.stderr
    return ended.stdout + ended.stderr, ended.returncode


def made_model(folder: Path, *, layers: int, hidden: int) -> Path:
    """A folder in Hugging Face's layout with weights of zeros."""
    folder.mkdir()
    config = {
        "architectures": ["LlamaForCausalLM"],
        "dtype": "bfloat16",
        "hidden_size": hidden,
        "num_attention_heads": 4,
        "num_hidden_layers": layers,
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text("{}")
    tensor = {"dtype": "BF16", "shape": [hidden, hidden], "data_offsets": [0, 2 * hidden**2]}
    header = json.dumps({"w": tensor}).encode()
    (folder / "model.safetensors").write_bytes(
        len(header).to_bytes(8, "little") + header + bytes(2 * hidden**2)
    )
    return folder
