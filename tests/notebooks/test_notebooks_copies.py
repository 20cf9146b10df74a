"""The reading copies that are committed."""

import re

import nbformat
import pytest

from notebooks import execution, runner

MACHINE_PATH = re.compile(
    r"(?<![\w.:/$~-])/(?:home|root|Users|tmp|work|opt|mnt|srv|var)\b[^\s\"']*"
)
SOURCES = pytest.mark.parametrize("source", runner.sources(), ids=lambda path: path.stem)


def copy_of(source):
    path = runner.EXECUTED / f"{source.stem}.ipynb"
    assert path.exists(), f"no reading copy: run `python -m notebooks.runner {source.stem}`"
    return nbformat.read(path, as_version=4)


@SOURCES
def test_copy_is_of_the_source_as_it_is_now(source):
    written = [(cell.cell_type, cell.source) for cell in execution.read(source).cells]
    read = [(cell.cell_type, cell.source) for cell in copy_of(source).cells]
    assert read[1:] == written, f"stale: run `python -m notebooks.runner {source.stem}`"


@SOURCES
def test_copy_was_executed_to_its_end_with_pictures_and_a_stamp(source):
    copy = copy_of(source)
    code = [cell for cell in copy.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert copy.metadata["serving_lab"]["engines"]
    assert copy.metadata["serving_lab"]["commit"] in copy.cells[0].source


@SOURCES
def test_copy_names_no_path_of_the_machine_it_was_made_on(source):
    for cell in copy_of(source).cells:
        for output in cell.get("outputs", []):
            texts = [output.get("text", "")]
            texts += [
                text for kind, text in output.get("data", {}).items() if kind.startswith("text/")
            ]
            assert MACHINE_PATH.findall("\n".join(texts)) == []


@SOURCES
def test_copy_holds_no_widget_state_and_no_interactive_figure(source):
    copy = copy_of(source)
    assert "widgets" not in copy.metadata
    kinds = {
        kind
        for cell in copy.cells
        for output in cell.get("outputs", [])
        for kind in output.get("data", {})
    }
    assert not [kind for kind in kinds if "plotly" in kind or "widget" in kind]
