"""The reference server: it streams words at times it knows, so that instruments can be checked.

It is no engine and has no model: it computes nothing and stands in for nothing. It speaks the
engines' protocols, keeps what it really sent and when (`servers/reference/truth.py`), and fails in
the ways real servers do when it is told to.
"""

import sys

from servers import paths
from servers.contract import Engine, Launch, Request
from servers.errors import ServerError
from servers.reference.knobs import KNOBS
from servers.reference.metrics import METRICS

_SHARES = tuple(knob.name for knob in KNOBS if knob.name.endswith("_share"))


def _launch(request: Request) -> Launch:
    if sum(float(str(request.settings[name])) for name in _SHARES) > 1.0:
        raise ServerError(
            f"reference: {', '.join(_SHARES)} are more than 1 together: a request fails in one "
            "way. Lower one of them."
        )
    base = f"http://{request.host}:{request.ports['http']}"
    settings = (word for knob in KNOBS for word in (knob.flag, str(request.settings[knob.name])))
    return Launch(
        argv=(
            *(sys.executable, "-m", "servers.reference"),
            *("--host", request.host, "--port", str(request.ports["http"])),
            *settings,
        ),
        env={"PYTHONPATH": str(paths.ROOT)},
        base_url=base,
        ready_url=f"{base}/health",
        metrics_url=f"{base}/metrics",
        ready_timeout_s=30.0,
        stop_grace_s=5.0,
    )


ENGINE = Engine(
    name="reference",
    title="Reference server",
    summary="No model: words at known times, to check load generators and panels.",
    ports={"http": 8009},
    launch=_launch,
    knobs=KNOBS,
    metrics=METRICS,
    protocols=("openai-chat", "openai-completions", "kserve-generate", "tgi"),
    notebooks=("02_tails", "13_load_generator"),
)
