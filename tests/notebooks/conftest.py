import pytest

from measure.manifest import new_manifest
from measure.records import Clock, Record, TokenSource
from measure.store import Run, RunWriter, open_run


@pytest.fixture
def make_run(tmp_path):
    """Runs made of known latencies, through the real run store; no engine is involved."""

    def make(
        instance: str, ttft_s, *, engine="vllm", users=4, itl_s=0.01, settings=None, rate_rps=None
    ) -> Run:
        closed = {"kind": "closed", "users": users}
        run_id = f"{len(list(tmp_path.iterdir()))}-{instance}"
        manifest = new_manifest(
            run_id=run_id,
            epoch_s=1_800_000_000.0,
            engine={"name": engine, "instance": instance, "settings": settings or {}},
            load={
                "scenario": "completion",
                "protocol": "openai-completions",
                "host": "http://127.0.0.1:1",
                "arrival": {"kind": "poisson", "rate_rps": rate_rps} if rate_rps else closed,
            },
        )
        writer = RunWriter.create(tmp_path / run_id, manifest)
        # In an order that has no trend: the intervals allow for requests that resemble neighbours.
        mixed = sorted(range(len(ttft_s)), key=lambda number: number * 0.618 % 1)
        for number, wait_s in enumerate(ttft_s[place] for place in mixed):
            sent_s = number * 1.0
            first_s = sent_s + wait_s
            chunks = [first_s, first_s + itl_s]
            writer.append(
                Record(
                    request_id=str(number),
                    worker=0,
                    scheduled_s=sent_s,
                    sent_s=sent_s,
                    first_content_s=chunks[0],
                    last_content_s=chunks[-1],
                    done_s=chunks[-1],
                    prompt_tokens=8,
                    output_tokens=2,
                    first_chunk_tokens=1,
                    token_source=TokenSource.USAGE,
                    chunk_s=chunks,
                    chunks=2,
                    http_status=200,
                    clock=Clock.KERNEL,
                )
            )
        writer.close()
        return open_run(tmp_path / run_id)

    return make
