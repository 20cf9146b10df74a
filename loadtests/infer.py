"""KServe v2 inference over gRPC through tritonclient: one request, one answer.

tritonclient does its own sockets, so the clock here is the user-space one; gRPC is told to drive
its loop through gevent.
"""

import contextlib
import functools
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gevent
import numpy as np

from loadtests.errors import LoadError, StreamError
from loadtests.options import Options
from loadtests.protocols.classify import KSERVE_INFER
from loadtests.protocols.contract import Target
from loadtests.wire import Answer, Timeouts, address
from measure.records import Status


@functools.cache
def _module() -> Any:
    from grpc.experimental.gevent import init_gevent  # type: ignore[import-untyped]

    init_gevent()
    import tritonclient.grpc as client

    return client


class InferClient:
    """One user's client of one server. Its calls of the server raise `StreamError`."""

    def __init__(self, host: str, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self._client = _module().InferenceServerClient(address(host))

    def ready(self, model: str) -> None:
        """Raises `StreamError` if the server is not up or does not have the model ready."""
        limit_s = self._timeouts.connect_s
        with _errors(self._timeouts):
            self._client.is_server_live(client_timeout=limit_s)
            if not self._client.is_model_ready(model, client_timeout=limit_s):
                raise StreamError("no_model", f"no model {model!r} is ready there")

    def models(self) -> list[str]:
        """The models that are ready."""
        with _errors(self._timeouts):
            index = self._client.get_model_repository_index()
        return [str(model.name) for model in index.models if model.state == "READY"]

    def infer(
        self, model: str, ids: Sequence[int], into: Answer, now: Callable[[], float],
        headers: dict[str, str],
    ) -> None:  # fmt: skip
        """Ask for the logits of one row of token ids and fill `into`.

        Raises nothing but the end of its greenlet. `headers` (names in lower case, as gRPC wants
        them) go along with it.
        """
        inputs = _inputs(ids)
        into.sent_s = now()
        try:
            with _errors(self._timeouts):
                result = self._client.infer(
                    model, inputs, headers=headers, client_timeout=self._timeouts.total_s
                )
            into.done_s = now()
            values = result.as_numpy("logits")
            if values is None:
                raise StreamError("bad_answer", "the answer has no output 'logits'")
            into.stamps_s = [into.done_s]
            into.received_bytes = int(values.nbytes)
        except StreamError as error:
            into.error = error
            if into.done_s is None:
                into.done_s = now()

    def close(self) -> None:
        """Close the client."""
        self._client.close()


def _inputs(ids: Sequence[int]) -> list[Any]:
    row = np.array([ids], dtype=np.int64)
    inputs = []
    for name, values in (("input_ids", row), ("attention_mask", np.ones_like(row))):
        tensor = _module().InferInput(name, list(values.shape), "INT64")
        tensor.set_data_from_numpy(values)
        inputs.append(tensor)
    return inputs


@contextlib.contextmanager
def _errors(timeouts: Timeouts) -> Iterator[None]:
    """Turn what tritonclient and its transport raise into `StreamError`."""
    try:
        yield
    except StreamError:
        raise
    except Exception as error:
        raise _translated(error, timeouts) from error


def _translated(error: Exception, timeouts: Timeouts) -> StreamError:
    from tritonclient.utils import InferenceServerException

    if isinstance(error, socket.timeout | TimeoutError | gevent.Timeout):
        return StreamError(
            "total_timeout", f"total took more than {timeouts.total_s:g} s", Status.TIMEOUT
        )
    if isinstance(error, ConnectionRefusedError):
        return StreamError("connect_refused", str(error))
    if not isinstance(error, InferenceServerException):
        return StreamError("transport", f"{type(error).__name__}: {error}")
    status, message = str(error.status() or ""), " ".join((error.message() or "").split())[:300]
    if "DEADLINE_EXCEEDED" in status:
        return StreamError("total_timeout", message, Status.TIMEOUT)
    if "UNAVAILABLE" in status:
        return StreamError(unavailable(message), message)
    return StreamError(f"{status}: {message}" if status else message, status=Status.HTTP_ERROR)


def unavailable(message: str) -> str:
    """What kind of error gRPC's UNAVAILABLE is: no connection was made, or it was lost."""
    return "connect_refused" if "failed to connect" in message else "disconnected"


def check_server(options: Options) -> Target:
    """Whether the model asked for, or the lab's classifier, can be asked there over gRPC.

    Raises:
        LoadError: the server is not up, has no such model, or it is the other port.
    """
    model = options.model or KSERVE_INFER.model
    client = InferClient(options.host, options.timeouts)
    try:
        client.ready(model)
    except StreamError as error:
        raise LoadError(_advice(options, model, client, error)) from None
    finally:
        client.close()
    return Target(model)


def _advice(options: Options, model: str, client: InferClient, error: StreamError) -> str:
    if error.kind == "no_model":
        names = ", ".join(client.models()) or "none"
        return (
            f"{options.host} has no model {model!r} ready. Ready are: {names}. Name one that takes "
            "the inputs of this scenario with --model."
        )
    return (
        f"No KServe server answers over grpc at {address(options.host)} ({error}). "
        "Start it, or correct -H; Triton has one port for each transport, and --transport http "
        "chooses the other. Classifiers that are no KServe servers are asked with "
        "--protocol classify."
    )
