"""One worker's records while a run goes on: an Arrow IPC stream that grows batch by batch.

Every batch is one write to the file, so what was flushed survives `kill -9`; a batch torn by it
is left out when the shard is read. A shard is locked while its writer lives: a reader can tell a
run that goes on from one that was cut off.
"""

import fcntl
import os
from array import array
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from measure.errors import DamagedRunError, MeasureError
from measure.records import SCHEMA, Record, Status

SUFFIX = ".arrows"
_SCALARS = tuple(name for name in SCHEMA.names if name != "chunk_s")
# What pyarrow raises for a value that is not of its column's type.
_UNFIT = (pa.ArrowException, OverflowError, TypeError, ValueError)
# The Arrow format's end of stream: a continuation marker and a length of zero.
_END_OF_STREAM = b"\xff\xff\xff\xff" + bytes(4)
# How Arrow's messages begin when a stream stops in the middle of something.
_TORN = (
    "Expected to",
    "Corrupted message, only",
    "Corrupted metadata length, only",
    "Tried reading",
)


class Rows:
    """Records on their way to a shard, gathered into batches. Not safe for threads."""

    def __init__(self) -> None:
        self._rows: list[Record] = []
        self._chunk_s = array("d")
        self._offsets = array("i", [0])
        # Arrow's first conversion imports pandas: a second that no run may spend under load.
        self._made()

    def append(self, record: Record) -> None:
        """Keep a record for the next batch."""
        # Converted before anything is kept: a record that cannot be leaves no trace.
        chunk_s = array("d", record.chunk_s)
        self._rows.append(record)
        self._chunk_s.extend(chunk_s)
        self._offsets.append(len(self._chunk_s))

    def batch(self) -> pa.RecordBatch | None:
        """All that is kept, `None` if that is nothing. It stays kept until `clear`.

        A record with a value that its column cannot hold is there without that value, as a stream
        error that names it: it must not take the others with it.
        """
        if not self._rows:
            return None
        try:
            return self._made()
        except _UNFIT:
            self._rows = [_storable(row) for row in self._rows]
            return self._made()

    def clear(self) -> None:
        """Forget what the last batch held."""
        self._rows = []
        self._chunk_s = array("d")
        self._offsets = array("i", [0])

    def _made(self) -> pa.RecordBatch:
        columns = {
            name: pa.array([getattr(row, name) for row in self._rows], type=SCHEMA.field(name).type)
            for name in _SCALARS
        }
        columns["chunk_s"] = pa.ListArray.from_arrays(
            pa.Array.from_buffers(
                pa.int32(), len(self._offsets), [None, pa.py_buffer(self._offsets)]
            ),
            pa.Array.from_buffers(
                pa.float64(), len(self._chunk_s), [None, pa.py_buffer(self._chunk_s)]
            ),
        )
        return pa.record_batch([columns[name] for name in SCHEMA.names], schema=SCHEMA)


def from_bytes(message: bytes) -> pa.RecordBatch:
    """A batch that another process made and serialised.

    Raises:
        MeasureError: it is none, or of another version of the lab.
    """
    try:
        batch = pa.ipc.read_record_batch(pa.py_buffer(message), SCHEMA)
        batch.validate()
    except (pa.ArrowException, OSError, EOFError) as error:
        raise MeasureError(
            f"What a worker sent is no batch of records ({error}). Run the same version of the lab "
            "on all hosts."
        ) from error
    return batch


class Shard:
    """The file of one shard. Not safe for threads: the owner holds a lock."""

    def __init__(self, path: Path) -> None:
        """Open a new shard.

        Raises:
            FileExistsError: there is one of that name already.
        """
        self.path = path
        self._file = path.open("xb", buffering=0)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        self._write(SCHEMA.serialize())

    def write(self, batch: pa.RecordBatch) -> None:
        """Add a batch, whole or not at all.

        Raises:
            MeasureError: the file cannot be written (a full disk).
        """
        self._write(batch.serialize())

    def close(self) -> None:
        """Mark the end and let the lock go."""
        try:
            self._write(_END_OF_STREAM)
        finally:
            # A child forked meanwhile has the file open too, and would keep the lock.
            fcntl.flock(self._file, fcntl.LOCK_UN)
            self._file.close()

    def _write(self, message: bytes | pa.Buffer) -> None:
        """Append a whole message, or leave the file as it was."""
        file, rest = self._file.fileno(), memoryview(message)
        whole = os.lseek(file, 0, os.SEEK_CUR)
        try:
            while rest:
                rest = rest[os.write(file, rest) :]
        except OSError as error:
            os.ftruncate(file, whole)
            os.lseek(file, whole, os.SEEK_SET)
            raise MeasureError(
                f"Records cannot be written to {self.path} ({error}). Those flushed before are "
                "safe; make room there, or choose another run folder."
            ) from error


def _storable(row: Record) -> Record:
    """The record itself, or what of it can be stored and an error that says what could not."""
    unfit: dict[str, Any] = {}
    for name in _SCALARS:
        try:
            pa.array([getattr(row, name)], type=SCHEMA.field(name).type)
        except _UNFIT:
            unfit[name] = getattr(row, name)
    if not unfit:
        return row
    said = ", ".join(f"{name}={ascii(value)[:80]}" for name, value in unfit.items())
    kept = {name: _nothing(SCHEMA.field(name)) for name in unfit}
    kept |= {"status": Status.STREAM_ERROR, "error": f"not_storable: {said}"}
    return replace(row, **kept)


def _nothing(column: pa.Field) -> Any:
    if column.nullable:
        return None
    return "" if pa.types.is_string(column.type) else 0


def batches(path: Path) -> Iterator[pa.RecordBatch]:
    """The whole batches of a shard, oldest first; also of one that is being written.

    Raises:
        DamagedRunError: something other than a torn end is wrong with the file.
    """
    with pa.OSFile(str(path), "rb") as source:
        try:
            reader = pa.ipc.open_stream(source)
            if not reader.schema.equals(SCHEMA):
                raise _damaged(path, "its columns are not those of a record")
            while True:
                batch = reader.read_next_batch()
                batch.validate()
                yield batch
        except StopIteration:
            return
        except (pa.ArrowInvalid, OSError) as error:
            if not str(error).startswith(_TORN):
                raise _damaged(path, str(error)) from error


def is_written(path: Path) -> bool:
    """Whether the shard's writer still lives."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _damaged(path: Path, what: str) -> DamagedRunError:
    return DamagedRunError(
        f"{path}, a part of an unfinished run, is damaged: {what}. Restore it from a copy, or move "
        "it out of the run folder to read what the other files hold."
    )
