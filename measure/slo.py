"""Service-level objectives, and which requests met them."""

import math
import re
from dataclasses import asdict, dataclass, fields

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from measure import latency
from measure.errors import MeasureError

_NAMES = ("ttft", "itl", "tpot", "e2e")
_AMOUNT = re.compile(r"(\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+)\s*(ms|s|)")


@dataclass(frozen=True)
class Slo:
    """The most a request may take, in seconds; `None` asks for nothing."""

    ttft_s: float | None = None
    itl_s: float | None = None
    tpot_s: float | None = None
    e2e_s: float | None = None

    @classmethod
    def parse(cls, text: str) -> "Slo":
        """Read `ttft=0.5,itl=50ms`: seconds, or milliseconds where it says ms.

        Raises:
            MeasureError: an unknown name, a name twice, or an amount that is not a positive time.
        """
        found: dict[str, float] = {}
        for part in (piece.strip() for piece in text.split(",")):
            name, _, amount = (side.strip() for side in part.partition("="))
            match = _AMOUNT.fullmatch(amount)
            seconds = float(match[1]) * (1e-3 if match[2] == "ms" else 1.0) if match else 0.0
            if name not in _NAMES or not 0 < seconds < math.inf:
                raise MeasureError(
                    f"The SLO {text!r} has {part!r} in it, which is not understood. Write one or "
                    f"more of {', '.join(_NAMES)} with the most it may take, in seconds or with "
                    "ms, separated by commas: ttft=0.5,itl=50ms."
                )
            if f"{name}_s" in found:
                raise MeasureError(f"The SLO {text!r} names {name} twice; give it one limit.")
            found[f"{name}_s"] = seconds
        return cls(**found)

    @classmethod
    def from_dict(cls, limits: dict[str, float | None] | None) -> "Slo":
        """From the manifest's `slo`; unknown keys are left alone."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in (limits or {}).items() if name in known})

    def as_dict(self) -> dict[str, float | None]:
        """For the manifest."""
        return asdict(self)

    @property
    def asked(self) -> bool:
        """Whether anything is asked for."""
        return any(value is not None for value in self.as_dict().values())

    def __str__(self) -> str:
        """In the form that `parse` reads."""
        limits = ((name, getattr(self, f"{name}_s")) for name in _NAMES)
        return ",".join(f"{name}={limit!r}" for name, limit in limits if limit is not None)


def met(records: pa.Table, slo: Slo, *, from_schedule: bool = False) -> npt.NDArray[np.bool_]:
    """Which requests met every objective asked for, one truth a row.

    A failed request does not meet it, nor does one whose quantity is undefined: an answer of one
    token has no ITL and no TPOT and so misses an SLO on them (as in aiperf; `vllm bench serve`
    lets it pass, guidellm leaves it out). With nothing asked for, every request that ended well
    meets it.

    Args:
        records: rows of `measure.records.SCHEMA`.
        slo: what is asked for.
        from_schedule: count TTFT and E2E from the scheduled time, as open loop must.
    """
    quantities = {
        "ttft_s": latency.ttft_from_schedule_s if from_schedule else latency.ttft_s,
        "itl_s": latency.itl_s,
        "tpot_s": latency.tpot_s,
        "e2e_s": latency.e2e_from_schedule_s if from_schedule else latency.e2e_s,
    }
    result = latency.is_ok(records)
    for name, limit in slo.as_dict().items():
        if limit is not None:
            # A comparison with NaN is false, which is the rule wanted here.
            result = result & (quantities[name](records) <= limit)
    return result
