"""The formats of public traces, as their publishers document them.

mooncake  JSONL with `timestamp` (ms), `input_length`, `output_length`, and `hash_ids`: one id for
          every 512 tokens of the prompt, equal where those and all before them are equal
          (kvcache-ai/Mooncake, FAST25-release/traces).
azure     CSV with `TIMESTAMP` (date and time), `ContextTokens`, `GeneratedTokens`
          (Azure/AzurePublicDataset, AzureLLMInferenceTrace of 2023 and, with a time zone, 2024).
burstgpt  CSV with `Timestamp` (s), `Request tokens`, `Response tokens` among others; 0 response
          tokens mean that the request had failed (HPMLL/BurstGPT).
"""

import csv
import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json

from loadtests.errors import LoadError
from loadtests.lengths import MOST_TOKENS

BLOCK_TOKENS = 512
# A line of JSON may be longer than the megabyte that Arrow takes at once unless told.
_BLOCK_BYTES = 16 * 1024 * 1024

Floats = npt.NDArray[np.float64]
Row = dict[str, Any]


@dataclass(frozen=True)
class Columns:
    """A trace as it was written: times in seconds from any zero, in any order."""

    at_s: Floats
    prompt_tokens: Floats
    output_tokens: Floats
    blocks: pa.ListArray | None = None


@dataclass(frozen=True)
class Format:
    """`names` are the columns of time, prompt and answer. `read` raises `LoadError`."""

    name: str
    title: str
    names: tuple[str, str, str]
    begins: Callable[[str], bool]
    read: Callable[[Path], Columns]


class _Unreadable(Exception):
    """Something in the file is not as it should be; where, is looked for then."""


def _mooncake(path: Path) -> Columns:
    schema = pa.schema([(name, pa.float64()) for name in MOONCAKE.names])
    schema = schema.append(pa.field("hash_ids", pa.list_(pa.int64())))
    options = pyarrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
    try:
        whole = pyarrow.json.ReadOptions(block_size=_BLOCK_BYTES)
        table = pyarrow.json.read_json(path, whole, options)
        at_ms, tokens_in, tokens_out = _numbers(table, MOONCAKE.names)
        blocks = table.column("hash_ids").combine_chunks()
        counts = pc.fill_null(pc.list_value_length(blocks), 0).to_numpy(zero_copy_only=False)
        if ((counts > 0) & (counts != np.ceil(tokens_in / BLOCK_TOKENS))).any():
            raise _Unreadable("hash_ids")
    except (pa.ArrowException, _Unreadable) as error:
        raise _where(path, MOONCAKE, _json_rows(path), error) from None
    return Columns(at_ms / 1000, tokens_in, tokens_out, blocks if counts.any() else None)


def _azure(path: Path) -> Columns:
    _, *lengths = AZURE.names
    moment = pa.timestamp("ns")
    kinds = dict.fromkeys(lengths, pa.float64())
    try:
        try:
            table = _csv(path, {"TIMESTAMP": moment, **kinds})
        except pa.ArrowInvalid:
            table = _csv(path, {"TIMESTAMP": pa.timestamp("ns", "UTC"), **kinds})
        at_ns = pc.cast(table.column("TIMESTAMP"), pa.int64())
        if at_ns.null_count:
            raise _Unreadable("TIMESTAMP")
        # Whole nanoseconds since 1970 do not fit a double: first the difference, then seconds.
        since_ns = pc.subtract(at_ns, pc.min(at_ns)) if len(at_ns) else at_ns
        tokens_in, tokens_out = _numbers(table, lengths)
    except (pa.ArrowException, _Unreadable) as error:
        raise _where(path, AZURE, _csv_rows(path), error) from None
    return Columns(since_ns.to_numpy().astype(np.float64) / 1e9, tokens_in, tokens_out)


def _burstgpt(path: Path) -> Columns:
    try:
        table = _csv(path, dict.fromkeys(BURSTGPT.names, pa.float64()))
        return Columns(*_numbers(table, BURSTGPT.names))
    except (pa.ArrowException, _Unreadable) as error:
        raise _where(path, BURSTGPT, _csv_rows(path), error) from None


def _begins_csv(names: tuple[str, ...]) -> Callable[[str], bool]:
    return lambda line: set(names) <= set(next(csv.reader([line]), []))


_AZURE = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
_BURSTGPT = ("Timestamp", "Request tokens", "Response tokens")
MOONCAKE = Format(
    "mooncake",
    "Mooncake's JSONL",
    ("timestamp", "input_length", "output_length"),
    lambda line: line.startswith("{"),
    _mooncake,
)
AZURE = Format("azure", "Azure's CSV", _AZURE, _begins_csv(_AZURE), _azure)
BURSTGPT = Format("burstgpt", "BurstGPT's CSV", _BURSTGPT, _begins_csv(_BURSTGPT), _burstgpt)
FORMATS = (MOONCAKE, AZURE, BURSTGPT)


def _csv(path: Path, kinds: dict[str, pa.DataType]) -> pa.Table:
    options = pyarrow.csv.ConvertOptions(column_types=kinds, include_columns=list(kinds))
    return pyarrow.csv.read_csv(path, convert_options=options)


def _numbers(table: pa.Table, names: Iterable[str]) -> list[Floats]:
    """Columns without a gap; the first of three is a time, the others are counts of tokens."""
    found = []
    for name in names:
        column = table.column(name)
        values = column.to_numpy().astype(np.float64)
        is_time = name in ("timestamp", "Timestamp")
        fit = np.isfinite(values) if is_time else (values >= 0) & (values <= MOST_TOKENS)
        if column.null_count or not fit.all():
            raise _Unreadable(name)
        found.append(values)
    return found


def _json_rows(path: Path) -> Iterator[tuple[int, Row | str]]:
    with path.open(encoding="utf-8", errors="replace") as file:
        for line, text in enumerate(file, 1):
            if not text.strip():
                continue
            try:
                row = json.loads(text.lstrip("\ufeff"))
            except (ValueError, RecursionError) as error:
                row = f"is no JSON ({error})"
            yield line, row if isinstance(row, dict | str) else "is no JSON object"


def _csv_rows(path: Path) -> Iterator[tuple[int, Row | str]]:
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        reader = csv.reader(file)
        names = next(row for row in reader if row)
        try:
            for row in reader:
                if row and len(row) != len(names):
                    yield reader.line_num, f"has {len(row)} fields, and the first line {len(names)}"
                elif row:
                    yield reader.line_num, dict(zip(names, row, strict=True))
        except csv.Error as error:
            yield reader.line_num, f"is no CSV ({error})"


def _where(
    path: Path, kind: Format, rows: Iterator[tuple[int, Row | str]], error: Exception
) -> LoadError:
    """The error for the first line that cannot be meant. Only looked for once a read failed."""
    line = None
    for line, row in rows:
        wrong = row if isinstance(row, str) else _wrong(kind, row)
        if wrong:
            return LoadError(
                f"--trace {path}, line {line}, {wrong}. It was taken for {kind.title}; mend or "
                "remove the line."
            )
    if line is None:
        return LoadError(f"--trace {path} is {kind.title} without a single request.")
    return LoadError(f"--trace {path} cannot be read as {kind.title}: {error}.")


def _wrong(kind: Format, row: Row) -> str | None:
    time, *lengths = kind.names
    if kind is AZURE:
        try:
            datetime.fromisoformat(str(row.get(time)))
        except ValueError:
            return f"has the {time} {row.get(time)!r}, which is no date and time"
    elif not math.isfinite(_number(kind, row.get(time))):
        return f"has the {time} {row.get(time)!r}, which is no number"
    for name in lengths:
        if not 0 <= _number(kind, row.get(name)) <= MOST_TOKENS:
            return f"has the {name} {row.get(name)!r}, which is no number from 0 to {MOST_TOKENS}"
    ids = row.get("hash_ids") if kind is MOONCAKE else None
    if ids is None:
        return None
    if not isinstance(ids, list) or not all(isinstance(one, int) for one in ids):
        return "has hash_ids that are no list of whole numbers"
    blocks = math.ceil(row[lengths[0]] / BLOCK_TOKENS)
    if ids and len(ids) != blocks:
        return (
            f"has {len(ids)} hash_ids for {row[lengths[0]]} tokens, and in blocks of "
            f"{BLOCK_TOKENS} they make {blocks}"
        )
    return None


def _number(kind: Format, value: object) -> float:
    if kind is MOONCAKE and isinstance(value, str):
        return math.nan
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return math.nan
