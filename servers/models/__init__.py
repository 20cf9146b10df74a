"""Models the lab makes for itself in an environment of their own; the check of foreign ones."""

from servers.models.build import ENVIRONMENT
from servers.models.classifier import classifier
from servers.models.resolve import resolve_llm, smollm2, tiny_llama

__all__ = ["ENVIRONMENT", "classifier", "resolve_llm", "smollm2", "tiny_llama"]
