"""Synthetic runs for the tests of the dashboard, written by the run store itself."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from measure.manifest import new_manifest
from measure.records import Clock, Record, Status, TokenSource
from measure.store import RunWriter
from measure.verdict import ClientStats

HOSTILE = '<script>alert(1)</script><img src=x onerror="alert(2)"> **bold** [x](http://a.b) $x$'


def records(
    count: int, *, ttft_s: float = 0.08, itl_s: float = 0.02, rate_rps: float = 20.0, seed: int = 1
) -> list[Record]:
    """Requests of 16 tokens with log-normal times; one in fifty fails."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(count):
        sent = i / rate_rps + float(rng.uniform(0, 0.5 / rate_rps))
        first = sent + ttft_s * float(rng.lognormal(0, 0.5))
        chunks = (first + np.cumsum(itl_s * rng.lognormal(0, 0.2, 15))).tolist()
        failed = i % 50 == 49
        made.append(
            Record(
                request_id=f"{i}",
                worker=0,
                scheduled_s=i / rate_rps,
                sent_s=sent,
                first_content_s=None if failed else first,
                last_content_s=None if failed else chunks[-1],
                done_s=sent + 0.01 if failed else chunks[-1] + 0.001,
                prompt_tokens=32,
                output_tokens=None if failed else 16,
                first_chunk_tokens=None if failed else 1,
                token_source=TokenSource.NONE if failed else TokenSource.USAGE,
                chunk_s=[] if failed else [first, *chunks],
                chunks=0 if failed else 16,
                status=Status.HTTP_ERROR if failed else Status.OK,
                http_status=503 if failed else 200,
                error="overloaded" if failed else None,
                clock=Clock.KERNEL,
            )
        )
    return made


def cut_off(made: list[Record], count: int) -> list[Record]:
    """The same, those before the last one still under way when the load ended."""
    cut = [
        replace(
            one, status=Status.CANCELLED, first_content_s=None, last_content_s=None, done_s=None,
            output_tokens=None, first_chunk_tokens=None, token_source=TokenSource.NONE,
            chunk_s=[], chunks=0, http_status=None, error=None,
        )
        for one in made[-count - 1 : -1]
    ]  # fmt: skip
    return [*made[: -count - 1], *cut, made[-1]]


def manifest(run_id: str, **changes: Any) -> dict[str, Any]:
    """A manifest as a load test writes it; what `changes` names is otherwise."""
    return new_manifest(
        run_id=run_id,
        epoch_s=1_790_000_000.0,
        name=changes.get("name"),
        engine={
            "name": changes.get("engine", "vllm"),
            "title": changes.get("title"),
            "version": "0.32.0",
            "settings": changes.get("settings", {"max_num_seqs": 16}),
            "argv": [],
            "model": changes.get("model", "SmolLM2-135M-Instruct"),
            "device": "cpu",
        },
        load={
            "scenario": "chat",
            "protocol": "openai-chat",
            "host": "http://127.0.0.1:8000",
            "arrival": changes.get("arrival", {"kind": "closed", "users": 8}),
            "warmup_s": changes.get("warmup_s", 5.0),
            "duration_s": 60.0,
        },
        slo=changes.get("slo"),
    )


def write_run(
    root: Path, run_id: str, made: list[Record], *, finish: bool = True, **changes: Any
) -> RunWriter:
    """A run folder; an unfinished one stays open, as while its load test lives."""
    writer = RunWriter.create(root / run_id, manifest(run_id, **changes))
    for record in made:
        writer.append(record)
    writer.flush()
    if finish:
        end_s = max(record.done_s or 0.0 for record in made)
        writer.close(
            ClientStats(cpu_s=0.2 * end_s, wall_s=end_s, max_in_flight=9, loop_lag_p99_s=0.001)
        )
    return writer


def damage(root: Path, run_id: str) -> None:
    """A folder that claims to be a run and is none."""
    folder = root / run_id
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text('{"schema": "serving-lab/run/1", "run_id": 3')
