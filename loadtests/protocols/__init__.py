"""The streaming protocols a load test can speak. One file each; this is their list."""

from loadtests.protocols.contract import Protocol
from loadtests.protocols.kserve import GENERATE
from loadtests.protocols.openai import CHAT, COMPLETIONS

STREAMING: dict[str, Protocol] = {
    protocol.name: protocol for protocol in (CHAT, COMPLETIONS, GENERATE)
}
