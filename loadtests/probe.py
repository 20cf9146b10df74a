"""Questions to a server before a load: what it speaks, which models it has, a first answer."""

import json
import random
from typing import Any

from loadtests.answer import to_record
from loadtests.options import Options
from loadtests.prompts import text_of
from loadtests.protocols import STREAMING
from loadtests.protocols.contract import Ask, HttpProtocol
from loadtests.stream import Connection
from loadtests.sweeper import Sweeper
from loadtests.transport import transport
from loadtests.wire import Answer, build_request
from measure.records import Record

# What cannot be asked of every scenario.
_SCENARIO = {"openai-chat": "chat.py", "openai-completions": "completion.py"}


class Probe:
    """Asks the server of a load test, whatever its protocol. Nothing here raises."""

    def __init__(self, options: Options, sweeper: Sweeper) -> None:
        self._options = options
        self._sweeper = sweeper

    def first_answer(self, model: str, dialect: str = "") -> tuple[Answer, Record]:
        """A prompt as long as the run's, for one token of output. `StreamError` is in the record.

        Raises:
            StreamError: the request cannot be written for this model.
        """
        options = self._options
        way = transport(options)
        prompt = text_of(options.prompt_tokens, random.Random(f"preflight:{options.seed}"))
        request = way.write(Ask(model, prompt, 1, dialect=dialect), "preflight")
        client, answer = way.connect(self._sweeper), Answer()
        try:
            client.exchange(request, way.protocol.surely_content, answer)
        finally:
            client.close()
        record = to_record(
            answer, way.protocol, request_id="preflight", worker=0, scheduled_s=0.0,
            cancelled=False,
        )  # fmt: skip
        return answer, record

    def get(self, path: str) -> Answer:
        """What a GET of `path` brings."""
        return self.send(build_request(self._options.host, path, None))

    def model_names(self, protocol: HttpProtocol) -> list[str] | None:
        """The models that the server lists; `None` if it lists none in this protocol's way."""
        body = None if protocol.models_body is None else json.dumps(protocol.models_body).encode()
        answer = self.send(build_request(self._options.host, protocol.models_path, body))
        document = _document(answer)
        try:
            return None if document is None else protocol.model_names(document)
        except (TypeError, KeyError, AttributeError):
            return None

    def advice(self, otherwise: str) -> str:
        """Which other protocols the server speaks over HTTP, or else `otherwise`."""
        spoken = [
            f"{name} ({_SCENARIO[name]})" if name in _SCENARIO else name
            for name, protocol in STREAMING.items()
            if name != self._options.protocol
            and isinstance(_document(self.get(protocol.health_path)), dict)
        ]
        return f"It does answer --protocol {' or '.join(spoken)}." if spoken else otherwise

    def send(self, request: bytes) -> Answer:
        """What a request brings that is no stream."""
        connection = Connection(self._options.host, self._sweeper, self._options.timeouts)
        answer = Answer()
        try:
            connection.exchange(request, bool, answer)
        finally:
            connection.close()
        return answer


def _document(answer: Answer) -> Any:
    """The JSON of an answer that went well; `None` if it is none."""
    if answer.error or answer.status != 200:
        return None
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
