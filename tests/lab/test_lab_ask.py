"""The lab's own question to an engine, against a server that says known words."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from lab.ask import complete
from lab.errors import LabError

REFERENCE = Path(__file__).parents[1] / "support" / "reference_server.py"


@pytest.fixture
def server():
    process = subprocess.Popen([sys.executable, str(REFERENCE)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    process.kill()
    process.wait()


def ask(url: str, *protocols: str, model: str = "ref") -> str:
    engine = SimpleNamespace(title="It", protocols=protocols, served_models={})
    instance = SimpleNamespace(name="it", base_url=url, served_name=model)
    return complete(engine, instance, "Hello", max_tokens=3)  # type: ignore[arg-type]


@pytest.mark.parametrize("protocol", ["openai-completions", "kserve-generate"])
def test_the_text_comes_back_in_whatever_protocol_the_engine_answers(server, protocol):
    assert ask(server, "kserve-infer", protocol) == "alphabetagamma"


@pytest.mark.parametrize("model", ["other", "ref,status=500", "ref,fail_at=1"])
def test_an_error_is_told_with_where_to_look(server, model):
    with pytest.raises(LabError, match="lab logs it"):
        ask(server, "openai-completions", model=model)


def test_an_engine_without_text_is_not_asked(server):
    with pytest.raises(LabError, match="no protocol in which it could continue a text"):
        ask(server, "kserve-infer")
