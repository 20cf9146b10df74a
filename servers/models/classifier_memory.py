"""What sessions of the lab's classifier take, in whatever server they run. Pure."""

from __future__ import annotations

from servers.memory import MIB, Part

LONGEST_TOKENS = 256
"""The longest text that the lab's servers take."""

# Measured as the growth of a session's PSS by full batches, in Triton's Python backend with
# onnxruntime on one thread: 64 texts of 64, 128 and 256 tokens took 177, 455 and 1,560 MiB, and the
# arena keeps it. Linear in the tokens, and square for attention; the formula gives 181, 503, 1,566.
_BYTES_PER_TOKEN = 28_600
_BYTES_PER_TOKEN_PAIR = 280

# Measured as the growth of one process by its second, third and fourth session (onnxruntime, one
# thread): 104, 91 and 92 MiB. The file has 22 MiB; in memory weights are packed for the CPU, and
# the embeddings are float32.
_SESSION_BYTES = 95 * MIB


def parts(sessions: int, largest_batch: int, overhead_bytes: int, how: str) -> tuple[Part, ...]:
    """Weights of each session, the server itself, and what full batches of the longest texts take.

    `overhead_bytes` is everything else the server takes at its start, as its engine measured it.
    """
    each = activation_bytes(largest_batch, LONGEST_TOKENS)
    return (
        Part("weights", sessions * _SESSION_BYTES, 0, f"{sessions} × a session of onnxruntime"),
        Part("overhead", overhead_bytes, 0, how),
        Part(
            "activations",
            sessions * each,
            0,
            f"{sessions} × batches of {largest_batch} texts of {LONGEST_TOKENS} tokens; texts of "
            f"64 take {activation_bytes(largest_batch, 64) / each:.0%} of it",
            later=True,
        ),
    )


def activation_bytes(batch: int, tokens: int) -> int:
    """What a session's arena has grown to after a batch of so many texts of so many tokens."""
    return batch * (_BYTES_PER_TOKEN * tokens + _BYTES_PER_TOKEN_PAIR * tokens * tokens)
