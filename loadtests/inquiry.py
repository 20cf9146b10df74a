"""Questions to a classifier over HTTP: how one is written, how its answer is read, what is there.

They go over the connection that streams have too (`stream.py`), so that the kernel stamps when
the answer came: E2E is the last byte of the answer − sent.
"""

import json
from collections.abc import Sequence
from dataclasses import replace

from loadtests.answer import body_message
from loadtests.clock import RunClock
from loadtests.errors import LoadError, StreamError
from loadtests.lengths import Length
from loadtests.options import Options
from loadtests.probe import Probe
from loadtests.protocols.classify import (
    CLASSIFIERS,
    CLASSIFY,
    CLS,
    KSERVE_INFER,
    SEP,
    ClassifyProtocol,
    check_answer,
    error_text,
    token_ids,
)
from loadtests.protocols.contract import Target
from loadtests.protocols.kserve import GENERATE
from loadtests.sweeper import Sweeper
from loadtests.wire import REQUEST_ID_HEADER, Answer, build_request
from measure.records import Status


def request(options: Options, model: str, ids: Sequence[int], name: str) -> bytes:
    """The bytes that ask `model` for the label of one row of token ids."""
    protocol = CLASSIFIERS[options.protocol]
    body = json.dumps(protocol.body(ids)).encode()
    return build_request(options.host, protocol.path(model), body, {REQUEST_ID_HEADER: name})


def read(protocol: str, answer: Answer) -> None:
    """Judge an answer that has come: it has its one stamp if it is good, else its error."""
    if answer.error is not None:
        return
    try:
        if answer.status != 200:
            raise StreamError(body_message(answer, error_text), status=Status.HTTP_ERROR)
        check_answer(CLASSIFIERS[protocol], answer.body)
    except StreamError as error:
        answer.error = error
        return
    assert answer.done_s is not None
    answer.stamps_s = [answer.done_s]


def check_server(options: Options) -> Target:
    """Whether the model asked for, or the lab's classifier, answers there: it is asked once.

    Raises:
        LoadError: the server is not up, classifies nothing there, or it is a gRPC port.
    """
    protocol = CLASSIFIERS[options.protocol]
    model = options.model or protocol.model
    ids = token_ids(options.seed, "preflight", _longest(options.text_length))
    sweeper = Sweeper(RunClock())
    try:
        probe = Probe(options, sweeper)
        answer = probe.send(request(options, model, ids, "preflight"))
        read(protocol.name, answer)
        if answer.error is not None:
            raise LoadError(_advice(options, protocol, model, answer, answer.error, probe))
    finally:
        sweeper.close()
    return Target(model)


def _longest(asked: Length) -> Length:
    """As long as texts may become where they have an end: what is too long is refused now."""
    return Length("uniform", asked.a, asked.a) if asked.kind == "fixed" else asked


def _advice(
    options: Options, protocol: ClassifyProtocol, model: str, answer: Answer, error: StreamError,
    probe: Probe,
) -> str:  # fmt: skip
    host = options.host
    if error.kind.startswith("connect") or error.kind == "tls_error":
        return (
            f"No server answers at {host} ({error}). Start it, or correct the URL given with -H; "
            "the load test has not begun."
        )
    if error.kind == "http2":
        return (
            f"{host} is a gRPC port ({error}): --protocol kserve-infer --transport grpc speaks "
            "with it. Or give the server's HTTP port, which is another (Triton's is 8000 by "
            "default)."
        )
    where = f"{host}{protocol.path(model)}"
    names = probe.model_names(GENERATE) if answer.status in (400, 404, 405) else None
    if protocol is KSERVE_INFER and names is not None and model not in names:
        return (
            f"{host} has no model {model!r} ready. Ready are: {', '.join(names) or 'none'}. Name "
            "one that takes the inputs of this scenario with --model."
        )
    if answer.status in (404, 405):
        return (
            f"{where} gives HTTP {answer.status} ({error}): nothing answers --protocol "
            f"{protocol.name} there. {_other(protocol, names, options, probe)}"
        )
    return (
        f"A first request to {where} failed: {error.status} {answer.status or ''} {error}. The "
        "load test has not begun."
    )


def _classifies(options: Options, probe: Probe) -> bool:
    answer = probe.send(request(options, CLASSIFY.model, [CLS, SEP], "preflight"))
    read(options.protocol, answer)
    return answer.error is None


def _other(
    protocol: ClassifyProtocol, names: list[str] | None, options: Options, probe: Probe
) -> str:
    """What else the server at that address may be asked."""
    if names is not None:
        return "It is a KServe server: use --protocol kserve-infer --transport http."
    if protocol is KSERVE_INFER and _classifies(replace(options, protocol=CLASSIFY.name), probe):
        return "It has a /classify: use --protocol classify."
    return probe.advice(f"Check the address and the port of {options.host}.")
