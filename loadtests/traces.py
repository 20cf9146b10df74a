"""Recorded workloads to be replayed: when requests came, how long prompt and answer were.

Read whole by Arrow and kept as columns, so that a million lines are seconds and megabytes. The
format is told from the file's head (`loadtests/trace_formats.py` has them), or it is the folder
of a run of this lab.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from loadtests.errors import LoadError
from loadtests.trace_formats import FORMATS, Columns, Format
from measure.errors import MeasureError
from measure.store import open_run

_HEAD_BYTES = 64 * 1024


@dataclass(frozen=True)
class Trace:
    """Requests in the order of their times, the first at 0. `facts` go into the manifest.

    `blocks` are the ids of each prompt's blocks of `BLOCK_TOKENS` tokens, where the trace has
    them: equal ids stand for equal text.
    """

    facts: dict[str, Any]
    offset_s: npt.NDArray[np.float64]
    prompt_tokens: npt.NDArray[np.int32]
    output_tokens: npt.NDArray[np.int32]
    blocks: pa.ListArray | None = None

    @property
    def last_s(self) -> float:
        """The last request's time."""
        return float(self.offset_s[-1])

    def times_s(self) -> Iterator[float]:
        """The times, one after another."""
        return (float(at_s) for at_s in self.offset_s)

    def block_ids(self, number: int) -> list[int]:
        """The ids of request `number`'s blocks; empty where there are none."""
        ids: list[int] = [] if self.blocks is None else self.blocks[number].as_py() or []
        return ids


def read_trace(path: Path) -> Trace:
    """Read a trace of any of the formats, or of a run.

    Requests without tokens in or out cannot be asked again: they are left out, and counted.

    Raises:
        LoadError: it is not there, of no format that is known, empty, or has a line that cannot
            be read (named by its number).
    """
    if path.is_dir():
        return _trace(path, "run", _run(path), {"run_id": path.resolve().name})
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES).decode("utf-8", "replace")
            file.seek(0)
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise LoadError(f"--trace {path} cannot be read: {error.strerror}.") from None
    found = _format_of(path, head)
    return _trace(path, found.name, found.read(path), {"file": path.name, "sha256": sha256[:16]})


def _format_of(path: Path, head: str) -> Format:
    lines = head.lstrip("\ufeff \t\r\n").splitlines()
    if not lines:
        raise LoadError(f"--trace {path} is empty. Give a trace that has requests.")
    found = next((one for one in FORMATS if one.begins(lines[0])), None)
    if found is None:
        known = ", ".join(f"{one.title} ({', '.join(one.names)})" for one in FORMATS)
        raise LoadError(
            f"--trace {path} begins with {lines[0][:80]!r}, which is no trace that is known: "
            f"{known}, or the folder of a run."
        )
    return found


def _run(path: Path) -> Columns:
    """Lengths of requests that ended well; the median of those where one did not."""
    try:
        records = open_run(path).records
    except MeasureError as error:
        raise LoadError(f"--trace {path}: {error}") from None
    ok = pc.equal(records.column("status"), "ok")
    lengths = []
    for name in ("prompt_tokens", "output_tokens"):
        known = pc.cast(pc.if_else(ok, records.column(name), None), pa.float64()).to_numpy()
        if np.isnan(known).all():
            raise LoadError(
                f"--trace {path} is a run in which no request has {name}: its lengths cannot be "
                "asked again. Give a run whose server reported usage."
            )
        lengths.append(np.where(np.isnan(known), np.rint(np.nanmedian(known)), known))
    return Columns(records.column("scheduled_s").to_numpy(), *lengths)


def _trace(path: Path, kind: str, columns: Columns, source: dict[str, Any]) -> Trace:
    usable = (columns.prompt_tokens > 0) & (columns.output_tokens > 0)
    kept = np.flatnonzero(usable)
    if not kept.size:
        raise LoadError(f"--trace {path} holds no request that has tokens both in and out.")
    order = kept[np.argsort(columns.at_s[kept], kind="stable")]
    at_s = columns.at_s[order]
    counts = {"requests": int(order.size), "left_out": int(usable.size - order.size)}
    return Trace(
        facts={"format": kind, **source, **counts},
        offset_s=at_s - at_s[0],
        prompt_tokens=columns.prompt_tokens[order].astype(np.int32),
        output_tokens=columns.output_tokens[order].astype(np.int32),
        blocks=None if columns.blocks is None else columns.blocks.take(pa.array(order)),
    )
