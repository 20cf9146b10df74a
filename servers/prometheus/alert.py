"""What an alert is, and how it stands in a rule file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Alert:
    """One alert. `lasts` is how long its expression must hold before it fires.

    `ended` is a template that says, if it says anything, that what the alert is about has ended.
    """

    name: str
    expression: str
    lasts: str
    severity: str
    summary: str
    description: str
    notebook: str
    ended: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """As it stands in a rule file."""
        annotations = {
            "summary": self.summary,
            "description": self.description,
            "notebook": f"notebooks/{self.notebook}.py",
        }
        return {
            "alert": self.name,
            "expr": self.expression,
            "for": self.lasts,
            "labels": {"severity": self.severity, **self.labels},
            "annotations": annotations | ({"ended": self.ended} if self.ended else {}),
        }
