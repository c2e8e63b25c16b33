"""Trees of traces become sets to imitate, pairs, labels and value targets, on the ids that were sampled."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium.data import DATASETS
from trivium.data.pairs import Pairs
from trivium.data.process import labels
from trivium.data.reject import Reject
from trivium.data.step_pairs import Process
from trivium.data.trees import Tree, grow, path_to
from trivium.errors import UserError
from trivium.learn.preference import Preference
from trivium.search.driver import Judge
from trivium.types import Message, Problem, Question, Segment, Trace, Verdict

PROMPT, END = (1, 2), 9


class Toy:
    """A policy and a task over ids: a response is right if it says 7."""

    eos = frozenset({END})

    def encode(self, messages):
        return PROMPT

    def decode(self, ids):
        return " ".join(str(i) for i in ids if i != END)

    def verify(self, problem, response):
        if "0" in response:
            raise ZeroDivisionError
        return Verdict.right() if "7" in response else Verdict.wrong()


def model(*ids: int, p: float = -1.0) -> Segment:
    return Segment("model", ids, (p,) * len(ids), "", "toy@0")


def trace(*nodes: tuple[int, Segment], question: str = "q") -> Trace:
    made = Trace(question)
    made.add(-1, Segment("prompt", PROMPT, (), "ask", "toy@0"))
    for parent, segment in nodes:
        made.add(parent, segment)
    return made


def problem(split="train", question="q"):
    return Problem(Question(question, (Message("user", "ask"),)), 7, "7", "k", split, "toy")


def judged(*traces: Trace) -> list[Tree]:
    toy = Toy()
    return grow(Judge(toy), toy, [problem(question=t.question_id) for t in traces], list(traces))


def flat(*responses: tuple[int, ...], question: str = "q") -> Trace:
    return trace(*((0, model(*r)) for r in responses), question=question)


#  0 prompt -> 1 (3) -> 2 (7 END) right, 3 (8 END) wrong, 4 (7 5 END) right;  0 -> 5 (4) -> 6 (8 END) wrong
FORK = trace(
    (0, model(3)), (1, model(7, END)), (1, model(8, END)), (1, model(7, 5, END)), (0, model(4)), (5, model(8, END))
)  # fmt: skip


def test_only_ends_of_the_question_itself_are_judged():
    tree = trace(
        (0, model(7, END)),  # 1 right
        (0, model(7)),  # 2 cut off
        (0, Segment("prompt", (5,), (), "criticise", "toy@0")),
        (3, model(7, END)),  # 4 a note in another context
        (0, Segment("tool", (6, END))),  # 5 nobody's answer
        (0, model(0, END)),  # 6 breaks the verifier
        (0, Segment("prompt", (8,), (), "forced")),
        (7, model(6, END)),  # 8 goes on after a forced beginning
    )
    assert judged(tree)[0].correct == {1: True, 8: False}
    tree.answer_node, tree.verdict = 4, Verdict.right()
    assert judged(tree)[0].correct == {1: True, 8: False, 4: True}, "a method's own answer counts where it stands"
    assert path_to(tree, 4).prompt == (5,)
    tree.finish = "budget"
    assert 4 not in judged(tree)[0].correct


def test_held_out_problems_are_refused():
    toy = Toy()
    with pytest.raises(UserError, match=r"of the test split; the verifier chooses .* train problems only"):
        grow(Judge(toy), toy, [problem("test")], [flat((7, END))])


def test_text_without_ids_is_refused():
    with pytest.raises(UserError, match="text without token ids"):
        path_to(trace((0, Segment("model", (), (), "7"))), 1)


def test_context_is_masked_and_never_imitated():
    tree = trace((0, model(3, p=-0.5)), (1, Segment("tool", (6, 6))), (2, model(7, END, p=-2.0)))
    (shown,) = Reject()(judged(tree), 0)
    assert (shown.prompt, shown.ids) == (PROMPT, (3, 6, 6, 7, END))
    assert shown.mask == (True, False, False, True, True)
    assert path_to(tree, 3).logprobs == (-0.5, -2.0, -2.0)
    (plain,) = Reject()(judged(flat((7, END))), 0)
    assert plain.mask is None


def test_rejection_keeps_k_different_right_ones():
    trees = judged(flat((7, 1, 1, END), (7, END), (8, END), (7, END)), flat((7, 1, END), (7, END)))
    assert [d.ids for d in Reject()(trees, 0)] == [(7, 1, 1, END), (7, END), (7, 1, END)], "across traces, each once"
    assert [d.ids for d in Reject(k=2, choose="shortest")(trees, 0)] == [(7, END), (7, 1, END)]
    drawn = {tuple(d.ids for d in Reject(k=1)(trees, seed)) for seed in range(30)}
    assert len(drawn) == 3, "the seed decides"
    assert Reject(k=1)(trees, 5) == Reject(k=1)(trees, 5)


def test_the_likely_are_those_of_the_highest_mean_logprob():
    tree = trace((0, model(7, 3, END, p=-0.4)), (0, model(7, END, p=-0.5)), (0, model(7, 4, END, p=-0.6)))
    assert [d.ids[1] for d in Reject(k=2, choose="likely")(judged(tree), 0)] == [3, END]
    for node in tree.nodes:
        node.segment = Segment(node.segment.source, node.segment.ids, (), "", node.segment.version)
    with pytest.raises(UserError, match="choose=likely needs log-probs"):
        Reject(k=2, choose="likely")(judged(tree), 0)


def test_pairs_join_right_and_wrong_of_one_prompt():
    trees = judged(flat((7, END), (8, END), (7, END), (8, 8, END), (7, 1, END)), flat((8, END), question="other"))
    made = Pairs()(trees, 0)
    assert [(p.context, p.chosen, p.rejected, p.start) for p in made] == [
        (PROMPT, (7, END), (8, END), 0), (PROMPT, (7, 1, END), (8, 8, END), 0),
    ]  # fmt: skip
    assert len(Pairs(k=1)(trees, 0)) == 1
    tools = trace((0, model(3)), (1, Segment("tool", (6,))), (2, model(7, END)), (2, model(8, END)))
    (pair,) = Pairs()(judged(tools), 0)
    assert pair.start == 2
    assert pair.chosen_mask == pair.rejected_mask == (True, False, True, True)


def test_monte_carlo_labels_are_shares_of_right_ends():
    found = {label.ids: (label.start, label.value, label.count) for label in labels(judged(FORK))}
    assert found[PROMPT] == (2, 0.5, 4), "the question's own value"
    assert found[1, 2, 3] == (2, pytest.approx(2 / 3), 3)
    assert found[1, 2, 4] == (2, 0.0, 1)
    assert found[1, 2, 3, 7, END] == (3, 1.0, 1)
    assert len(found) == 7


def test_equal_beginnings_pool_what_was_seen():
    found = labels(judged(FORK, trace((0, model(3)), (1, model(8, END)))))
    by_ids = {label.ids: label for label in found}
    assert len(by_ids) == len(found)
    assert (by_ids[1, 2, 3].value, by_ids[1, 2, 3].count) == (0.5, 4)
    assert (by_ids[1, 2, 3, 8, END].value, by_ids[1, 2, 3, 8, END].count) == (0.0, 2)


def test_values_of_the_search_become_targets():
    tree = trace((0, model(3)), (0, model(4)), (0, Segment("tool", (5,))))
    for node, visits, value in ((1, 3, 0.75), (2, 1, 0.25), (3, 4, 0.5)):
        tree.nodes[node].visits, tree.nodes[node].value = visits, value
    assert [(x.ids, x.value, x.count) for x in labels([Tree(tree, {})], "value")] == [
        ((1, 2, 3), 0.75, 3), ((1, 2, 4), 0.25, 1),
    ], "a tool's words are no step"  # fmt: skip
    tree.nodes[3].visits = 0
    assert [x.value for x in labels([Tree(tree, {})], "visits")] == [0.75, 0.25]
    assert labels([Tree(tree, {})], "score") == []


def test_the_end_of_a_rollout_is_no_step_beside_those_that_a_search_visited():
    tree = trace((0, model(3)), (0, model(4)), (0, model(3, 7, END)))
    for node, visits, value in ((1, 3, 0.75), (2, 1, 0.25), (3, 0, 1.0)):
        tree.nodes[node].visits, tree.nodes[node].value = visits, value
    assert [x.ids for x in labels([Tree(tree, {})], "value")] == [(1, 2, 3), (1, 2, 4)]
    (pair,) = Process(by="value")([Tree(tree, {})], 0)
    assert (pair.chosen, pair.rejected) == ((3,), (4,))


def test_step_pairs_prefer_the_better_sibling():
    made = Process(margin=0.3)(judged(FORK), 0)
    assert made == [
        Preference((1, 2, 3), (7, END), (8, END), margin=pytest.approx(0.3)),
        Preference(PROMPT, (3,), (4,), margin=pytest.approx(0.2)),
    ], "widest gap first"
    assert Process(gap=0.7, margin=0.3)(judged(FORK), 0) == made[:1]
    assert Process(k=1, margin=0.3)(judged(FORK), 0) == made[:1]
    every = Process(pick="all")(judged(FORK), 0)
    assert [(p.chosen, p.weight) for p in every] == [((7, END), 0.5), ((7, 5, END), 0.5), ((3,), 1.0)]


def test_visits_say_how_sure_a_pair_is():
    tree = trace((0, model(3)), (0, model(4)))
    for node, visits, value in ((1, 3, 0.75), (2, 1, 0.25)):
        tree.nodes[node].visits, tree.nodes[node].value = visits, value
    (pair,) = Process(by="value", smooth=True)([Tree(tree, {})], 0)
    assert pair.smoothing == 0.25
    tree.nodes[2].visits = 9
    (pair,) = Process(by="value", smooth=True)([Tree(tree, {})], 0)
    assert pair.smoothing == 0.5
    (pair,) = Process(by="visits")([Tree(tree, {})], 0)
    assert (pair.chosen, pair.rejected) == ((4,), (3,))


def test_a_step_cut_short_is_no_rival():
    tree = trace((0, model(3, 4)), (0, model(3)))
    tree.nodes[1].value, tree.nodes[2].value = 1.0, 0.0
    assert Process(by="value")([Tree(tree, {})], 0) == []


@st.composite
def random_trees(draw: st.DrawFn) -> Tree:
    """Any shape, ids from a small alphabet so that beginnings coincide."""
    grown = Trace("q")
    grown.add(-1, Segment("prompt", PROMPT, (), "ask", "toy@0"))
    for i in range(draw(st.integers(1, 14))):
        ids = tuple(draw(st.lists(st.integers(3, 8), min_size=1, max_size=3)))
        node = grown.add(draw(st.integers(0, i)), model(*ids))
        grown.nodes[node].visits = draw(st.integers(0, 4))
        grown.nodes[node].value = draw(st.none() | st.floats(0, 1))
    # Like a verifier, equal responses get equal verdicts.
    return Tree(grown, {leaf: sum(path_to(grown, leaf).ids) % 2 == 1 for leaf in grown.leaves() if leaf})


@given(st.lists(random_trees(), min_size=1, max_size=3), st.sampled_from(["outcome", "value", "visits"]))
def test_examples_are_ids_of_the_trees_and_nothing_else(trees, by):
    paths = {
        p.prompt + p.ids for t in trees for p in (path_to(t.trace, i) for i in range(len(t.trace.nodes)))
    }  # fmt: skip
    right = {path_to(t.trace, i).ids for t in trees for i, ok in t.correct.items() if ok}
    shown = Reject(k=100)(trees, 0)
    assert {d.ids for d in shown} == right
    assert len(shown) == len(right)
    found = labels(trees, by)
    value = {(x.ids, x.start): x.value for x in found}
    assert all(0 <= v <= 1 for v in value.values())
    assert {x.ids for x in found} <= paths
    for pair in Process(by=by, pick="all", k=100)(trees, 0):
        better, worse = pair.context + pair.chosen, pair.context + pair.rejected
        assert {better, worse} <= paths
        assert value[better, len(pair.context)] > value[worse, len(pair.context)]
        assert pair.chosen[pair.start] != pair.rejected[pair.start]
    for pair in Pairs(k=100)(trees, 0):
        assert pair.chosen in right
        assert pair.context + pair.rejected in paths


@given(st.lists(random_trees(), min_size=1, max_size=3))
def test_the_prompt_is_worth_the_share_of_right_ends(trees):
    (whole,) = [x for x in labels(trees) if x.ids == PROMPT]
    ends = list(itertools.chain.from_iterable(t.correct.values() for t in trees))
    assert (whole.value, whole.count) == (pytest.approx(sum(ends) / len(ends)), len(ends))


@pytest.mark.parametrize("spec", ["reject:k=0", "pairs:k=0", "process:k=0", "process:gap=-1", "reject:choose=best"])
def test_wrong_options_are_refused(spec):
    with pytest.raises(UserError):
        DATASETS.build(spec)
