"""The TGI-compatible server: TGI's contract and its batching, over transformers.

Not TGI: TGI itself comes as a Docker image only, and wants a GPU.
"""

import asyncio
import logging
from contextlib import asynccontextmanager

import settings
import torch
import transformers
import uvicorn
from engine import Engine
from generating import cores
from infer import Infer
from loading import load
from metrics_out import Metrics
from routes import Routes
from waiting import Waiting

ROUTER = "tgi-compatible"
SHUTDOWN_GRACE_S = 5


def main():
    """Load the model, then answer until SIGTERM."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    given = settings.parse()
    # This thread computes nothing: its own pool of threads would compete with the engine's.
    torch.set_num_threads(1)
    loaded = load(given.model_id, given.dtype)
    metrics = Metrics(given.max_input_tokens, given.max_total_tokens)
    waiting = Waiting(metrics)
    infer = Infer(loaded, given, metrics, waiting)
    post = Post()
    engine = Engine(loaded, given, waiting, metrics, post, cores())
    facts = {
        "version": f"transformers-{transformers.__version__}",
        "router": ROUTER,
        "model_pipeline_tag": None,
        "model_sha": None,
        "docker_label": None,
        "sha": None,
    }
    app = Routes(infer, engine, facts).app()
    app.router.lifespan_context = _lifespan(engine, post)
    logging.info("%s, %s, %s", given, loaded.model.dtype, loaded.device)
    uvicorn.run(
        app,
        host=given.hostname,
        port=given.port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=SHUTDOWN_GRACE_S,
    )


class Post:
    """Carries a step's messages to the event loop, in one call."""

    def __init__(self):
        self.loop = None

    def __call__(self, messages):
        """Deliver `(entry, message)` pairs; called in the engine's thread."""
        self.loop.call_soon_threadsafe(_deliver, messages)


def _deliver(messages):
    for entry, message in messages:
        if not entry.dropped:
            entry.send(message)


def _lifespan(engine, post):
    @asynccontextmanager
    async def lifespan(app):
        post.loop = asyncio.get_running_loop()
        engine.start()
        yield
        await asyncio.to_thread(engine.stop)

    return lifespan


if __name__ == "__main__":
    main()
