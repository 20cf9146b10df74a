"""Before the first user starts: is the server up, is the model there, does it speak the protocol?

The last question is put by one request, with a prompt as long as the run's and one token of
output, which is not part of the run.
"""

import json

from loadtests.answer import to_record
from loadtests.clock import RunClock
from loadtests.errors import LoadError
from loadtests.options import Options
from loadtests.prompts import Prompts
from loadtests.protocols import STREAMING
from loadtests.protocols.contract import Ask, HttpProtocol
from loadtests.stream import Connection, Sweeper
from loadtests.wire import REQUEST_ID_HEADER, Answer, build_request
from measure.records import Status


def find_model(options: Options) -> str:
    """The model to ask for: the one given, checked by asking it, or the only one there.

    Raises:
        LoadError: the server is not up, has no such model or several, or speaks another protocol.
    """
    sweeper = Sweeper(RunClock())
    try:
        return _Preflight(options, sweeper).run()
    finally:
        sweeper.close()


class _Preflight:
    def __init__(self, options: Options, sweeper: Sweeper) -> None:
        self._options = options
        self._sweeper = sweeper
        self._protocol = STREAMING[options.protocol]

    def run(self) -> str:
        self._must_be_up()
        model = self._options.model or self._only_model()
        self._must_answer(model)
        return model

    def _must_be_up(self) -> None:
        answer = self._get(self._protocol.health_path)
        kind = answer.error.kind if answer.error else ""
        if answer.error and (kind.startswith("connect") or kind == "tls_error"):
            raise LoadError(
                f"No server answers at {self._options.host} ({answer.error}). Start it, or correct "
                "the URL given with -H; the load test has not begun."
            )
        if answer.error:
            raise LoadError(
                f"What answers at {self._options.host} does not answer as an HTTP server should "
                f"({answer.error}). Check the URL given with -H; the load test has not begun."
            )

    def _must_answer(self, model: str) -> None:
        protocol, host = self._protocol, self._options.host
        prompt = Prompts(self._options.prompt_tokens, self._options.seed).prompt(-1)
        body = json.dumps(protocol.body(Ask(model, prompt, 1))).encode()
        answer = self._send(self._request(protocol.path(model), body), protocol)
        record = to_record(
            answer, protocol, request_id="preflight", worker=0, scheduled_s=0.0, cancelled=False
        )
        if record.status is Status.OK:
            return
        where = f"{host}{protocol.path(model)}"
        if answer.status in (404, 405):
            names = self._model_names(protocol)
            if names is not None and model not in names:
                raise LoadError(
                    f"{host} has no model {model!r}; it has {_listed(names)}. Name one of them "
                    "with --model."
                )
            others = [name for name in self._spoken() if name != protocol.name]
            advice = (
                f"It does answer --protocol {' or '.join(others)}."
                if others
                else "It answers none of the protocols of this load test either."
            )
            raise LoadError(
                f"{where} gives HTTP {answer.status} ({record.error}): this server does not speak "
                f"{protocol.name} there. {advice}"
            )
        raise LoadError(
            f"A first request to {where}, a prompt of about {self._options.prompt_tokens} tokens "
            f"for one token of output, failed: {record.status} {answer.status or ''} "
            f"{record.error} The load test has not begun."
        )

    def _only_model(self) -> str:
        names = self._model_names(self._protocol)
        if names is None:
            others = [name for name in self._spoken() if name != self._protocol.name]
            advice = (
                f"It does answer --protocol {' or '.join(others)}."
                if others
                else "Name the model with --model, or check the URL."
            )
            raise LoadError(
                f"{self._options.host}{self._protocol.models_path} lists no models. {advice}"
            )
        if len(names) != 1:
            raise LoadError(f"{self._options.host} has {_listed(names)}: say which with --model.")
        return names[0]

    def _model_names(self, protocol: HttpProtocol) -> list[str] | None:
        body = None if protocol.models_body is None else json.dumps(protocol.models_body).encode()
        answer = self._send(self._request(protocol.models_path, body), protocol)
        if answer.error or answer.status != 200:
            return None
        try:
            return protocol.model_names(json.loads(answer.body))
        except (ValueError, TypeError, KeyError, AttributeError):
            return None

    def _spoken(self) -> list[str]:
        return [
            name
            for name, protocol in STREAMING.items()
            if self._get(protocol.health_path).status == 200
        ]

    def _get(self, path: str) -> Answer:
        return self._send(self._request(path, None), self._protocol)

    def _request(self, path: str, body: bytes | None) -> bytes:
        headers = {REQUEST_ID_HEADER: "preflight"}
        return build_request(self._options.host, path, body, headers)

    def _send(self, request: bytes, protocol: HttpProtocol) -> Answer:
        connection = Connection(self._options.host, self._sweeper, self._options.timeouts)
        answer = Answer()
        try:
            connection.exchange(request, protocol.surely_content, answer)
        finally:
            connection.close()
        return answer


def _listed(names: list[str]) -> str:
    return ("the models " + ", ".join(sorted(names)[:20])) if names else "no model"
