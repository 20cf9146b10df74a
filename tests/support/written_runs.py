"""Runs and batches of records, written as a load test writes them."""

from measure.shards import Rows
from measure.store import RunWriter
from measure.verdict import ClientStats

STATS = ClientStats(cpu_s=1.0, wall_s=10.0, max_in_flight=3)


def write_run(path, manifest, records, close=True, **options):
    writer = RunWriter.create(path, manifest, **options)
    for record in records:
        writer.append(record)
    if close:
        writer.close(STATS)
    return writer


def batch_of(*records):
    rows = Rows()
    for record in records:
        rows.append(record)
    return rows.batch()
