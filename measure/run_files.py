"""The files of a run folder, one by one. `measure.store` says what they are together."""

import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from measure import formats, shards
from measure import manifest as manifests
from measure.errors import DamagedRunError, MeasureError
from measure.files import read_json
from measure.records import SCHEMA

MANIFEST, SUMMARY, REQUESTS, SHARDS, LOGS = (
    "manifest.json", "summary.json", "requests.parquet", "shards", "logs",
)  # fmt: skip
_ROWS_PER_GROUP = 65_536


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of the run folder `path`, checked; `DamagedRunError` if it is not one."""
    file = path / MANIFEST
    if not file.exists():
        raise missing(path, MANIFEST)
    manifest = read_json(file)
    manifests.check(manifest, file)
    return manifest


def read_summary(path: Path) -> dict[str, Any]:
    """What `summary.json` holds; `DamagedRunError` if it is missing or cannot be read."""
    if not (path / SUMMARY).exists():
        raise missing(path, SUMMARY)
    summary = read_json(path / SUMMARY)
    wrong = formats.problem(summary, "summary")
    if wrong:
        raise DamagedRunError(
            f"{path / SUMMARY} is not the summary of a run: {wrong}. Restore "
            f"it from a copy, or move {path} out of the way."
        )
    return summary


def read_records(path: Path) -> pa.Table:
    """All records, from the shards as long as there are any; `DamagedRunError` if unreadable."""
    with suppress(FileNotFoundError):  # Compacted meanwhile: the Parquet file is whole by now.
        if _shard_files(path):
            return pa.Table.from_batches(list(_shard_batches(path)), SCHEMA)
    if (path / REQUESTS).exists():
        return read_parquet(path)
    if (path / SHARDS).is_dir():
        return SCHEMA.empty_table()
    raise missing(path, REQUESTS)


def read_parquet(path: Path) -> pa.Table:
    """All records of a compacted run; `DamagedRunError` if the file cannot be read."""
    file = path / REQUESTS
    try:
        with pq.ParquetFile(file) as source:
            absent = sorted(set(SCHEMA.names) - set(source.schema_arrow.names))
            if absent:
                raise pa.ArrowInvalid(f"no column {', '.join(absent)}")
            # One group after the other: all at once takes three times the memory of the records.
            groups = [
                source.read_row_group(group, columns=SCHEMA.names).select(SCHEMA.names).cast(SCHEMA)
                for group in range(source.num_row_groups)
            ]
        return pa.concat_tables(groups) if groups else SCHEMA.empty_table()
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise DamagedRunError(
            f"{file} cannot be read as the records of a run ({error}). Restore it from a copy, or "
            f"move {path} out of the way."
        ) from error


def compact(path: Path, target: Path) -> None:
    """All shards into one Parquet file, holding one row group in memory."""
    with pq.ParquetWriter(target, SCHEMA, compression="zstd") as writer:
        kept: list[pa.RecordBatch] = []
        for batch in _shard_batches(path):
            kept.append(batch)
            if sum(part.num_rows for part in kept) >= _ROWS_PER_GROUP:
                writer.write_table(pa.Table.from_batches(kept, SCHEMA))
                kept = []
        writer.write_table(pa.Table.from_batches(kept, SCHEMA))


def drop_shards(path: Path) -> None:
    """One rename first: a folder with some of its shards gone must never be read as whole."""
    gone = path / f".{SHARDS}.compacted"
    (path / SHARDS).rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def is_running(path: Path) -> bool:
    """Whether a writer of some shard lives."""
    with suppress(FileNotFoundError):  # Compacted meanwhile.
        return any(shards.is_written(file) for file in _shard_files(path))
    return False


def new_shard(run_dir: Path, worker: int) -> shards.Shard:
    """The shard of a further worker; `MeasureError` if there is one of that number."""
    path = run_dir / SHARDS / f"{worker}{shards.SUFFIX}"
    try:
        return shards.Shard(path)
    except FileExistsError as error:
        raise MeasureError(
            f"{path} exists: two workers of one run have the number {worker}. Give each its own."
        ) from error


def _shard_files(path: Path) -> list[Path]:
    return sorted((path / SHARDS).glob(f"*{shards.SUFFIX}"))


def _shard_batches(path: Path) -> Iterator[pa.RecordBatch]:
    for file in _shard_files(path):
        yield from shards.batches(file)


def missing(path: Path, name: str) -> DamagedRunError:
    """The error for a run folder that lacks a file."""
    return DamagedRunError(
        f"{path} has no {name}, so it is not a whole run. Restore the file from a copy, or give "
        "the folder of another run."
    )
