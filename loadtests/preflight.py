"""Before the first user starts: is the server up, is the model there, does it speak the protocol?

The last question is put by one request, with a prompt as long as the run's and one token of
output, which is not part of the run.
"""

import dataclasses
import sys
from pathlib import PurePath

from loadtests.clock import RunClock
from loadtests.errors import LoadError, StreamError
from loadtests.infer import InferClient
from loadtests.options import Options
from loadtests.probe import Probe
from loadtests.protocols import STREAMING, openai
from loadtests.protocols.contract import HttpProtocol, Target
from loadtests.sweeper import Sweeper
from loadtests.wire import Answer, address, split_url
from measure.records import Record, Status

_REFUSED = (400, 422)
_WITHOUT = {
    openai.STANDARD: "ignore_eos and a running usage, so answers may be shorter than asked for",
    openai.PLAIN: "ignore_eos and stream_options, so answers may be shorter than asked for, and "
    "tokens are counted by --tokenizer, or else as chunks",
}


def find_target(options: Options) -> Target:
    """The model to ask for: the one given, checked by asking it, or the only one there.

    Raises:
        LoadError: the server is not up, has no such model or several, or speaks another protocol.
    """
    sweeper = Sweeper(RunClock())
    try:
        protocol = STREAMING.get(options.protocol)
        if protocol is None:
            return _grpc_target(options, sweeper)
        return _HttpPreflight(options, protocol, Probe(options, sweeper)).run()
    finally:
        sweeper.close()


class _HttpPreflight:
    def __init__(self, options: Options, protocol: HttpProtocol, probe: Probe) -> None:
        self._options = options
        self._host = options.host
        self._protocol = protocol
        self._probe = probe

    def run(self) -> Target:
        self._must_be_up()
        names = self._probe.model_names(self._protocol)
        model = self._options.model or self._only_model(names)
        if not self._protocol.names_model and names and not _is_one_of(model, names):
            raise LoadError(
                f"{self._host} has {_listed(names)}, and no request of {self._protocol.name} can "
                f"ask for {model!r} instead. Leave out --model, or correct -H."
            )
        return Target(model, self._dialect_for(model, names))

    def _must_be_up(self) -> None:
        error = self._probe.get(self._protocol.health_path).error
        if error is None:
            return
        if error.kind.startswith("connect") or error.kind == "tls_error":
            raise _nobody(self._options, error)
        if error.kind == "http2":
            raise LoadError(
                f"{self._host} is a gRPC port ({error}): --protocol kserve-grpc speaks with it. "
                f"For {self._protocol.name} give the server's HTTP port, which is another "
                "(Triton's is 8000 by default)."
            )
        raise LoadError(
            f"What answers at {self._host} does not answer as an HTTP server should "
            f"({error}). Check the URL given with -H; the load test has not begun."
        )

    def _dialect_for(self, model: str, names: list[str] | None) -> str:
        """The first dialect that is answered; the error of the first if there is none."""
        refused: tuple[Answer, Record] | None = None
        for dialect in self._protocol.dialects:
            answer, record = self._probe.first_answer(model, dialect)
            if record.status is Status.OK:
                if refused is not None:
                    print(
                        f"Note: {self._host} refuses what it does not know "
                        f"({refused[1].error}). It is asked without {_WITHOUT[dialect]}.",
                        file=sys.stderr,
                    )
                return dialect
            refused = refused or (answer, record)
            if answer.status not in _REFUSED:
                break
        assert refused is not None
        raise self._refusal(model, names, *refused)

    def _refusal(
        self, model: str, names: list[str] | None, answer: Answer, record: Record
    ) -> LoadError:
        where = f"{self._host}{self._protocol.path(model)}"
        if answer.status not in (404, 405):
            return _no_first_answer(self._options, where, record)
        if names is not None and model not in names:
            return _no_model(self._host, model, names)
        advice = self._probe.advice("It answers no other protocol of this load test over HTTP.")
        return LoadError(
            f"{where} gives HTTP {answer.status} ({record.error}): this server does not speak "
            f"{self._protocol.name} there. {advice}"
        )

    def _only_model(self, names: list[str] | None) -> str:
        if names is None:
            advice = self._probe.advice("Name the model with --model, or check the URL.")
            raise LoadError(f"{self._host}{self._protocol.models_path} lists no models. {advice}")
        return _only(self._host, names)


def _grpc_target(options: Options, sweeper: Sweeper) -> Target:
    """The same over gRPC, whose port may as well turn out to be one of HTTP."""
    client = InferClient(options.host, options.timeouts)
    try:
        names = client.models()
    except StreamError as error:
        raise _no_grpc(options, error, sweeper) from None
    finally:
        client.close()
    model = options.model or _only(options.host, names)
    if model not in names:
        raise _no_model(options.host, model, names)
    where = f"{address(options.host)} (gRPC, model {model})"
    try:
        _, record = Probe(options, sweeper).first_answer(model)
    except StreamError as error:
        raise LoadError(
            f"{where} cannot be asked for text: {error}. There are {_listed(names)}: name one "
            "that continues a text with --model."
        ) from None
    if record.status is not Status.OK:
        raise _no_first_answer(options, where, record)
    return Target(model)


def _no_grpc(options: Options, error: StreamError, sweeper: Sweeper) -> LoadError:
    host = address(options.host)
    over_http = dataclasses.replace(options, host=f"http://{host}")
    try:
        split_url(over_http.host)
    except ValueError as wrong:
        return LoadError(f"-H: {wrong}. Give a gRPC port, such as 127.0.0.1:8001.")
    advice = Probe(over_http, sweeper).advice("")
    if not advice:
        return _nobody(options, error)
    return LoadError(
        f"{host} is no gRPC port ({error}). {advice} For kserve-grpc give the server's gRPC port, "
        "which is another (Triton's is 8001 by default)."
    )


def _nobody(options: Options, error: StreamError) -> LoadError:
    return LoadError(
        f"No server answers at {options.host} ({error}). Start it, or correct the URL given with "
        "-H; the load test has not begun."
    )


def _no_model(host: str, model: str, names: list[str]) -> LoadError:
    return LoadError(
        f"{host} has no model {model!r}; it has {_listed(names)}. Name one of them with --model."
    )


def _no_first_answer(options: Options, where: str, record: Record) -> LoadError:
    return LoadError(
        f"A first request to {where}, a prompt of about {options.prompt_tokens} tokens for one "
        f"token of output, failed: {record.status} {record.http_status or ''} {record.error} The "
        "load test has not begun."
    )


def _only(host: str, names: list[str]) -> str:
    if len(names) != 1:
        raise LoadError(f"{host} has {_listed(names)}: say which with --model.")
    return names[0]


def _is_one_of(model: str, names: list[str]) -> bool:
    """Whether it is one of them, be it without the folder or the organisation in front."""
    return any(model in (name, PurePath(name).name) for name in names)


def _listed(names: list[str]) -> str:
    return ("the models " + ", ".join(sorted(names)[:20])) if names else "no model"
