"""KServe v2 inference through tritonclient, over gRPC or HTTP: one request, one answer.

tritonclient does its own sockets, so the clock here is the user-space one. Both of its clients
work under gevent: the HTTP one is built on it, gRPC is told to drive its loop through it.
"""

import contextlib
import functools
import socket
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import numpy.typing as npt

from loadtests.errors import LoadError, StreamError
from loadtests.options import Options
from loadtests.protocols.contract import Target
from loadtests.wire import Answer, Timeouts, address
from measure.records import Status

Tensors = dict[str, npt.NDArray[Any]]


@functools.cache
def _module(transport: str) -> Any:
    if transport == "http":
        import tritonclient.http as client
    else:
        from grpc.experimental.gevent import init_gevent  # type: ignore[import-untyped]

        init_gevent()
        import tritonclient.grpc as client
    return client


class InferClient:
    """One user's client of one model."""

    def __init__(self, host: str, transport: str, timeouts: Timeouts) -> None:
        self._transport = transport
        self._timeouts = timeouts
        module = _module(transport)
        extra: dict[str, float] = {}
        if transport == "http":
            extra = {
                "connection_timeout": timeouts.connect_s,
                "network_timeout": timeouts.total_s,
            }
        self._module = module
        self._client = module.InferenceServerClient(address(host), **extra)
        self._limit = {} if transport == "http" else {"client_timeout": timeouts.total_s}

    def ready(self, model: str) -> None:
        """Raises `StreamError` if the server is not up or does not have the model ready."""
        limit = {} if self._transport == "http" else {"client_timeout": self._timeouts.connect_s}
        with _errors(self._timeouts):
            self._client.is_server_live(**limit)
            if not self._client.is_model_ready(model, **limit):
                raise StreamError("no_model", f"no model {model!r} is ready there")

    def models(self) -> list[str]:
        """The models that are ready."""
        with _errors(self._timeouts):
            index = self._client.get_model_repository_index()
        found = index if self._transport == "http" else [
            {"name": model.name, "state": model.state} for model in index.models
        ]  # fmt: skip
        return [str(model["name"]) for model in found if model.get("state") == "READY"]

    def prepare(self, tensors: Tensors) -> list[Any]:
        """Inputs as tritonclient wants them."""
        inputs = []
        for name, values in tensors.items():
            kind = {"int64": "INT64", "int32": "INT32", "float32": "FP32"}[str(values.dtype)]
            tensor = self._module.InferInput(name, list(values.shape), kind)
            tensor.set_data_from_numpy(values)
            inputs.append(tensor)
        return inputs

    def infer(
        self, model: str, inputs: list[Any], output: str, into: Answer, now: Callable[[], float],
        headers: dict[str, str],
    ) -> None:  # fmt: skip
        """Send one request and fill `into`; raises nothing but the end of its greenlet.

        `headers` (names in lower case, as gRPC wants them) go along with it.
        """
        into.sent_s = now()
        try:
            with _errors(self._timeouts):
                result = self._client.infer(model, inputs, headers=headers, **self._limit)
            into.done_s = now()
            values = result.as_numpy(output)
            if values is None:
                raise StreamError("no_output", f"the answer has no output {output!r}")
            into.stamps_s = [into.done_s]
            into.received_bytes = int(values.nbytes)
        except StreamError as error:
            into.error = error
            if into.done_s is None:
                into.done_s = now()

    def close(self) -> None:
        """Close the client."""
        self._client.close()


@contextlib.contextmanager
def _errors(timeouts: Timeouts) -> Iterator[None]:
    """Turn what tritonclient and its transports raise into `StreamError`."""
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
    if "DEADLINE_EXCEEDED" in status or "499" in status:
        return StreamError("total_timeout", message, Status.TIMEOUT)
    if "UNAVAILABLE" in status:
        return StreamError(unavailable(message), message)
    return StreamError(f"{status}: {message}" if status else message, status=Status.HTTP_ERROR)


def unavailable(message: str) -> str:
    """What kind of error gRPC's UNAVAILABLE is: no connection was made, or it was lost."""
    return "connect_refused" if "failed to connect" in message else "disconnected"


def check_server(options: Options, model: str) -> Target:
    """Whether `model` can be asked there.

    Raises:
        LoadError: the server is not up, has no such model, or it is the other port.
    """
    client = InferClient(options.host, options.transport, options.timeouts)
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
    other = "http" if options.transport == "grpc" else "grpc"
    return (
        f"No KServe server answers over {options.transport} at {address(options.host)} ({error}). "
        f"Start it, or correct -H; Triton has one port for each transport, and --transport {other} "
        "chooses the other."
    )
