"""How the requests of one protocol are written and sent: HTTP by `stream.py`, or gRPC."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from loadtests.options import Options
from loadtests.protocols import STREAMING
from loadtests.protocols import contract as protocols
from loadtests.protocols.contract import Ask
from loadtests.stream import Connection
from loadtests.sweeper import Sweeper
from loadtests.wire import REQUEST_ID_HEADER, Answer, build_request, usual_clock
from measure.records import Clock


class Client(Protocol):
    """A connection for one request at a time."""

    def exchange(self, request: Any, is_content: Callable[[bytes], bool], into: Answer) -> None:
        """Send the request and fill `into` until its end; raises nothing."""

    def close(self) -> None:
        """Close the connection, if there is one."""


@dataclass(frozen=True)
class Transport:
    """One protocol on the way to one server.

    `write` makes the request of an id ready to be sent, `connect` a client; nothing is sent
    before its first request. `clock` stamps what comes, if all is well.
    """

    protocol: protocols.Protocol
    clock: Clock
    write: Callable[[Ask, str], Any]
    connect: Callable[[Sweeper], Client]


def transport(options: Options) -> Transport:
    """The way to the server and protocol asked for."""
    http = STREAMING.get(options.protocol)
    if http is None:
        return _grpc(options)
    return Transport(
        protocol=http,
        clock=usual_clock(options.host),
        write=lambda ask, request_id: build_request(
            options.host,
            http.path(ask.model),
            json.dumps(http.body(ask)).encode(),
            {REQUEST_ID_HEADER: request_id},
        ),
        connect=lambda sweeper: Connection(options.host, sweeper, options.timeouts),
    )


def _grpc(options: Options) -> Transport:
    # gRPC is imported only where it is spoken.
    from loadtests import grpc_stream
    from loadtests.protocols import kserve_grpc

    host, timeouts = options.host, options.timeouts
    return Transport(
        protocol=kserve_grpc.KSERVE_GRPC,
        clock=Clock.USER,
        write=lambda ask, request_id: kserve_grpc.request(
            ask, request_id, grpc_stream.inputs_of(host, ask.model, timeouts.connect_s)
        ),
        connect=lambda sweeper: grpc_stream.GrpcStream(host, sweeper, timeouts),
    )
