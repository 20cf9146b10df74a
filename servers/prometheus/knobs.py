"""What can be set about the lab's Prometheus: the objectives its rules watch."""

from servers.contract import Knob

KNOBS = (
    Knob(
        "slo_ttft_ms",
        "rules.yml: le of the TTFT buckets",
        "float",
        500.0,
        "Higher: a chat may take longer to its first token before it counts as missed. 500 ms is "
        "near what MLPerf Inference asks of an interactive chat (450 ms, p99).",
        minimum=1,
        maximum=60_000,
        unit="ms",
    ),
    Knob(
        "slo_e2e_ms",
        "rules.yml: le of the E2E buckets",
        "float",
        200.0,
        "Higher: a classifier may take longer to answer before it counts as missed.",
        minimum=1,
        maximum=60_000,
        unit="ms",
    ),
    Knob(
        "slo_objective",
        "rules.yml: 1 - error budget",
        "float",
        0.99,
        "Higher: fewer requests may miss a threshold, and alerts come sooner. 0.99 with a "
        "threshold of 200 ms says p99 < 200 ms.",
        minimum=0.94,
        maximum=0.9999,
    ),
    Knob(
        "slo_windows",
        "rules.yml: range selectors",
        "str",
        "lab",
        "lab: a budget of 60 hours, alerts after minutes (5m and 1m, 30m and 5m). month: 30 days, "
        "as in Google's workbook (1h and 5m, 6h and 30m).",
        choices=("lab", "month"),
    ),
)
