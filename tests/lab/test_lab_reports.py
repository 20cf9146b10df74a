"""What the terminal says of runs, on runs written by the run store itself."""

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from lab import reports
from measure.manifest import new_manifest
from measure.records import Record, Status, TokenSource
from measure.store import Run, RunWriter, open_run
from measure.verdict import ClientStats
from servers.tgi.launch import COMPATIBLE

LOAD = {
    "scenario": "chat", "protocol": "openai-chat", "host": "http://127.0.0.1:1",
    "arrival": {"kind": "closed", "users": 1},
}  # fmt: skip


def a_run(folder: Path, answered: bool = True, **engine: object) -> Run:
    manifest = new_manifest(run_id=folder.name, epoch_s=1.7e9, load=LOAD, engine=engine)
    writer = RunWriter.create(folder, manifest)
    for sent_s in range(20):
        wait_s = 0.4 + sent_s * 7 % 20 / 100
        facts: dict[str, object] = {"status": Status.HTTP_ERROR, "error": "refused"}
        if answered:
            facts = {
                "first_content_s": sent_s + 0.2, "last_content_s": (last_s := sent_s + wait_s),
                "done_s": last_s, "output_tokens": 8, "first_chunk_tokens": 4,
                "token_source": TokenSource.USAGE, "chunk_s": [sent_s + 0.2, last_s],
                "chunks": 2,
            }  # fmt: skip
        writer.append(
            Record(f"0-{sent_s}", worker=0, scheduled_s=sent_s, sent_s=sent_s, **facts)  # type: ignore[arg-type]
        )
    writer.close(ClientStats(cpu_s=0.1, wall_s=20.0, max_in_flight=1))
    return open_run(folder)


def shown(show, *arguments, width: int = 100) -> str:
    out = io.StringIO()
    show(Console(file=out, width=width, highlight=False), *arguments)
    return out.getvalue()


def test_a_run_without_an_answer_says_so_in_place_of_an_empty_table(tmp_path):
    said = shown(reports.print_run, a_run(tmp_path / "one", answered=False))
    assert "no request was answered" in said and "p99.9" not in said
    assert "0 answered, 20 failed" in said
    said = shown(reports.print_run, a_run(tmp_path / "two"))
    assert "no request was answered" not in said and "p99.9" in said


@pytest.mark.parametrize("instances", [("tgi", "tgi"), ("tgi", "other")])
def test_a_stand_in_is_named_in_its_columns_head(tmp_path, instances):
    knobs = {"max_batch_prefill_tokens": 4096, "max_waiting_tokens": 20}
    titles = (COMPATIBLE, "Text Generation Inference")
    found = [
        a_run(tmp_path / run_id, name="tgi", instance=instance, title=title,
              settings=knobs | {"max_batch_prefill_tokens": tokens})
        for run_id, instance, title, tokens in zip("ab", instances, titles, (4096, 512), strict=True)
    ]  # fmt: skip
    said = shown(reports.print_comparison, found)
    head = next(line for line in said.splitlines() if "(a)" in line and "(b)" in line)
    first, second = head.split("(b)")
    assert COMPATIBLE in first and "Inference" not in second
    assert "\nmax_batch_prefill_tokens " in said


def test_five_runs_at_eighty_columns_break_no_word_and_no_number(tmp_path):
    found = [
        a_run(tmp_path / run_id, name="vllm", settings={"max_num_seqs": place})
        for place, run_id in enumerate("abcde")
    ]
    said = shown(reports.print_comparison, found, width=80)
    assert max(len(line) for line in said.splitlines()) <= 80
    rows = [line for line in said.splitlines() if line.startswith("E2E p50 ")]
    cells = [cell for row in rows for cell in re.split(r"\s{2,}(?!\[)", row)[1:]]
    assert len(rows) > 1 and len(cells) == 5
    assert all(re.fullmatch(r"\d+ ms  \[\d+–\d+\]", cell) for cell in cells)
