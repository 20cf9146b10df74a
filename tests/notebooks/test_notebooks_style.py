import pytest

from notebooks import runner, style

GOOD = """\
# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # 99 · A notebook
#
# **Goal:** be short. **Minutes:** 1.

# %%
from notebooks import checks, kit

# %% [markdown]
# ## Predict
#
# ## Run
#
# ## Look
#
# ## Explain

# %% [markdown]
# ## Exercise

# %%
### BEGIN SOLUTION
answer = 1
### END SOLUTION
checks.something(answer).require()

# %% [markdown]
# ## Summary

# %%
kit.down()
"""


@pytest.mark.parametrize("source", runner.sources(), ids=lambda path: path.stem)
def test_source_keeps_to_the_style(source):
    assert style.problems(source.read_text(encoding="utf-8")) == []


def test_there_are_notebooks_to_check():
    assert runner.sources()


def test_well_written_notebook_has_no_problem():
    assert style.problems(GOOD) == []


LONG_FUNCTION = "def helper():\n    a = 1\n    b = 2\n    c = 3\n    return a + b + c\n"


@pytest.mark.parametrize(
    ("change", "by", "said"),
    [
        ("# ---\n# jupyter", "# jupyter", "header"),
        ("answer = 1", "answer = 1  # " + "x" * 100, "longer than 100"),
        ("# # 99 · A notebook", "# 99 A notebook", "title"),
        ("**Goal:**", "Goal", "**Goal:**"),
        ("**Minutes:**", "Minutes", "**Minutes:**"),
        ("# ## Explain", "# Explain", "no section Explain"),
        ("# ## Predict\n#\n# ## Run", "# ## Run\n#\n# ## Predict", "order"),
        ("answer = 1", "answer = 1\n" * 15, "more than 15 lines"),
        ("answer = 1", "%time\nanswer = 1", "plain Python"),
        ("answer = 1", "!lab ps", "plain Python"),
        ("answer = 1", LONG_FUNCTION, "defines helper in 5 lines"),
        ("answer = 1", "class A:\n    pass", "class A"),
        ("answer = 1", "import locust.env", "imports locust"),
        ("answer = 1", "from locust import HttpUser", "imports locust"),
        ("### END SOLUTION\n", "", "without"),
        ("### BEGIN SOLUTION\n", "", "without"),
        (".require()", "", "not held against a check"),
        ("# ## Exercise", "# ## Look", "no section Exercise"),
        ("kit.down()", "print('bye')", "does not stop"),
        ("# %%\nkit.down()", '# %% tags=["raises-exception"]\nkit.down()', "raises-exception"),
    ],
)
def test_departure_is_named(change, by, said):
    assert GOOD.count(change) >= 1
    assert any(said in problem for problem in style.problems(GOOD.replace(change, by, 1)))


def test_short_function_in_a_cell_is_allowed():
    assert style.problems(GOOD.replace("answer = 1", "def twice(x):\n    return 2 * x", 1)) == []


def test_empty_source_is_described_and_not_a_crash():
    assert len(style.problems("")) >= 4
