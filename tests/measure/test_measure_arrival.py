import pytest

from measure.arrival import in_words


@pytest.mark.parametrize(
    ("arrival", "words"),
    [
        ({"kind": "closed", "users": 1}, "1 user"),
        ({"kind": "closed", "users": 16}, "16 users"),
        ({"kind": "poisson", "rate_rps": 4.0}, "poisson 4 requests/s"),
        (
            {"kind": "gamma", "rate_rps": 0.5, "burstiness": 0.25},
            "gamma 0.5 requests/s, burstiness 0.25",
        ),
        ({"kind": "ramp", "from_rps": 1.0, "to_rps": 10.0}, "ramp 1 to 10 requests/s"),
        ({"kind": "spike", "base_rps": 2.0, "peak_rps": 20.0}, "spike 2 and once 20 requests/s"),
        ({"kind": "diurnal", "low_rps": 1.0, "high_rps": 8.0}, "diurnal 1 to 8 requests/s"),
        ({"kind": "steps", "rates_rps": [2.0, 4.0]}, "steps of 2, 4 requests/s"),
        ({"kind": "trace", "file": "azure.csv", "speed": 1.0}, "trace azure.csv"),
        ({"kind": "trace", "run_id": "r", "speed": 2.0}, "trace r, 2 × speed"),
        ({"kind": "of tomorrow"}, "of tomorrow"),
    ],
)
def test_what_arrived_is_said_in_a_few_words(arrival, words):
    assert in_words(arrival) == words
