"""The `lab` command as a person uses it: bad input gets a paragraph, never a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


def lab(*argv: str, home: Path) -> subprocess.CompletedProcess[str]:
    env = {
        **os.environ,
        "SERVING_LAB_HOME": str(home / "home"),
        "SERVING_LAB_RUNS": str(home / "runs"),
    }
    return subprocess.run(
        [sys.executable, "-m", "lab", *argv], capture_output=True, text=True, env=env, timeout=120
    )


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        (("up", "vlm"), "vllm"),
        (("up", "vllm", "--set", "max_num_seq=4"), "max_num_seqs"),
        (("up", "vllm", "--set", "max_num_seqs=zero"), "max_num_seqs"),
        (("up", "vllm", "--set", "max_num_seqs=0"), "max_num_seqs"),
        (("up", "vllm", "--set", "max_num_seqs"), "max_num_seqs"),
        (("up", "vllm", "--model", "/nowhere"), "/nowhere"),
        (("up", "vllm", "--model", "tests"), "config.json"),
        (("run", "vllm", "--scenario", "chatt"), "completion"),
        (("run", "vllm", "--users", "4", "--rate", "2"), "--rate"),
        (("run", "vllm", "--duration", "soon"), "30s"),
        (("run", "vllm", "--duration", "5s", "--warmup", "5s"), "warm-up"),
        (("run", "prometheus"), "Scenarios"),
        (("run", "vllm", "--scenario", "classify"), "Scenarios"),
        (("compare", "one"), "2 to 8 runs"),
        (("compare", *"abcdefghi"), "2 to 8 runs"),
        (("up", "exporter", "--host", "::1"), "IPv4"),
        (("up", "exporter", "--host", ""), "host"),
        (("up", "exporter", "--port", "0"), "from 1 to 65535"),
        (("run", "vllm", "--rate", "nan"), "--rate"),
        (("run", "vllm", "--slo", "foo=1"), "foo"),
        (("run", "vllm", "--arrival", "foo", "--rate", "1"), "poisson"),
        (("run", "vllm", "--arrival", "ramp", "--rate", "5:"), "--rate 5: does not fit"),
        (("run", "vllm", "--arrival", "steps", "--rate", "4"), "as A,B,C"),
        (("run", "vllm", "--arrival", "trace", "--trace", "none.csv"), "none.csv cannot be read"),
        (("run", "vllm", "--arrival", "trace", "--trace", "README.md"), "no trace that is known"),
        (("run", "vllm", "--prompt-tokens", "uniform:9:3"), "Write uniform:3:9"),
        (("run", "triton", "--turns", "3"), "only chat has them"),
        (("run", "vllm", "--dataset", "README.md"), "cannot be read as JSON"),
        (("compare", "one", "two"), "one"),
        (("logs", "nobody"), "nobody"),
    ],
)
def test_bad_input_is_one_paragraph_that_names_what_was_wrong(
    argv: tuple[str, ...], named: str, tmp_path: Path
):
    done = lab(*argv, home=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stderr.startswith("error: ")
    assert named in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "home" / "instances").glob("*.json"))


def test_a_home_that_cannot_be_made_is_said_without_a_traceback(tmp_path: Path):
    (tmp_path / "home").write_text("a file, not a folder")
    done = lab("up", "exporter", home=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


def test_a_terminal_that_cannot_show_a_sign_gets_another(tmp_path: Path, monkeypatch):
    for name in ("PYTHONUTF8", "PYTHONCOERCECLOCALE"):
        monkeypatch.setenv(name, "0")
    monkeypatch.setenv("LC_ALL", "C")
    done = lab("doctor", home=tmp_path / "Größe")
    assert "Traceback" not in done.stderr
    assert "lab's own folder" in done.stdout and done.stdout.isascii()


def test_stopping_an_empty_name_stops_nothing_else(tmp_path: Path):
    assert lab("up", "exporter", home=tmp_path).returncode == 0
    assert "was not running; there are exporter" in lab("down", "", home=tmp_path).stdout
    assert "stopped exporter" in lab("down", home=tmp_path).stdout


def test_an_empty_lab_says_so_and_stopping_it_is_no_error(tmp_path: Path):
    assert "nothing runs" in lab("ps", home=tmp_path).stdout
    down = lab("down", home=tmp_path)
    assert down.returncode == 0
    assert "nothing was running" in down.stdout


def test_knobs_are_shown_with_the_engines_own_name_for_them(tmp_path: Path):
    shown = lab("knobs", "vllm", home=tmp_path).stdout
    assert "max_num_seqs" in shown
    assert "--max-num-seqs" in shown


def test_doctor_names_every_line_and_what_to_do(tmp_path: Path):
    shown = lab("doctor", home=tmp_path).stdout
    for what in ("Python", "uv", "memory", "shared memory", "GPU", "Prometheus", "browser"):
        assert what in shown
