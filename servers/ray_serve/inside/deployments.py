"""What Ray Serve runs: the classifier that batches, and a router that splits between two of them.

Direct: Ray's HTTP proxy hands requests to the classifier's replicas. As a pipeline: to the
router's, which tokenizes and asks a replica of A or of B. Both are the same graph; B reads only
the first tokens of a text, so it answers sooner and knows less.
"""

import asyncio
import random

import loopback  # noqa: F401
import ray
from classifying import Classifier, Refused, answer, read, token_ids, tokenizer
from ray import serve
from ray.util.metrics import Counter
from starlette.responses import JSONResponse


class Batched:
    """Replicas of one variant: requests that wait together are computed together."""

    def __init__(self, variant, folder, threads, max_batch_size, max_queue_delay_us, cut):
        self._variant = variant
        self._tokenizer = tokenizer(folder)
        self._classifier = Classifier(folder, threads)
        self._cut = cut
        self._texts = Counter(
            "lab_classify_texts", description="Texts that were computed.", tag_keys=("variant",)
        )
        self._texts.set_default_tags({"variant": variant})
        self._batch.set_max_batch_size(max_batch_size)
        self._batch.set_batch_wait_timeout_s(max_queue_delay_us / 1e6)

    async def __call__(self, request):
        """A request over HTTP, where there is no router."""
        return await respond(request, self._tokenizer, self._direct, self.version)

    async def version(self):
        """Ray's version, said by a replica that is ready."""
        return ray.__version__

    async def classify(self, ids):
        """The logits of checked token ids, or an error's words, for the router."""
        return await self._batch(ids)

    async def _direct(self, ids):
        return await self._batch(ids), self._variant

    @serve.batch
    async def _batch(self, batch):
        # Not in a thread: Ray closes a batch when its delay is over, even while another is being
        # computed, so batches stay small unless that holds up the loop in which they fill.
        self._texts.inc(len(batch))
        found = self._classifier.run_each([ids[: self._cut] for ids in batch])
        return [repr(one) if isinstance(one, Exception) else one for one in found]


class Router:
    """Tokenizes, then asks variant B for a share of the requests and A for the rest."""

    def __init__(self, a, b, folder, share_b):
        self._variants = {"a": a, "b": b}
        self._tokenizer = tokenizer(folder)
        self._share_b = share_b
        self._requests = Counter(
            "lab_classify_variant_requests",
            description="Requests that the router sent to each variant.",
            tag_keys=("variant",),
        )

    async def __call__(self, request):
        """A request over HTTP."""
        return await respond(request, self._tokenizer, self._ask, self._version, named=True)

    async def _version(self):
        return (await asyncio.gather(*(v.version.remote() for v in self._variants.values())))[0]

    async def _ask(self, ids):
        variant = "b" if random.random() < self._share_b else "a"
        self._requests.inc(tags={"variant": variant})
        return await self._variants[variant].classify.remote(ids), variant


async def respond(request, tokenize, ask, version, named=False):
    """The HTTP response: an answer (with its variant if `named`), or what was wrong as 4xx.

    `GET /version` is answered when all that a request needs is ready.
    """
    path, method = request.url.path, request.method
    if (path, method) == ("/version", "GET"):
        return JSONResponse({"ray": await version()})
    if path != "/classify":
        return JSONResponse({"error": f"there is no {path}; POST to /classify"}, 404)
    if method != "POST":
        return JSONResponse({"error": "classify is asked by POST"}, 405)
    try:
        ids = token_ids(read(await request.body()), tokenize)
    except Refused as refused:
        return JSONResponse({"error": str(refused)}, 400)
    logits, variant = await ask(ids)
    if isinstance(logits, str):
        return JSONResponse({"error": logits}, 500)
    found = answer(logits)
    return JSONResponse({**found, "variant": variant} if named else found)


def application(settings, folder):
    """The deployments that these settings ask for, bound together."""

    def batched(variant, cut):
        deployment = serve.deployment(Batched, name=f"Classifier{variant.upper()}")
        return deployment.options(**_scaling(settings)).bind(
            variant,
            folder,
            settings["threads"],
            settings["max_batch_size"],
            settings["max_queue_delay_us"],
            cut,
        )

    if not settings["pipeline"]:
        return batched("a", None)
    router = serve.deployment(Router, name="Router").options(
        num_replicas=1, ray_actor_options={"num_cpus": 0}, **_admission(settings)
    )
    variants = (batched("a", None), batched("b", settings["b_tokens"]))
    return router.bind(*variants, folder, settings["ab_share"])


def _admission(settings):
    """A replica must hold one batch that is computed and one that fills."""
    return {
        "graceful_shutdown_timeout_s": 5.0,
        "graceful_shutdown_wait_loop_s": 0.2,
        "max_ongoing_requests": 2 * settings["max_batch_size"],
        "max_queued_requests": settings["max_queue_size"],
    }


def _scaling(settings):
    # Ray would ration its own count of cores; here whoever needs one takes it.
    options = {"ray_actor_options": {"num_cpus": 0}, **_admission(settings)}
    if not settings["autoscale"]:
        return {**options, "num_replicas": settings["instances"]}
    return {
        **options,
        "autoscaling_config": {
            "min_replicas": settings["instances"],
            "max_replicas": max(settings["instances"], settings["max_instances"]),
            "target_ongoing_requests": settings["target_ongoing_requests"],
            "metrics_interval_s": 1.0,
            "look_back_period_s": 3.0,
            "upscale_delay_s": 3.0,
            "downscale_delay_s": 15.0,
        },
    }
