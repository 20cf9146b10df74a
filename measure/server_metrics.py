"""The servers' side of a run: Prometheus series over its time, kept with its records.

One row is one sample: `t_s` (seconds from the run's start, on the records' axis), `metric` (the
name on `/metrics`), `labels`, `value`.
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from measure.errors import DamagedRunError, MeasureError
from measure.files import replace_file

FILE = "server_metrics.parquet"
SCHEMA = pa.schema(
    [
        pa.field("t_s", pa.float64(), nullable=False),
        pa.field("metric", pa.string(), nullable=False),
        pa.field("labels", pa.map_(pa.string(), pa.string()), nullable=False),
        pa.field("value", pa.float64(), nullable=False),
    ]
)


def write(run_dir: Path | str, table: pa.Table) -> None:
    """Put `server_metrics.parquet` into a run folder, whole or not at all.

    Raises:
        MeasureError: the table has other columns than `SCHEMA`.
    """
    try:
        rows = table.select(SCHEMA.names).cast(SCHEMA)
    except (KeyError, pa.ArrowException) as error:
        raise MeasureError(
            f"Server metrics for {run_dir} must have the columns {', '.join(SCHEMA.names)} of "
            f"measure.server_metrics.SCHEMA: {error}."
        ) from error
    replace_file(Path(run_dir) / FILE, lambda file: pq.write_table(rows, file, compression="zstd"))


def read(run_dir: Path | str) -> pa.Table | None:
    """The samples of a run, `None` if none were kept.

    Raises:
        DamagedRunError: the file is there and cannot be read.
    """
    file = Path(run_dir) / FILE
    if not file.exists():
        return None
    try:
        return pq.read_table(file).select(SCHEMA.names).cast(SCHEMA)
    except (KeyError, pa.ArrowException, OSError) as error:
        raise DamagedRunError(
            f"{file} cannot be read as server metrics ({error}). Delete it to open the run "
            "without its servers' side."
        ) from error
