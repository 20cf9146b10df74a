"""Manifests and records that the tests of this room share."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from measure.manifest import new_manifest
from measure.records import SCHEMA, Record, Status, TokenSource
from measure.slo import Slo


@pytest.fixture(scope="session")
def make_manifest() -> Callable[..., dict[str, Any]]:
    def make(
        kind: str = "closed",
        warmup_s: float = 0.0,
        duration_s: float | None = None,
        slo: Slo | None = None,
        run_id: str = "r",
        **more: Any,
    ) -> dict[str, Any]:
        load = {
            "scenario": "chat",
            "protocol": "openai-chat",
            "host": "http://127.0.0.1:8000",
            "arrival": {"kind": kind},
            "warmup_s": warmup_s,
            "duration_s": duration_s,
        }
        manifest = new_manifest(run_id=run_id, epoch_s=1.7e9, load=load, slo=slo)
        return {**manifest, **more}

    return make


@pytest.fixture(scope="session")
def make_record() -> Callable[..., Record]:
    """A request sent at `sent`: chunks after the given times, one token a chunk unless said."""

    def make(
        sent: float = 0.0,
        after: tuple[float, ...] = (0.1, 0.2, 0.3),
        scheduled: float | None = None,
        tokens: int | None = -1,
        status: Status = Status.OK,
        **more: Any,
    ) -> Record:
        chunk_s = [sent + gap for gap in after]
        return Record(
            **{
                "request_id": f"{sent}",
                "worker": 0,
                "scheduled_s": sent if scheduled is None else scheduled,
                "sent_s": sent,
                "first_content_s": chunk_s[0] if chunk_s else None,
                "last_content_s": chunk_s[-1] if chunk_s else None,
                "done_s": chunk_s[-1] if chunk_s else sent,
                "output_tokens": len(chunk_s) if tokens == -1 else tokens,
                "token_source": TokenSource.USAGE,
                "chunk_s": chunk_s,
                "chunks": len(chunk_s),
                "status": status,
                **more,
            }
        )

    return make


@pytest.fixture(scope="session")
def table() -> Callable[..., pa.Table]:
    def make(*records: Record) -> pa.Table:
        return pa.Table.from_pylist(
            [{name: getattr(record, name) for name in SCHEMA.names} for record in records],
            schema=SCHEMA,
        )

    return make
