"""Forms of a worked sum say the same, and a slip is always seen and put right."""

from __future__ import annotations

import random

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from trivium.data.forms import FORMS, in_form
from trivium.tasks.sums import work_out
from trivium.verify.expression import equation, holds

SUMS = st.builds(
    lambda first, rest: str(first) + "".join(f"{sign}{n}" for sign, n in rest),
    st.integers(50, 99), st.lists(st.tuples(st.sampled_from("+-"), st.integers(1, 9)), min_size=1, max_size=5),
)  # fmt: skip


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ("results", "128\n93"),
        ("plain", "41+87=128\n128-35=93"),
        ("checked", "41+87=128 128-87=41.\n128-35=93 93+35=128."),
    ],
)
def test_each_form_as_shown(form, said):
    assert in_form("41+87=128\n128-35=93", form, random.Random(0)) == said


def test_a_line_that_is_no_equation_stays():
    assert in_form("k=7\n7+1=8", "results", random.Random(0)) == "k=7\n8"


@settings(max_examples=40, deadline=None, derandomize=True)
@given(expression=SUMS, seed=st.integers(0, 999))
def test_every_slip_is_marked_and_the_right_line_follows(expression, seed):
    solution = "\n".join(work_out(expression)[0])
    lines = in_form(solution, "checked", random.Random(seed), slips=0.5).split("\n")
    slipped = [line for line in lines if line.endswith("!")]
    assert [line.split(" ")[0] for line in lines if line.endswith(".")] == solution.split("\n")
    for line in slipped:
        first, check = (equation(part.rstrip("!")) for part in line.split(" "))
        assert not holds(*first)
        assert holds(*check)
        assert check[3] != first[0], "the check must not come back to where the line began"
        assert lines[lines.index(line) + 1].startswith(f"{first[0]}{first[1]}{first[2]}=")


def test_mixed_draws_all_forms_and_the_generator_decides():
    solution = "\n".join(f"{n}+1={n + 1}" for n in range(20, 60))
    said = in_form(solution, "mixed", random.Random(3))
    assert said == in_form(solution, "mixed", random.Random(3)) != in_form(solution, "mixed", random.Random(4))
    kinds = {("checked" if "." in x else "plain" if "=" in x else "results") for x in said.split("\n")}
    assert kinds == set(FORMS)
