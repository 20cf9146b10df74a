"""What each engine states of its memory. That it is near the truth is tested where engines run."""

from pathlib import Path

import pytest

from servers import knobs
from servers.catalog import ENGINES
from servers.contract import Request
from servers.memory import GIB, MIB, Memory
from servers.models import facts
from servers.models.facts import ModelFacts

# SmolLM2-135M's numbers: 23,040 bytes of keys and values a token in 16 bits.
MODEL = ModelFacts("bfloat16", 134_515_008, 0, 11_520)
PER_TOKEN = 23_040
STATING = sorted(name for name, engine in ENGINES.items() if engine.memory is not None)
CLASSIFIERS = ("bentoml", "fastapi-batcher", "ray-serve", "torchserve")


@pytest.fixture
def known_model(monkeypatch):
    monkeypatch.setattr(facts, "read", lambda _: MODEL)


def stated(name: str, device="cpu", way="environment", model="a/model", **settings) -> Memory:
    engine = ENGINES[name]
    request = Request(
        instance=name,
        settings=knobs.complete(engine, settings),
        model=model,
        served_name="m",
        ports={},
        host="127.0.0.1",
        workspace=Path("/nowhere"),
        python=None,
        device=device,
        way=way,
    )
    assert engine.memory is not None
    return engine.memory(request)


def size(memory: Memory, what: str, of: str = "host_bytes") -> int | None:
    sizes = [getattr(part, of) for part in memory.parts if part.what == what]
    return None if None in sizes else sum(sizes)


def test_every_engine_with_an_environment_states_its_memory():
    assert sorted(n for n, engine in ENGINES.items() if engine.environment is not None) == STATING


@pytest.mark.parametrize("name", STATING)
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_model_that_is_not_here_is_unknown_and_says_so(name, device):
    for way in ENGINES[name].ways:
        memory = stated(name, device, way, "nobody/has-this")
        assert all(part.how for part in memory.parts)
        if ENGINES[name].resolve_model is not None and (name, way) != ("triton", "docker"):
            assert None in [part.host_bytes for part in memory.parts] + [
                part.gpu_bytes for part in memory.parts
            ]


def test_vllm_sets_its_kv_cache_aside_at_the_start(known_model):
    memory = stated("vllm", kv_cache_gib=2.0)
    assert size(memory, "weights") == 2 * MODEL.floats
    assert size(memory, "KV cache") == 2 * GIB
    assert memory.host(later=True) == memory.host(later=False)
    assert memory.gpu(later=True) == 0
    [how] = [part.how for part in memory.parts if part.what == "KV cache"]
    assert "93,206 tokens of 22.5 KiB, 45 requests of max_model_len=2048" in how


@pytest.mark.parametrize(
    ("settings", "device", "fault"),
    [
        ({"num_gpu_blocks_override": 17}, "cpu", False),
        ({"num_gpu_blocks_override": 16}, "cpu", True),
        ({"num_gpu_blocks_override": 129}, "cuda", False),
        ({"num_gpu_blocks_override": 128}, "cuda", True),
        ({"kv_cache_gib": 0.046}, "cpu", True),
        ({"kv_cache_gib": 0.047}, "cpu", False),
        ({"kv_cache_gib": 0.03, "max_model_len": 1152}, "cpu", False),
        ({"kv_cache_gib": 0.03, "max_model_len": 1153}, "cpu", True),
        ({"kv_cache_gib": 0.03, "kv_cache_dtype": "fp8"}, "cuda", False),
    ],
)
def test_vllm_needs_room_for_one_whole_request_and_a_block(known_model, settings, device, fault):
    assert bool(stated("vllm", device, **settings).fault) == fault


def test_blocks_by_number_take_the_place_of_the_size(known_model):
    memory = stated("vllm", num_gpu_blocks_override=100)
    assert size(memory, "KV cache") == 100 * 128 * PER_TOKEN
    assert size(stated("vllm", "cuda", num_gpu_blocks_override=200), "KV cache", "gpu_bytes") == (
        200 * 16 * PER_TOKEN
    )


def test_tensor_parallel_divides_weights_and_the_tokens_own_bytes(known_model):
    one, four = (stated("vllm", "cuda", tensor_parallel_size=n) for n in (1, 4))
    assert (one.gpus, four.gpus) == (1, 4)
    assert size(four, "weights", "gpu_bytes") == size(one, "weights", "gpu_bytes") // 4
    blocks = {"num_gpu_blocks_override": 400}
    shared = stated("vllm", "cuda", tensor_parallel_size=4, **blocks)
    assert size(shared, "KV cache", "gpu_bytes") == 400 * 16 * PER_TOKEN // 4
    assert four.host(False) > one.host(False)  # A worker for each GPU.


def test_a_share_of_the_gpu_leaves_the_kv_cache_open_and_has_no_fault(known_model):
    memory = stated("vllm", "cuda", gpu_memory_utilization=0.5, kv_cache_gib=0.01)
    assert (memory.gpu_share, memory.fault) == (0.5, "")
    assert size(memory, "KV cache", "gpu_bytes") == 0
    assert size(memory, "overhead", "gpu_bytes") is None


def test_a_float32_model_is_served_in_16_bits_by_vllm_unless_asked(monkeypatch):
    monkeypatch.setattr(facts, "read", lambda _: ModelFacts("float32", 100, 0, 10))
    assert size(stated("vllm", dtype="auto"), "weights") == 200
    assert size(stated("vllm", dtype="float32"), "weights") == 400


def test_triton_s_rows_fill_later_on_a_cpu_and_are_there_at_once_on_a_gpu(known_model):
    settings = {"models": "llm", "max_num_seqs": 8, "max_model_len": 1000, "dtype": "bfloat16"}
    on_cpu, on_gpu = (stated("triton", device, **settings) for device in ("cpu", "cuda"))
    rows = 8 * 1000 * PER_TOKEN
    assert on_cpu.host(later=True) - on_cpu.host(later=False) == rows
    assert size(on_gpu, "KV cache", "gpu_bytes") == rows
    assert on_gpu.gpu(later=True) == on_gpu.gpu(later=False)


def test_triton_s_image_takes_vllm_s_share_of_the_gpu(known_model):
    memory = stated("triton", "cuda", "docker", models="llm")
    assert memory.gpu_share == 0.9
    asked = stated("triton", "cuda", "docker", models="llm", gpu_memory_utilization=0.4)
    assert asked.gpu_share == 0.4


def test_triton_without_the_language_model_needs_none_of_its_memory(known_model):
    both, classifier = stated("triton"), stated("triton", models="text_classifier")
    assert both.host(False) - classifier.host(False) > 2 * MODEL.floats
    assert size(classifier, "KV cache") == 0


def test_tgi_holds_as_many_tokens_as_its_batch(known_model):
    ours = stated("tgi", dtype="bfloat16", max_batch_total_tokens=10_000)
    assert ours.host(later=True) - ours.host(later=False) == 10_000 * PER_TOKEN
    itself = stated("tgi", "cuda", "docker", max_batch_total_tokens=10_000)
    assert size(itself, "KV cache", "gpu_bytes") == 10_000 * PER_TOKEN
    assert size(stated("tgi", "cuda", "docker"), "KV cache", "gpu_bytes") == 0


@pytest.mark.parametrize("name", [*CLASSIFIERS, "triton"])
def test_every_instance_has_a_session_of_its_own(name):
    more = {"models": "text_classifier"} if name == "triton" else {}
    one, three = (stated(name, instances=count, **more) for count in (1, 3))
    assert size(three, "weights") == 3 * (size(one, "weights") or 0) > 200 * MIB
    assert size(three, "activations") == 3 * (size(one, "activations") or 0)


@pytest.mark.parametrize("name", [*CLASSIFIERS, "triton"])
def test_larger_batches_may_take_more_later_and_nothing_at_the_start(name):
    small, large = (stated(name, max_batch_size=n) for n in (32, 256))
    assert small.host(later=False) == large.host(later=False)
    assert size(large, "activations") == 8 * (size(small, "activations") or 0)


def test_replicas_that_autoscaling_may_add_come_later():
    fixed = stated("ray-serve")
    scaled = stated("ray-serve", autoscale=True, max_instances=3)
    assert scaled.host(later=False) == fixed.host(later=False)
    assert scaled.host(later=True) > 2.9 * (fixed.host(later=True) - fixed.host(later=False))
    assert stated("ray-serve", pipeline=True).host(False) > fixed.host(False) + 300 * MIB


def test_java_s_heap_grows_to_what_is_set():
    small, large = (stated("torchserve", heap_mib=mib) for mib in (64, 4096))
    assert small.host(later=False) == large.host(later=False)
    assert large.host(later=True) - small.host(later=True) > 3900 * MIB
