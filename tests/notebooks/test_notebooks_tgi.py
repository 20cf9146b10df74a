"""What notebook 05 reads of a run, its table of knobs, and its checks."""

from types import SimpleNamespace

import httpx
import pyarrow as pa
import pytest

from notebooks import checks_tgi, tgi
from servers.catalog import ENGINES


def run_of(*rows: tuple[str, int, str | None]) -> SimpleNamespace:
    """A run with these requests: status, HTTP status, error."""
    columns = dict(zip(("status", "http_status", "error"), zip(*rows, strict=True), strict=True))
    return SimpleNamespace(
        counted=pa.table({name: list(values) for name, values in columns.items()}),
        summary={"requests": {"total": len(rows)}},
        server_metrics=None,
    )


OK = ("ok", 200, None)
REFUSED = ("stream_error", 200, "server_error: Model is overloaded (overloaded)")
LOST = ("stream_error", 200, "truncated: the stream ended")


def test_every_pair_is_of_knobs_that_exist_and_tgis_are_all_there():
    frame = tgi.knobs_beside()
    assert len(frame) == len(tgi.PAIRS)
    named = {one for one, _, _ in tgi.PAIRS if one}
    assert named == {knob.name for knob in ENGINES["tgi"].knobs}
    assert "max_num_seqs = 16" in set(frame["vLLM"])
    assert "max_concurrent_requests = 128" in set(frame["TGI"])


def test_the_wire_is_shown_as_it_is(monkeypatch):
    events = b'data:{"index":1}\n\ndata:{"index":2}\n\n'

    def post(url, **_):
        return httpx.Response(200, content=events, request=httpx.Request("POST", url))

    monkeypatch.setattr(httpx, "post", post)
    found = tgi.wire(SimpleNamespace(base_url="http://127.0.0.1:1"), "a", 2)
    assert found == ['data:{"index":1}', 'data:{"index":2}']


def test_refusals_are_told_from_other_failures():
    run = run_of(OK, REFUSED, LOST, REFUSED)
    assert tgi.refused(run) == 2
    assert tgi.statuses(run) == {200}
    assert tgi.refused(run_of(OK)) == 0


def test_a_right_answer_passes_and_a_wrong_one_does_not():
    run = run_of(OK, REFUSED, OK, OK)
    assert checks_tgi.overload(run, share=0.25, status=200).ok
    assert not checks_tgi.overload(run, share=0.5, status=200).ok
    assert not checks_tgi.overload(run, share=0.25, status=429).ok
    assert not checks_tgi.overload(run, share="a quarter", status=200).ok
    assert not checks_tgi.overload(run_of(OK), share=0.0, status=200).ok
    assert checks_tgi.counterpart(of="max_batch_total_tokens", answer="kv_cache_gib").ok
    assert not checks_tgi.counterpart(of="max_batch_total_tokens", answer="max_model_len").ok


@pytest.mark.parametrize("share", [0.1, 0.9])
def test_a_hint_does_not_depend_on_the_right_answer(share):
    hints = {
        checks_tgi.overload(run_of(*rows), share=share, status=200).text
        for rows in ([OK, REFUSED], [OK, OK, OK, REFUSED, REFUSED])
    }
    assert len(hints) == 1
