"""What the README and other pages say of notebooks: all of them, links that lead somewhere, commands."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from notebooks import runner
from servers.paths import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [
    *("README.md", "CONTRIBUTING.md", "deploy/README.md", "measure/README.md"),
    *("benchmarks/README.md", "notebooks/STYLE.md"),
]
LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
COMMAND = re.compile(r"^    (\.venv/bin/(?:jupytext|jupyter|python -m notebooks).*)$", re.MULTILINE)


def anchor(heading: str) -> str:
    """What GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


@pytest.mark.parametrize("name", PAGES)
def test_every_link_of_a_page_leads_to_a_file_or_a_heading(name):
    page = ROOT / name
    text = page.read_text(encoding="utf-8")
    headings = {anchor(one) for one in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}
    wrong = []
    for link in LINK.findall(text):
        if "://" in link:
            continue
        path, _, heading = link.partition("#")
        if path and not (page.parent / path).exists():
            wrong.append(link)
        if not path and heading not in headings:
            wrong.append(link)
    assert wrong == []


def test_the_readme_links_every_notebook_in_their_order_with_a_line_of_its_own():
    listed = re.findall(
        r"^\| \[(\d\d) [^\]]+\]\(notebooks/executed/(\w+)\.ipynb\) \| (.{20,}) \|$",
        README,
        re.MULTILINE,
    )
    assert [stem for _, stem, _ in listed] == [source.stem for source in runner.sources()]
    assert all(stem.startswith(number) for number, stem, _ in listed)
    assert len({said for _, _, said in listed}) == len(listed)


def test_the_commands_of_the_readme_open_a_notebook_that_git_ignores(tmp_path):
    convert, opened, only_run = (shlex.split(one) for one in COMMAND.findall(README))
    (tmp_path / "notebooks").mkdir()
    shutil.copy(ROOT / convert[-1], tmp_path / "notebooks")
    bin_folder = Path(sys.executable).parent
    done = subprocess.run(
        [bin_folder / "jupytext", *convert[1:]], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert opened[:2] == [".venv/bin/jupyter", "lab"]
    assert (tmp_path / opened[-1]).is_file()
    for path in (opened[-1], only_run[-1]) if (ROOT / ".git").exists() else ():
        ignored = ["git", "-C", str(ROOT), "check-ignore", "--quiet", path]
        assert subprocess.run(ignored).returncode == 0, path
    env = os.environ | {
        f"JUPYTER_{what}_DIR": str(tmp_path) for what in ("CONFIG", "DATA", "RUNTIME")
    }
    there = subprocess.run(
        [bin_folder / "jupyter", "lab", "--version"], env=env, capture_output=True, text=True
    )
    assert there.returncode == 0, there.stderr


def test_what_only_runs_a_notebook_leaves_the_reading_copy(tmp_path, monkeypatch, capsys):
    (_, _, shown) = (shlex.split(one) for one in COMMAND.findall(README))
    source = tmp_path / "11_small.py"
    source.write_text("# %% [markdown]\n# # Small\n\n# %%\n1 + 1\n")
    copies = tmp_path / "executed"
    monkeypatch.setattr(runner, "EXECUTED", copies)
    monkeypatch.setattr(runner, "sources", lambda names: [source] if names == ["11"] else [])
    monkeypatch.chdir(tmp_path)
    assert runner.main(shown[3:]) == 0
    assert [path.relative_to(tmp_path) for path in tmp_path.rglob("*.ipynb")] == [
        Path(shown[-1]) / "11_small.ipynb"
    ]
    capsys.readouterr()
    with pytest.raises(SystemExit):
        runner.main(["--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert "reading copies, which git tracks; --to FOLDER only runs" in told
