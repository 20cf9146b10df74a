"""What an offline job reports, as a run: the same records, summary and engine's series.

There is no server and no client. A request is sent when the engine has it in its queue, and done
at its last token, both by the engine's own clock. Its answer comes in one piece, so there is no
TTFT, ITL or chunk gap: what the engine knows of its first token stands with the answer.
"""

import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from lab import services
from lab.experiment import new_folder
from measure import server_metrics
from measure.manifest import new_manifest, new_run_id
from measure.records import Record, Status, TokenSource
from measure.store import Run, RunWriter, open_run
from measure.verdict import ClientStats
from servers.contract import Engine
from servers.offline import Job

SCENARIO = "batch"
OFFLINE = "offline"


def record(event: Mapping[str, Any], line: int, zero_s: float) -> Record:
    """An `answer` of the job as a record; times from the moment at which the prompts began."""
    last_s = event["last_token_s"] - zero_s
    queued_s = event["queued_s"] - zero_s
    return Record(
        request_id=f"line-{line}",
        worker=0,
        scheduled_s=queued_s,
        sent_s=queued_s,
        last_content_s=last_s,
        done_s=last_s,
        prompt_tokens=event["prompt_tokens"],
        output_tokens=event["output_tokens"],
        token_source=TokenSource.USAGE,
        chunk_s=[last_s],
        chunks=1,
    )


def engine_times(event: Mapping[str, Any]) -> dict[str, float]:
    """Where an answer's time went, exactly, by the engine's own clock; seconds.

    `queue_s` until the first step that computed it, `prefill_s` from there to its first token,
    `decode_s` from there to its last.
    """
    moments = ("queued_s", "scheduled_s", "first_token_s", "last_token_s")
    queued, scheduled, first, last = (event[name] for name in moments)
    return {
        "queue_s": round(scheduled - queued, 6),
        "prefill_s": round(first - scheduled, 6),
        "decode_s": round(last - first, 6),
    }


class BatchRun:
    """A run folder that fills as the job goes on. It begins with the job's `ready`."""

    def __init__(self, engine: Engine, job: Job, source: Path, count: int, ready: dict) -> None:
        """`count` prompts of the file `source` were given to the job."""
        self._job = job
        self._zero_s: float = ready["monotonic_s"]
        self._cpu_at_start_s = time.process_time()
        self._series: list[tuple[float, str, list[tuple[str, str]], float]] = []
        self._count = count
        folder = new_folder(new_run_id(job.name, "", datetime.now(UTC)))
        load = {
            "scenario": SCENARIO,
            "protocol": OFFLINE,
            "host": "none: no server",
            "arrival": {"kind": "batch", "requests": count},
            "prompt": {"kind": "file", "file": source.name},
        }
        manifest = new_manifest(
            run_id=folder.name,
            epoch_s=ready["epoch_s"],
            load=load,
            engine=_engine_facts(engine, job, ready["version"]),
        )
        self.name = folder.name
        self._writer = RunWriter.create(folder, manifest)

    def answered(self, event: Mapping[str, Any], line: int) -> None:
        """Keep an `answer`."""
        self._writer.append(record(event, line, self._zero_s))

    def refused(self, event: Mapping[str, Any], line: int) -> None:
        """Keep a prompt that the engine would not take; it was wanted and never sent."""
        self._writer.append(
            Record(
                request_id=f"line-{line}",
                worker=0,
                scheduled_s=event["monotonic_s"] - self._zero_s,
                status=Status.STREAM_ERROR,
                error=event["error"],
            )
        )

    def measured(self, event: Mapping[str, Any]) -> None:
        """Keep a look at the engine's own metrics."""
        t_s = event["monotonic_s"] - self._zero_s
        for name, labels, value in event["samples"]:
            pairs = {**labels, "instance": self._job.name, "job": "engine"}
            self._series.append((t_s, name, sorted(pairs.items()), value))

    def close(self, end_s: float) -> Run:
        """End the run at that moment (monotonic) and sum it up."""
        wall_s = end_s - self._zero_s
        self._writer.close(
            ClientStats(
                cpu_s=time.process_time() - self._cpu_at_start_s,
                wall_s=wall_s,
                end_s=wall_s,
                max_in_flight=self._count,
            )
        )
        columns = [list(column) for column in zip(*self._series, strict=True)]
        if columns:
            table = pa.table(columns, schema=server_metrics.SCHEMA)
            server_metrics.write(self._writer.path, table)
        logs = self._writer.path / "logs"
        logs.mkdir(exist_ok=True)
        with suppress(OSError):
            shutil.copy(self._job.log, logs / "engine.log")
        return open_run(self._writer.path)


def _engine_facts(engine: Engine, job: Job, version: str) -> dict[str, Any]:
    return {
        "name": engine.name,
        "title": f"{engine.title}, offline",
        "way": job.request.way,
        "instance": job.name,
        "version": version,
        "settings": dict(job.request.settings),
        "argv": list(job.argv),
        "model": job.request.model,
        "device": job.request.device,
        "neighbours": services.neighbours(job.name),
    }
