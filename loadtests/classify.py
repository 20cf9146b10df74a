"""Text classification: token ids in, two logits out, one answer and no stream.

    locust -f loadtests/classify.py --headless -H http://127.0.0.1:3000 --protocol classify -t 30s
    locust -f loadtests/classify.py --headless -H http://127.0.0.1:8000 -u 32 -r 32 -t 30s
    locust -f loadtests/classify.py --headless -H grpc://127.0.0.1:8001 -u 32 -r 32 -t 30s

The second and the third ask Triton, which speaks KServe v2. Over HTTP all are asked by the same
client, with the kernel's stamps; gRPC is tritonclient's.

Lengths vary from request to request: evenly from 2 tokens to --prompt-tokens, or as the
distribution given there. That is what a batcher has to live with.
"""

from typing import Any

from loadtests import infer, inquiry
from loadtests.options import Options
from loadtests.protocols.classify import token_ids
from loadtests.protocols.contract import Target
from loadtests.stream import Connection
from loadtests.talk import Talk
from loadtests.users import LoadUser
from loadtests.wire import REQUEST_ID_HEADER, Answer, usual_clock


class Classify(LoadUser):
    """Sends the next text as soon as the last one is classified."""

    protocols = ("kserve-infer", "classify")

    @classmethod
    def find_target(cls, options: Options) -> Target:
        """The model asked for, or the lab's classifier."""
        return infer.check_server(options) if options.over_grpc else inquiry.check_server(options)

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        options = self.session.options
        self._over_grpc = options.over_grpc
        if not self._over_grpc:
            self.clock = usual_clock(options.host)

    def build(self, talk: Talk) -> Any:
        """Its text: what it is called and its token ids, or over HTTP the request's bytes."""
        session = self.session
        options = session.options
        name = session.active.wire_id(talk.name)
        ids = token_ids(options.seed, talk.number, options.text_length)
        if self._over_grpc:
            return name, ids
        return inquiry.request(options, session.target.model, ids, name)

    def open(self) -> infer.InferClient | Connection:
        """A client of its own for each user."""
        options = self.session.options
        if self._over_grpc:
            return infer.InferClient(options.host, options.timeouts)
        return Connection(options.host, self.session.active.sweeper, options.timeouts)

    def send(self, client: Any, request: Any, answer: Answer) -> None:
        """One inference."""
        session = self.session
        if self._over_grpc:
            name, ids = request
            client.infer(
                session.target.model, ids, answer, session.active.clock.now_s,
                headers={REQUEST_ID_HEADER.lower(): name},
            )  # fmt: skip
            return
        client.exchange(request, bool, answer)
        inquiry.read(session.options.protocol, answer)
