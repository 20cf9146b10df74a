"""The TGI-compatible server before those who know TGI: its OpenAPI document, its clients."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import hypothesis
import pytest
import schemathesis
import tgi_openapi
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError, ValidationError
from hypothesis import HealthCheck, Phase
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    positive_data_acceptance,
    response_schema_conformance,
)

from servers import environments, supervisor
from servers.contract import Environment
from servers.instances import Instance

pytestmark = pytest.mark.engine

CLIENT = Environment("text-generation-client", Path(__file__).parent / "env_text_generation")
EXAMPLES = 12
# Answers without a given length are as long as there is room: little, to be quick.
SETTINGS = {
    "dtype": "float32",
    "max_input_tokens": 96,
    "max_total_tokens": 128,
    "max_batch_prefill_tokens": 384,
}
DOCUMENT = tgi_openapi.path()
needs_document = pytest.mark.skipif(
    DOCUMENT is None,
    reason=f"TGI's OpenAPI document is not here ({tgi_openapi.VARIABLE} names it)",
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SERVING_LAB_HOME", str(tmp_path_factory.mktemp("tgi")))
        try:
            yield supervisor.up("tgi", way="environment", model="tiny", settings=SETTINGS)
        finally:
            supervisor.down(say=lambda _: None)


def operations() -> list[tuple[str, str]]:
    if DOCUMENT is None:
        return []
    paths = json.loads(DOCUMENT.read_text(encoding="utf-8"))["paths"]
    return [(path, method) for path, item in paths.items() for method in item]


def cases(server: Instance, path: str, method: str, mode: GenerationMode):
    schema = schemathesis.openapi.from_dict(tgi_openapi.document(DOCUMENT))
    schema.config.update(base_url=server.base_url)
    return schema[path][method].as_strategy(generation_mode=mode)


def quickly(examples: int):
    return hypothesis.settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


@needs_document
@pytest.mark.parametrize(("path", "method"), operations())
def test_it_answers_as_tgis_openapi_document_says(server, path, method):
    """Status, content type and every document and event. What TGI refuses, this may refuse."""

    @quickly(EXAMPLES)
    @hypothesis.given(case=cases(server, path, method, GenerationMode.POSITIVE))
    def answers(case):
        case.validate_response(case.call(timeout=60), excluded_checks=[positive_data_acceptance])

    answers()


@needs_document
@pytest.mark.parametrize(("path", "method"), [one for one in operations() if one[1] == "post"])
def test_what_tgis_document_forbids_is_an_error_of_the_client(server, path, method):
    """`/tokenize` passes over parameters, as TGI does, and errors of streams are in frames."""

    @quickly(EXAMPLES)
    @hypothesis.given(case=cases(server, path, method, GenerationMode.NEGATIVE))
    def refuses(case):
        answer = case.call(timeout=60)
        checks = [not_a_server_error]
        if answer.status_code == 200:
            checks += [content_type_conformance, response_schema_conformance]
        else:
            events = answer.headers["content-type"][0].startswith("text/event-stream")
            text = answer.content.decode().removeprefix("data:" if events else "")
            assert set(json.loads(text)) == {"error", "error_type"}
        case.validate_response(answer, checks=checks)

    refuses()
    assert httpx.get(server.ready_url, timeout=60).status_code == 200


def alone(server: Instance, prompt: str, most: int) -> dict:
    asked = {"inputs": prompt, "parameters": {"max_new_tokens": most, "details": True}}
    return httpx.post(f"{server.base_url}/generate", json=asked, timeout=60).json()


def test_hugging_faces_client_generates_and_chats(server):
    client = InferenceClient(base_url=server.base_url, timeout=60)
    whole = alone(server, "Once upon", 8)
    plain = client.text_generation("Once upon", max_new_tokens=8, return_full_text=False)
    assert plain == whole["generated_text"]
    pieces = client.text_generation("Once upon", max_new_tokens=8, stream=True, details=True)
    read = list(pieces)
    assert [one.token.id for one in read] == [one["id"] for one in whole["details"]["tokens"]]
    assert read[-1].generated_text.endswith(whole["generated_text"])
    message = [{"role": "user", "content": "Say something."}]
    said = client.chat_completion(message, max_tokens=6, temperature=0)
    assert said.usage.completion_tokens == 6
    stream = client.chat_completion(message, max_tokens=6, temperature=0, stream=True)
    assert (
        "".join(one.choices[0].delta.content for one in stream) == said.choices[0].message.content
    )


def test_hugging_faces_client_raises_what_it_knows(server):
    client = InferenceClient(base_url=server.base_url, timeout=60)
    with pytest.raises((ValidationError, HfHubHTTPError), match="max_new_tokens"):
        client.text_generation("Once upon", max_new_tokens=10_000)
    with pytest.raises(ValidationError, match="max_new_tokens"):
        list(client.text_generation("Once upon", max_new_tokens=10_000, stream=True))


def test_tgis_own_client_generates_streams_and_raises(server):
    python = environments.ensure(CLIENT, "cpu", print)
    run = subprocess.run(
        [python, Path(__file__).with_name("tgi_client.py"), server.base_url],
        input=json.dumps(["Once upon", 8]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    said, whole = json.loads(run.stdout), alone(server, "Once upon", 8)
    tokens = [one["id"] for one in whole["details"]["tokens"]]
    assert (said["text"], said["finish_reason"]) == (whole["generated_text"], "length")
    assert said["tokens"] == said["streamed"] == tokens
    assert said["last"] == whole["generated_text"]
    assert [name for name, _ in said["raised"]] == ["ValidationError", "ValidationError"]
