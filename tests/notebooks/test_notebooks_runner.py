import os
import signal
import subprocess
import sys
import time
import uuid

import nbformat
import psutil
import pytest

from notebooks import execution, leftovers, reading_copy, runner
from notebooks.errors import NotebookError
from servers.paths import ROOT

STAMP = reading_copy.Stamp(
    commit="abc123",
    date="2026-01-02",
    machine={"cpu": "Some CPU", "cores": 2, "memory_bytes": 24 * 2**30, "gpus": []},
    engines={"vllm": "1.2.3", "strange": "0.1"},
    python="3.11.0",
    took_s=12.3,
)


@pytest.fixture
def source(tmp_path):
    """Writes a small notebook of these code cells and returns its path."""

    def make(*cells: str, name: str = "77_small"):
        path = tmp_path / f"{name}.py"
        path.write_text("# %% [markdown]\n# # Small\n\n" + "\n\n".join(f"# %%\n{c}" for c in cells))
        return path

    return make


def test_notebook_is_executed_in_its_folder_by_this_very_python(source):
    path = source("import os, sys\nprint(sys.executable, os.getcwd())", "x = 2", "x + 3")
    seen = []
    notebook = execution.execute(path, on_cell=lambda *told: seen.append(told))
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code[0].outputs[0].text == f"{sys.executable} {path.parent}\n"
    assert code[2].outputs[0].data["text/plain"] == "5"
    assert seen == [(1, 3, "import os, sys"), (2, 3, "x = 2"), (3, 3, "x + 3")]


def test_failing_cell_is_named_with_its_error_and_its_line(source):
    path = source("x = 1", "y = 0\nprint(x / y)")
    with pytest.raises(NotebookError) as caught:
        execution.execute(path)
    text = str(caught.value)
    assert "77_small, code cell 2 of 2 (`y = 0`)" in text
    assert "ZeroDivisionError: division by zero" in text
    assert "print(x / y)" in text
    assert "\x1b" not in text


def test_tag_cannot_hide_a_failing_cell(source):
    path = source("pass")
    path.write_text('# %% tags=["raises-exception"]\nraise ValueError("hidden")\n')
    with pytest.raises(NotebookError, match="ValueError: hidden"):
        execution.execute(path)


def test_notebook_that_does_not_end_is_stopped_at_its_limit(source):
    path = source("import time\ntime.sleep(600)")
    with pytest.raises(NotebookError, match=r"77_small, code cell 1 of 1.*--limit"):
        execution.execute(path, limit_s=2)


def test_dead_kernel_is_reported_as_one(source):
    with pytest.raises(NotebookError, match="the kernel died"):
        execution.execute(source("import os\nos._exit(1)"))


@pytest.mark.parametrize("end", ["pass", "raise ValueError", "import os; os._exit(1)"])
def test_processes_a_notebook_started_are_stopped_however_it_ends(source, tmp_path, end):
    start = (
        "import subprocess\n"
        "child = subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(child.pid))"
    )
    try:
        execution.execute(source(start, end))
    except NotebookError:
        assert end != "pass"
    pid = int((tmp_path / "pid").read_text())
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_leftovers_of_another_notebook_are_left_alone():
    mine, other = uuid.uuid4().hex, uuid.uuid4().hex
    with subprocess.Popen(["sleep", "600"], env={**os.environ, leftovers.MARK: other}) as child:
        try:
            assert leftovers.stop(mine, say=print) == []
            assert child.poll() is None
            assert [p.pid for p in leftovers.processes(other)] == [child.pid]
        finally:
            child.kill()


def test_interrupted_runner_ends_clean_and_stops_what_runs(source, tmp_path):
    path = source("import time\nopen('begun', 'w').close()\ntime.sleep(600)")
    code = f"from notebooks import runner; import sys; runner.SOURCES = {str(tmp_path)!r}\n"
    code += (
        "from pathlib import Path; runner.sources = lambda names: [Path(names[0])]\n"
        "sys.exit(runner.main(sys.argv[1:]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path), "--to", str(tmp_path / "out")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    while not (tmp_path / "begun").exists() and process.poll() is None:
        time.sleep(0.1)
    kernels = psutil.Process(process.pid).children(recursive=True)
    assert kernels
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in said and "Traceback" not in said
    _, alive = psutil.wait_procs(kernels, timeout=10)
    assert alive == []
    assert not (tmp_path / "out").exists()


def test_failure_leaves_the_old_reading_copy_and_a_failing_exit_code(
    source, tmp_path, monkeypatch, capsys
):
    path = source("raise ValueError('broken')")
    old = tmp_path / "out" / "77_small.ipynb"
    old.parent.mkdir()
    old.write_text("old")
    monkeypatch.setattr(runner, "sources", lambda names: [path])
    assert runner.main(["77", "--to", str(old.parent)]) == 1
    assert "77_small, code cell 1 of 1" in capsys.readouterr().err
    assert old.read_text() == "old"


def test_reading_copy_is_valid_stamped_and_free_of_this_machine(source, tmp_path):
    path = source(
        "from servers.paths import ROOT\nprint('file', ROOT / 'runs' / 'x', ROOT.home() / 'y')",
        "import plotly.graph_objects as go\ngo.Figure()",
    )
    notebook = execution.execute(path)
    notebook.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {}}
    pairs = reading_copy.this_machines_paths()
    copy = reading_copy.reading_copy(notebook, path.name, STAMP, pairs)
    reading_copy.write(copy, tmp_path / "77.ipynb")
    text = (tmp_path / "77.ipynb").read_text()
    read = nbformat.reads(text, as_version=4)
    nbformat.validate(read)
    assert "file runs/x ~/y" in text
    assert str(ROOT) not in text
    assert "widget" not in read.metadata
    assert "vnd.plotly" not in text and "widget-view" not in text and "iopub" not in text
    first = read.cells[0].source
    for fact in ("abc123", "2026-01-02", "2 cores", "Some CPU", "24 GiB", "no GPU", "vLLM 1.2.3"):
        assert fact in first


def test_reading_copies_of_one_source_differ_only_where_their_facts_do(source):
    path = source("1 + 1")
    copies = [
        reading_copy.reading_copy(execution.execute(path), path.name, STAMP, []) for _ in range(2)
    ]
    assert copies[0] == copies[1]


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("at /home/ann/lab/runs/a", "at runs/a"),
        ("in /home/ann/lab", "in ."),
        ("'/home/ann/x'", "'~/x'"),
        ("/home/annabel/x", "/home/annabel/x"),
        ("http://h/home/ann", "http://h/home/ann"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("", ""),
    ],
)
def test_paths_are_replaced_only_where_they_are_paths(text, clean):
    pairs = [("/home/ann/lab/", ""), ("/home/ann/lab", "."), ("/home/ann", "~")]
    assert reading_copy.without_paths(text, pairs) == clean


def test_names_choose_notebooks_by_their_beginning(tmp_path):
    for name in ("00_first", "01_second", "01_third", "helper"):
        (tmp_path / f"{name}.py").touch()
    stems = [path.stem for path in runner.sources([], tmp_path)]
    assert stems == ["00_first", "01_second", "01_third"]
    assert [path.stem for path in runner.sources(["00"], tmp_path)] == ["00_first"]
    assert [path.stem for path in runner.sources(["x/01_third.py"], tmp_path)] == ["01_third"]
    with pytest.raises(NotebookError, match="several"):
        runner.sources(["01"], tmp_path)
    with pytest.raises(NotebookError, match=r"is no notebook.*00_first, 01_second"):
        runner.sources(["helper"], tmp_path)


def test_missing_source_is_said(tmp_path):
    with pytest.raises(NotebookError, match="no notebook source"):
        execution.read(tmp_path / "98_nothing.py")
