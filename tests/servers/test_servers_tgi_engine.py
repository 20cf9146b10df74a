"""The TGI-compatible server as it runs: TGI's contract, batches, admission, metrics.

One server for all of this file, with the tiny random Llama in float32; its last test kills it.
"""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from eventually import eventually
from prometheus_client.parser import text_string_to_metric_families
from servers_standin import processes_of

from servers import environments, instances, models, supervisor
from servers.instances import Instance
from servers.tgi import ENGINE
from servers.tgi.metrics import METRICS

pytestmark = pytest.mark.engine

PERMITS = 20
SETTINGS = {"dtype": "float32", "max_concurrent_requests": PERMITS}
PROMPTS = [
    "Hello",
    "The capital of France is",
    "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24",
    "Once upon a time there was a small server that nobody ever asked anything",
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SERVING_LAB_HOME", str(tmp_path_factory.mktemp("tgi")))
        try:
            yield supervisor.up("tgi", way="environment", model="tiny", settings=SETTINGS)
        finally:
            supervisor.down(say=lambda _: None)


@pytest.fixture(scope="module")
def client(server: Instance) -> Iterator[httpx.Client]:
    limits = httpx.Limits(max_connections=None)
    with httpx.Client(base_url=server.base_url, timeout=60, limits=limits) as opened:
        yield opened


def generate(client: httpx.Client, prompt: str = "Hello", **parameters: object) -> dict:
    asked = {"inputs": prompt, "parameters": {"details": True, **parameters}}
    answer = client.post("/generate", json=asked)
    assert answer.status_code == 200, answer.text
    return answer.json()


def ids(answer: dict) -> list[int]:
    return [token["id"] for token in answer["details"]["tokens"]]


def frames(client: httpx.Client, path: str = "/generate_stream", **body: object) -> list[str]:
    """The events of a stream as they stand on the wire."""
    answer = client.post(path, json=body)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    *events, end = answer.text.split("\n\n")
    assert end == ""
    return events


def scrape(client: httpx.Client) -> dict[tuple[str, frozenset], float]:
    # The parser adds to counters the suffix that TGI's do not have.
    return {
        (sample.name.removesuffix("_total"), frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(client.get("/metrics").text)
        for sample in family.samples
    }


def value(client: httpx.Client, name: str, **labels: str) -> float:
    """A metric, summed over the series that have these labels."""
    wanted = set(labels.items())
    return sum(v for (n, found), v in scrape(client).items() if n == name and wanted <= found)


def held(client: httpx.Client) -> float:
    """Requests that run or wait."""
    return value(client, "tgi_batch_current_size") + value(client, "tgi_queue_size")


def test_it_says_that_it_is_not_tgi_itself(server, client):
    assert server.title == "TGI-compatible (transformers)"
    pinned = (Path(ENGINE.environment.folder) / "requirements.txt").read_text()
    assert str(server.version).replace("-", "==", 1) + " " in pinned
    assert client.get("/info").json()["router"] == "tgi-compatible"


def test_frames_have_no_space_and_the_last_has_the_text(client):
    parameters = {"max_new_tokens": 6, "details": True}
    events = frames(client, inputs=PROMPTS[1], parameters=parameters)
    assert all(event.startswith('data:{"') for event in events)
    read = [json.loads(event.removeprefix("data:")) for event in events]
    assert [one["index"] for one in read] == [1, 2, 3, 4, 5, 6]
    assert [one["generated_text"] for one in read[:-1]] == [None] * 5
    details = read[-1]["details"]
    assert details == {
        "finish_reason": "length",
        "generated_tokens": 6,
        "seed": None,
        "input_length": 5,
    }
    whole = generate(client, PROMPTS[1], max_new_tokens=6)
    assert read[-1]["generated_text"] == whole["generated_text"]
    assert [one["token"]["id"] for one in read] == ids(whole)


def test_a_bare_url_is_answered_as_it_asks(client):
    body = {"inputs": "Hello", "parameters": {"max_new_tokens": 2}}
    (answer,) = client.post("/", json=body).json()
    assert answer["generated_text"].startswith("Hello")
    assert len(frames(client, "/", stream=True, **body)) == 2
    declined = body["parameters"] | {"return_full_text": False}
    (answer,) = client.post("/", json=body | {"parameters": declined}).json()
    assert not answer["generated_text"].startswith("Hello")


def test_every_batched_answer_equals_generate_alone(server, client):
    """Requests of many lengths that join and leave at different steps, in float32."""
    asked = [(prompt, most) for most in (3, 24, 11) for prompt in PROMPTS]
    python = environments.ensure(ENGINE.environment, "cpu", print)
    script = Path(__file__).with_name("tgi_reference.py")
    reference = subprocess.run(
        [python, script, models.tiny_llama()],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=True,
    )
    before = value(client, "tgi_batch_concat")
    with ThreadPoolExecutor(len(asked)) as pool:
        answers = pool.map(lambda one: generate(client, one[0], max_new_tokens=one[1]), asked)
        found = [ids(answer) for answer in answers]
    assert found == json.loads(reference.stdout)
    assert value(client, "tgi_batch_concat") > before


def test_seeds_are_honoured_alone_and_in_a_batch(client):
    def sampled(seed: int) -> list[int]:
        answer = generate(client, max_new_tokens=12, temperature=1.5, top_k=50, seed=seed)
        assert answer["details"]["seed"] == seed
        return ids(answer)

    alone = [sampled(seed) for seed in range(6)]
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(sampled, range(6))) == alone
    assert len({tuple(one) for one in alone}) == 6


def test_every_request_of_a_batch_chooses_its_own_way(client):
    """A greedy one, one that may take only the most likely token, one that may not repeat."""
    ways = [
        {},
        {"do_sample": True, "top_k": 1},
        {"repetition_penalty": 1000.0},
        {"frequency_penalty": 2.0},
        {"do_sample": True, "seed": 1},
    ]
    with ThreadPoolExecutor(len(ways)) as pool:
        found = list(pool.map(lambda one: ids(generate(client, max_new_tokens=30, **one)), ways))
    assert found[0] == found[1] != found[4]
    assert len(set(found[2])) == 30


def test_an_answer_ends_with_a_stop_string(client):
    plain = generate(client, PROMPTS[3], max_new_tokens=20)
    stop = plain["details"]["tokens"][9]["text"]
    answer = generate(client, PROMPTS[3], max_new_tokens=20, stop=["never", stop])
    assert answer["details"]["finish_reason"] == "stop_sequence"
    assert answer["generated_text"].endswith(stop)
    assert plain["generated_text"].startswith(answer["generated_text"])
    assert answer["generated_text"].count(stop) == 1


def test_one_bad_request_never_harms_its_batch(client):
    alone = ids(generate(client, max_new_tokens=60))
    bad = {"inputs": "Hello", "parameters": {"temperature": 1e-44, "do_sample": True}}
    with ThreadPoolExecutor(8) as pool:
        good = [pool.submit(generate, client, max_new_tokens=60) for _ in range(4)]
        failed = [pool.submit(client.post, "/generate", json=bad) for _ in range(4)]
    assert [ids(one.result()) for one in good] == [alone] * 4
    for one in failed:
        assert one.result().status_code == 424
        assert one.result().json()["error_type"] == "generation"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"inputs": ""}, "`inputs` cannot be empty"),
        ({"inputs": "a", "parameters": {"top_p": 1.0}}, "`top_p` must be > 0.0 and < 1.0"),
        ({"inputs": "a", "parameters": {"max_new_tokens": 4000}}, "must be <= 2048"),
        ({"inputs": "word " * 1500}, "must have less than 1024 tokens"),
        (
            {"inputs": "a", "parameters": {"best_of": 2_000_000, "do_sample": True}},
            "`best_of` must be > 0 and <= 2",
        ),
        ({"inputs": 5}, "inputs: Input should be a valid string"),
    ],
)
def test_a_bad_request_is_told_so_with_422_or_in_a_frame(client, body, words):
    answer = client.post("/generate", json=body)
    assert answer.status_code == 422
    assert answer.json()["error_type"] == "validation"
    assert words in answer.json()["error"]
    if isinstance(body["inputs"], str) and "best_of" not in body.get("parameters", {}):
        (event,) = frames(client, **body)
        assert json.loads(event.removeprefix("data:")) == answer.json()


def test_a_body_beyond_the_limit_is_refused_unread(client):
    answer = client.post("/generate", json={"inputs": "a" * 2_000_001})
    assert (answer.status_code, answer.json()["error_type"]) == (413, "validation")


def test_a_client_that_leaves_before_its_body_is_whole_is_no_error(server, client):
    head = b"POST /generate HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\n{"
    with socket.create_connection(("127.0.0.1", server.ports["http"])) as leaver:
        leaver.sendall(head)
    assert client.get("/health").status_code == 200
    assert "Traceback" not in Path(server.log).read_text()


def test_more_than_the_permits_is_overloaded_and_leavers_give_theirs_back(client):
    before = value(client, "tgi_request_failure", err="dropped")
    refused = value(client, "tgi_request_failure", err="overloaded")
    body = {"inputs": "Hello", "parameters": {"max_new_tokens": 1500}}
    with ExitStack() as streams:
        for _ in range(PERMITS):
            streams.enter_context(client.stream("POST", "/generate_stream", json=body))
        assert eventually(lambda: held(client) == PERMITS)
        full = client.post("/generate", json=body)
        assert (full.status_code, full.json()) == (
            429,
            {"error": "Model is overloaded", "error_type": "overloaded"},
        )
        (event,) = frames(client, **body)
        assert json.loads(event.removeprefix("data:")) == full.json()
    assert eventually(lambda: held(client) == 0)
    assert value(client, "tgi_request_failure", err="dropped") == before + PERMITS
    assert value(client, "tgi_request_failure", err="overloaded") == refused + 2
    generate(client, max_new_tokens=1)


def test_a_client_that_leaves_an_unstreamed_answer_frees_its_place(server, client):
    before = value(client, "tgi_request_failure", err="dropped")
    body = {"inputs": "Hello", "parameters": {"max_new_tokens": 1900}}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{server.base_url}/generate", json=body, timeout=0.5)
    assert eventually(lambda: value(client, "tgi_request_failure", err="dropped") == before + 1)
    assert eventually(lambda: value(client, "tgi_batch_current_size") == 0)


def test_chat_applies_the_models_template(client):
    messages = [{"role": "user", "content": [{"type": "text", "text": "Say something."}]}]
    made = client.post("/chat_tokenize", json={"messages": messages}).json()
    assert "<|im_start|>user\nSay something.<|im_end|>" in made["templated_text"]
    plain = generate(client, made["templated_text"], max_new_tokens=5)
    body = {"messages": messages, "max_tokens": 5, "temperature": 0}
    answer = client.post("/v1/chat/completions", json=body).json()
    assert answer["choices"][0]["message"]["content"] == plain["generated_text"]
    prompt_tokens = len(made["tokenize_response"])
    counts = {"prompt_tokens": prompt_tokens, "completion_tokens": 5}
    assert answer["usage"] == counts | {"total_tokens": prompt_tokens + 5}
    *events, last = frames(
        client,
        "/v1/chat/completions",
        stream=True,
        stream_options={"include_usage": True},
        **body,
    )
    assert last == "data: [DONE]"
    *chunks, usage = [json.loads(event.removeprefix("data:")) for event in events]
    text = "".join(one["choices"][0]["delta"]["content"] for one in chunks)
    assert text == plain["generated_text"]
    assert chunks[-1]["choices"][0]["finish_reason"] == "length"
    assert (usage["choices"], usage["usage"]) == ([], answer["usage"])


def test_several_prompts_are_completed_together(client):
    body = {"prompt": PROMPTS[:2], "max_tokens": 4, "temperature": 0}
    texts = [generate(client, one, max_new_tokens=4)["generated_text"] for one in PROMPTS[:2]]
    answer = client.post("/v1/completions", json=body).json()
    assert [one["text"] for one in answer["choices"]] == texts
    *events, last = frames(client, "/v1/completions", stream=True, **body)
    assert last == "data: [DONE]"
    streamed = ["", ""]
    for event in events:
        choice = json.loads(event.removeprefix("data:"))["choices"][0]
        streamed[choice["index"]] += choice["text"]
    assert streamed == texts


def test_what_this_server_does_not_have_is_refused_not_passed_over(client):
    message = {"messages": [{"role": "user", "content": "a"}]}
    image = {"type": "image_url", "image_url": {"url": "http://127.0.0.1/a.png"}}
    for more in (
        {"tools": [{"type": "function"}]},
        {"response_format": {"type": "json", "value": {}}},
        {"messages": [{"role": "user", "content": [image]}]},
    ):
        answer = client.post("/v1/chat/completions", json=message | more)
        assert (answer.status_code, answer.json()["error_type"]) == (422, "validation")


def test_every_declared_metric_is_exported_with_its_type_and_tgis_buckets(client):
    text = client.get("/metrics").text
    types = dict(line.split()[2:4] for line in text.splitlines() if line.startswith("# TYPE"))
    for metric in METRICS:
        name = metric.name
        if name not in types:
            name = name.removesuffix("_sum")
            assert types[name] == "histogram"
        else:
            assert types[name] == metric.kind
        for label, wanted in metric.selector.items():
            values = {dict(found).get(label) for n, found in scrape(client) if n == name}
            assert {wanted} if isinstance(wanted, str) else set(wanted) <= values

    def bounds(name: str) -> list[float]:
        found = {dict(of)["le"] for n, of in scrape(client) if n == f"{name}_bucket"}
        return sorted(float(one) for one in found)

    durations = bounds("tgi_request_duration")
    assert durations[:-1] == pytest.approx([0.0001 * 1.5**n for n in range(1, 36)])
    assert bounds("tgi_batch_next_size")[:1024] == list(range(1, 1025))
    assert bounds("tgi_request_input_length")[:-1] == pytest.approx(
        [10.24 * n for n in range(1, 101)]
    )
    assert bounds("tgi_request_generated_tokens")[99] == pytest.approx(2048)


def test_requests_and_tokens_are_counted(client):
    names = ("tgi_request_count", "tgi_request_success", "tgi_request_generated_tokens_sum",
             "tgi_request_input_length_sum", "tgi_request_duration_count")  # fmt: skip
    before = [value(client, name) for name in names]
    for _ in range(3):
        generate(client, PROMPTS[1], max_new_tokens=7)
    assert [value(client, name) - old for name, old in zip(names, before, strict=True)] == [
        3, 3, 21, 15, 3,
    ]  # fmt: skip


def test_the_batch_is_seen_in_the_metrics(client):
    def mean_batch(clients: int) -> float:
        names = ("tgi_request_generated_tokens_sum", "tgi_batch_inference_count")
        before = [value(client, name) for name in names]
        with ThreadPoolExecutor(clients) as pool:
            work = [pool.submit(generate, client, max_new_tokens=100) for _ in range(clients)]
        assert all(one.result() for one in work)
        tokens, steps = (value(client, n) - b for n, b in zip(names, before, strict=True))
        return tokens / steps

    assert mean_batch(1) == 1
    assert mean_batch(16) > 4


def test_after_its_first_process_is_killed_down_leaves_nothing(server):
    home = Path(os.environ["SERVING_LAB_HOME"])
    with httpx.stream(
        "POST",
        f"{server.base_url}/generate_stream",
        json={"inputs": "a", "parameters": {"max_new_tokens": 1500}},
        timeout=60,
    ) as answer:
        lines = answer.iter_lines()
        next(lines)
        os.kill(server.pid, signal.SIGKILL)
        with pytest.raises(httpx.TransportError):
            list(lines)
    assert instances.status(server) != "running"
    supervisor.down(server.name, say=lambda _: None)
    assert not instances.state_file(server.name).exists()
    assert instances.members(server) == []
    assert processes_of(home) == []
    with pytest.raises(httpx.ConnectError):
        httpx.get(server.ready_url, timeout=60)
