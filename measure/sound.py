"""Whether records hold only times that a run can have.

What reads a run counts with its times: one that is infinite, or years away, turns window, rates
and intervals into nonsense, or their bins into more than any memory holds.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

LONGEST_S = 366 * 86_400.0
"""No moment of a run lies further from its start than a year."""
_MOMENTS = ("scheduled_s", "sent_s", "first_content_s", "last_content_s", "done_s")


def problem(records: pa.Table) -> str | None:
    """The first column that holds no such time, in words; `None` if all are sound.

    Unknown moments (null) are; an infinite one is not, nor NaN: nothing here writes either.
    """
    for name in (*_MOMENTS, "chunk_s"):
        for part in records.column(name).chunks:
            values = part.flatten() if name == "chunk_s" else pc.drop_null(part)
            times_s = values.to_numpy(zero_copy_only=False)
            if times_s.size and not _within(times_s):
                return f"a {name} in them is no time within a year of the run's start"
    return None


def _within(times_s: np.ndarray) -> bool:
    # NaN is neither least nor most of anything, and so fails both.
    return bool(times_s.min() >= -LONGEST_S and times_s.max() <= LONGEST_S)
