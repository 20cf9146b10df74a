"""`vllm bench serve` without the `vllm` command, which looks for a package the CPU wheel is not.

Runs in vLLM's own environment.
"""

from vllm.benchmarks.serve import add_cli_args, main
from vllm.utils.argparse_utils import FlexibleArgumentParser

parser = FlexibleArgumentParser()
add_cli_args(parser)
main(parser.parse_args())
