"""Start it: `python -m servers.vllm_fastapi.inside --host H --port P` and vLLM's engine flags.

The engine is vLLM's own and takes vLLM's own flags; only the HTTP server around it is ours.
"""

import signal

import uvicorn
import uvloop
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.usage.usage_lib import UsageContext
from vllm.utils.argparse_utils import FlexibleArgumentParser
from vllm.v1.engine.async_llm import AsyncLLM

from servers.vllm_fastapi.inside.app import make_app


def _arguments():
    parser = FlexibleArgumentParser(description=__doc__)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    return AsyncEngineArgs.add_cli_args(parser).parse_args()


def _interrupted(_signal, _frame) -> None:
    raise KeyboardInterrupt


async def _serve(arguments) -> None:
    # While the engine loads nobody listens for SIGTERM: without this its processes would stay.
    signal.signal(signal.SIGTERM, _interrupted)
    engine_arguments = AsyncEngineArgs.from_cli_args(arguments)
    config = engine_arguments.create_engine_config(UsageContext.API_SERVER)
    # It starts the engine core, a process of its own that holds the model, and waits for it.
    engine = AsyncLLM.from_vllm_config(config, usage_context=UsageContext.API_SERVER)
    (name,) = arguments.served_model_name
    server = uvicorn.Server(
        uvicorn.Config(
            make_app(engine, name),
            host=arguments.host,
            port=arguments.port,
            # A line a request costs more than it tells.
            access_log=False,
            # Answers under way may end; what then still runs is cut.
            timeout_graceful_shutdown=config.shutdown_timeout,
        )
    )
    try:
        # From here on SIGTERM is uvicorn's: it ends `serve` in good order.
        await server.serve()
    finally:
        engine.shutdown()


if __name__ == "__main__":
    # vLLM starts its processes by importing this module anew: they must not come here.
    uvloop.run(_serve(_arguments()))
