import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from measure.durations import parse_duration_s
from measure.errors import MeasureError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30.0), ("500ms", 0.5), ("2m", 120.0), ("1h", 3600.0), ("90", 90.0),
        (" 1.5 s ", 1.5), ("0", 0.0),
    ],
)  # fmt: skip
def test_durations_as_people_write_them(text: str, seconds: float):
    assert parse_duration_s(text) == pytest.approx(seconds)


@given(st.text(max_size=8) | st.from_regex(r"[0-9.]{1,400}(ms|s|m|h|)", fullmatch=True))
def test_any_text_is_a_finite_duration_or_a_clear_error(text: str):
    try:
        assert 0 <= parse_duration_s(text) < math.inf
    except MeasureError as error:
        assert "30s" in str(error)
