"""The streaming protocols a load test can speak over HTTP. One file each; this is their list."""

from loadtests.protocols.contract import HttpProtocol
from loadtests.protocols.kserve import GENERATE
from loadtests.protocols.openai import CHAT, COMPLETIONS
from loadtests.protocols.tgi import TGI

STREAMING: dict[str, HttpProtocol] = {
    protocol.name: protocol for protocol in (CHAT, COMPLETIONS, TGI, GENERATE)
}
