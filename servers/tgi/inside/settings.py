"""The server's command line: TGI's flags, by TGI's names."""

import argparse
from dataclasses import dataclass

MAX_BEST_OF = 2
MAX_STOP_SEQUENCES = 4
MAX_TOP_N_TOKENS = 5
MAX_CLIENT_BATCH_SIZE = 4
VALIDATION_WORKERS = 2
PAYLOAD_LIMIT_BYTES = 2_000_000
DEFAULT_GENERATION_TOKENS = 1024
"""TGI's own defaults of what the lab does not turn."""


@dataclass(frozen=True)
class Settings:
    """What one server was started with. Sizes are in tokens or requests."""

    model_id: str
    hostname: str
    port: int
    dtype: str
    max_concurrent_requests: int
    max_input_tokens: int
    max_total_tokens: int
    max_batch_prefill_tokens: int
    max_batch_total_tokens: int
    max_batch_size: int | None
    waiting_served_ratio: float
    max_waiting_tokens: int


def parse(argv=None):
    """`Settings` from the command line; wrong words end the program with a usage message."""
    parser = argparse.ArgumentParser(description="A TGI-compatible server over transformers.")
    add = parser.add_argument
    add("--model-id", required=True)
    add("--hostname", default="127.0.0.1")
    add("--port", type=int, default=3000)
    add("--dtype", choices=("auto", "float32", "bfloat16", "float16"), default="auto")
    add("--max-concurrent-requests", type=int, default=128)
    add("--max-input-tokens", type=int, default=1024)
    add("--max-total-tokens", type=int, default=2048)
    add("--max-batch-prefill-tokens", type=int, default=2048)
    add("--max-batch-total-tokens", type=int, default=16384)
    add("--max-batch-size", type=int, default=None)
    add("--waiting-served-ratio", type=float, default=0.3)
    add("--max-waiting-tokens", type=int, default=20)
    return Settings(**vars(parser.parse_args(argv)))
