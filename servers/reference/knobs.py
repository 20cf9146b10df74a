"""What can be set on a reference server, as data: its times, and how it fails.

The defaults are a language model under light load as serving guides describe it: a first token
after 0.3 s at the median and 1.36 s at the p99, then 20 ms a token.
"""

from servers.contract import Knob

WITH_TOKEN, AT_ONCE = "with_token", "at_once"


def _share(name: str, what: str) -> Knob:
    return Knob(
        name=name,
        flag=f"--{name.replace('_', '-')}",
        kind="float",
        default=0.0,
        minimum=0.0,
        maximum=1.0,
        unit="of requests",
        trades=f"{what} Drawn by the seed; the shares of all failures together are at most 1.",
    )


KNOBS = (
    Knob(
        name="ttft_ms",
        flag="--ttft-ms",
        kind="float",
        default=301.0,
        minimum=0.0,
        maximum=600_000.0,
        unit="ms",
        trades="Median time from a request's arrival to its first token.",
    ),
    Knob(
        name="ttft_tail",
        flag="--ttft-tail",
        kind="float",
        default=0.6475,
        minimum=0.0,
        maximum=3.0,
        unit="sigma",
        trades="How heavy the tail of TTFT is: sigma of a lognormal distribution (0: every "
        "request alike; 0.6475: p99 is 4.5 medians).",
    ),
    Knob(
        name="gap_ms",
        flag="--gap-ms",
        kind="float",
        default=20.0,
        minimum=0.0,
        maximum=600_000.0,
        unit="ms",
        trades="Time a token. A chunk of n tokens comes n times this after the one before.",
    ),
    Knob(
        name="jitter",
        flag="--jitter",
        kind="float",
        default=0.0,
        minimum=0.0,
        maximum=1.0,
        unit="of the gap",
        trades="Each gap is stretched or shortened by up to this part of it, evenly spread.",
    ),
    Knob(
        name="tokens_per_chunk",
        flag="--tokens-per-chunk",
        kind="int",
        default=1,
        minimum=1,
        maximum=1024,
        unit="tokens",
        trades="Tokens in one chunk, as speculative decoding and busy servers send them: the "
        "time between chunks is then no longer the time between tokens.",
    ),
    Knob(
        name="role_chunk",
        flag="--role-chunk",
        kind="str",
        default=WITH_TOKEN,
        choices=(WITH_TOKEN, AT_ONCE),
        trades="When chat sends its first chunk, which holds only the role: with the first token "
        "(as vLLM does), or as soon as the request is read, which fools a client that takes it "
        "for the first token.",
    ),
    _share("http_error_share", "Answered with HTTP 503 at once, as an overloaded server does."),
    _share("stream_error_share", "HTTP 200, some tokens, then an error event in the stream."),
    _share("disconnect_share", "HTTP 200, some tokens, then the connection is closed."),
    Knob(
        name="stall_after_s",
        flag="--stall-after-s",
        kind="float",
        default=5.0,
        minimum=0.0,
        maximum=86_400.0,
        unit="s",
        trades="When the stall of stall_for_s begins, from the first request after the start or "
        "after the truth was reset.",
    ),
    Knob(
        name="stall_for_s",
        flag="--stall-for-s",
        kind="float",
        default=0.0,
        minimum=0.0,
        maximum=3_600.0,
        unit="s",
        trades="The whole server stands still for this long, once: nothing is read or sent, and "
        "all that was to come comes that much later.",
    ),
    Knob(
        name="seed",
        flag="--seed",
        kind="int",
        default=0,
        minimum=0,
        maximum=2**31 - 1,
        trades="Same seed and same order of requests: same times and same failures.",
    ),
)
