"""Checks of the exercises on GPU memory."""

import math

from dashboard.memory.observed import Observed
from notebooks.checks import Feedback
from notebooks.gpu_memory import Model


def share(neighbour: Observed, *, gpu_bytes: float, answer: object) -> Feedback:
    """The largest share of a GPU, in whole hundredths, that leaves the neighbour its room.

    Args:
        neighbour: what it held at most is what it needs.
        gpu_bytes: of the whole GPU.
        answer: a number between 0 and 1.
    """
    if isinstance(answer, bool) or not isinstance(answer, int | float) or not 0 < answer < 1:
        return Feedback(False, "`share` is a number between 0 and 1, such as 0.85.")
    right = _share(neighbour, gpu_bytes)
    if not math.isclose(float(answer), right, abs_tol=1e-6):
        return Feedback(
            False,
            "for `share`, what the neighbour held at most is its `peak_bytes`; what is left of the "
            "GPU, over the GPU, is cut to hundredths: a share that is rounded up takes what "
            "is not there.",
        )
    return Feedback(True, "an engine that takes a share takes it whether it is loaded or not.")


def requests(
    model: Model,
    *,
    gpu_bytes: float,
    share: float,
    other_bytes: float,
    length: int,
    block_tokens: int,
    answer: object,
) -> Feedback:
    """How many whole requests of a length the KV cache holds that is left of a share of a GPU.

    Args:
        model: its weights come off first, then `other_bytes`.
        gpu_bytes: of the whole GPU, of which the engine takes `share`.
        length: tokens of a request, prompt and answer.
        block_tokens: the cache is handed out in blocks of so many tokens.
        answer: a whole number.
    """
    if isinstance(answer, bool) or not isinstance(answer, int) or answer < 0:
        return Feedback(False, "`requests` is a whole number.")
    left = share * gpu_bytes - model.weight_bytes - other_bytes
    blocks = max(int(left // (block_tokens * model.kv_bytes_per_token)), 0)
    if answer != blocks // math.ceil(length / block_tokens):
        return Feedback(
            False,
            "for `requests`, start from the engine's share of the GPU and take off the weights "
            "and all else; what is left makes whole blocks; a request takes whole blocks; part of "
            "a request is no request.",
        )
    return Feedback(True, "more than that at once wait, or throw each other out.")


def _share(neighbour: Observed, gpu_bytes: float) -> float:
    return math.floor((gpu_bytes - neighbour.peak_bytes) / gpu_bytes * 100) / 100
