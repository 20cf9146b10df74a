"""A conversation as it goes on: which it is, and what was said so far. Pure."""

from dataclasses import dataclass, field

from loadtests.protocols.contract import Message


@dataclass
class Talk:
    """Conversation `number` of a run at its turn `turn` (from 0). `said` is its history."""

    number: int
    turn: int = 0
    said: list[Message] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What its present request is called: `17`, and in later turns `17.2`, `17.3`."""
        return f"{self.number}.{self.turn + 1}" if self.turn else str(self.number)

    def say(self, role: str, text: str) -> None:
        """Add a message to the history."""
        self.said.append({"role": role, "content": text})
