"""Big runs: what is asserted is memory, measured in a process of its own. Time is no test."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COUNT = 200_000
# A million requests are to stay under 1 GiB. What grows with them may then take this share of
# it for a fifth of them; the libraries, which do not grow, are loaded before the measuring. (A
# million took 700 MiB in all when this was written.)
LIMIT_MIB = 220

PROGRAM = """
import json, resource, sys
from pathlib import Path
import numpy, pyarrow, scipy.special
from measure.manifest import new_manifest
from measure.records import Record, TokenSource
from measure.store import RunWriter
from measure.verdict import ClientStats

def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

path, count, rule = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
pyarrow.array([0.0])
before = peak_mib()
load = {"scenario": "completion", "protocol": "p", "host": "http://h", "warmup": json.loads(rule),
        "arrival": {"kind": "poisson", "rate_rps": 2000.0}}
writer = RunWriter.create(path, new_manifest(run_id=path.name, epoch_s=0.0, load=load))
rng = numpy.random.default_rng(1)
for number in range(count):
    sent = number / 2000
    chunk_s = [sent + 0.1 + 0.02 * k + 0.001 * rng.random() for k in range(4)]
    writer.append(Record(
        request_id=f"0-{number}", worker=0, scheduled_s=sent, sent_s=sent + 1e-4,
        first_content_s=chunk_s[0], last_content_s=chunk_s[-1], done_s=chunk_s[-1],
        prompt_tokens=64, output_tokens=4, first_chunk_tokens=1, token_source=TokenSource.USAGE,
        chunk_s=chunk_s, chunks=4, http_status=200,
    ))
written = peak_mib()
summary = writer.close(ClientStats(1.0, count / 2000, 9, end_s=count / 2000))
print(json.dumps([before, written, peak_mib(), summary["requests"]["total"]]))
"""


@pytest.mark.parametrize("rule", [{"rule": "steady"}, {"rule": "fixed", "duration_s": 1.0}])
def test_memory_leaves_room_for_a_million_requests(rule, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "r"), str(COUNT), json.dumps(rule)],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=300,
    )  # fmt: skip
    before, written, closed, total = json.loads(done.stdout)
    assert total == (COUNT if rule["rule"] == "steady" else COUNT - 2000)
    assert closed - before < LIMIT_MIB, (before, written, closed)
    # Records leave the process as they come; only what one flush holds stays.
    assert written - before < LIMIT_MIB / 2
