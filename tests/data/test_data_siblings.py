"""Steps of one line, what they are worth, and which of them are set against each other."""

from __future__ import annotations

import pytest

from trivium.data.process import Label
from trivium.data.siblings import advantage_pairs, sampled_lines, searched_lines
from trivium.data.trees import Tree
from trivium.types import Segment, Trace

PROMPT, NEWLINE, END = (1, 2), 0, 9


def trace(*nodes: tuple[int, tuple[int, ...], float | None]) -> Trace:
    """(parent, ids, value) below a prompt; what has a value was visited twice."""
    made = Trace("q")
    made.add(-1, Segment("prompt", PROMPT, (), "ask", "toy@0"))
    for parent, ids, value in nodes:
        node = made.nodes[made.add(parent, Segment("model", ids, (-1.0,) * len(ids), "", "toy@0"))]
        node.value, node.visits = value, 0 if value is None else 2
    return made


def label(value: float, *ids: int, after: tuple[int, ...] = PROMPT) -> Label:
    return Label("q", (*after, *ids), len(after), value, 1)


def test_of_a_search_only_visited_lines_are_steps() -> None:
    tree = trace(
        (0, (3, NEWLINE), 0.5),
        (0, (4, NEWLINE), None),  # nobody visited it
        (1, (5, END), 1.0),
        (1, (6, NEWLINE, 5, END), 0.0),  # a rollout
        (1, (6,), 0.0),  # cut off
        (0, (7, END), 0.0),
        (1, (8, END), 1.0),  # a rollout as long as a step
    )
    tree.nodes[-1].visits = 0
    found = searched_lines([Tree(tree, {})], NEWLINE, {END})
    assert [(x.ids[x.start :], x.ids[: x.start], x.value) for x in found] == [
        ((3, NEWLINE), PROMPT, 0.5),
        ((5, END), (*PROMPT, 3, NEWLINE), 1.0),
        ((7, END), PROMPT, 0.0),
    ]


def test_samples_are_cut_into_lines_that_know_how_often_they_end_well() -> None:
    said = [(3, NEWLINE, 5, END), (3, NEWLINE, 6, END), (3, NEWLINE, 5, END), (4, NEWLINE, NEWLINE, 5, END)]
    tree = Tree(trace(*((0, ids, None) for ids in said)), {1: True, 2: False, 3: True, 4: False})
    found = {
        x.ids[len(PROMPT) :]: (x.start - len(PROMPT), round(x.value, 3), x.count) for x in sampled_lines([tree], 0)
    }
    assert found == {
        (3, NEWLINE): (0, 0.667, 3),
        (3, NEWLINE, 5, END): (2, 1.0, 2),
        (3, NEWLINE, 6, END): (2, 0.0, 1),
        (4, NEWLINE): (0, 0.0, 1),
        (4, NEWLINE, NEWLINE): (2, 0.0, 1),
        (4, NEWLINE, NEWLINE, 5, END): (3, 0.0, 1),
    }
    again = sampled_lines([tree, tree], NEWLINE)
    assert [x.count for x in again] == [2 * count for _, _, count in found.values()], "attempts are pooled"


def test_steps_on_either_side_of_the_middle_are_paired_by_their_advantage() -> None:
    steps = [label(0.9, 3, 0), label(0.6, 4, 0), label(0.5, 5, 0), label(0.25, 6, 0), label(0.0, 7, 8, 0)]
    made = advantage_pairs(steps, alpha=2.0, ends={END})
    assert [(p.context, p.chosen, p.rejected, p.margin) for p in made] == [
        (PROMPT, (3, 0), (6, 0), pytest.approx(2 * (0.8 + 0.5))),
        (PROMPT, (3, 0), (7, 8, 0), pytest.approx(2 * (0.8 + 1.0))),
        (PROMPT, (4, 0), (6, 0), pytest.approx(2 * (0.2 + 0.5))),
        (PROMPT, (4, 0), (7, 8, 0), pytest.approx(2 * (0.2 + 1.0))),
    ]
    assert [p.margin for p in advantage_pairs(steps, alpha=0.0, ends={END})] == [0.0] * 4, "step-DPO"
    assert advantage_pairs([label(0.9, 3, 0), label(0.1, 4, 0, after=(1,))], alpha=1.0, ends={END}) == []


def test_of_ends_only_the_best_meets_the_worst_and_counts_for_less() -> None:
    steps = [label(1.0, 3, 5, END), label(1.0, 3, 6, END), label(0.0, 3, 7, END), label(0.0, 3, 8, END)]
    [pair] = advantage_pairs(steps, alpha=1.0, ends={END}, scale=0.3)
    assert (pair.chosen, pair.rejected, pair.start) == ((3, 5, END), (3, 7, END), 1)
    assert pair.margin == pytest.approx(0.3 * 2)
    mixed = advantage_pairs([label(0.8, 3, 0), *steps[2:]], alpha=1.0, ends={END}, scale=0.3)
    assert [(p.chosen, p.rejected) for p in mixed] == [((3, 0), (3, 7, END)), ((3, 0), (3, 8, END))]
    assert [p.margin for p in mixed] == [pytest.approx(0.6 + 0.3)] * 2


def test_a_step_that_is_another_cut_short_shows_no_decision() -> None:
    assert advantage_pairs([label(0.9, 3), label(0.1, 3, 0)], alpha=1.0, ends={END}) == []
