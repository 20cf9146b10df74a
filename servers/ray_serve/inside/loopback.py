"""Keeps Ray Serve's replicas to themselves: import this in every replica.

A replica opens a gRPC port for other deployments on all interfaces, whatever address Ray's node
has, and unpickles what comes there. Ray 2.60 has no setting for it; the node's own address is
127.0.0.1 here, so that is where the others ask.
"""

from ray.serve._private import replica

_ALL_INTERFACES = "[::]:0"
_add_port = replica.add_port_to_grpc_server


def _on_loopback(server, address):
    return _add_port(server, "127.0.0.1:0" if address == _ALL_INTERFACES else address)


replica.add_port_to_grpc_server = _on_loopback
