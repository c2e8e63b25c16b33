"""Searches over steps, on trees that are written down: what they keep, drop, count, write and answer."""

from __future__ import annotations

import itertools
import math
import tracemalloc
from collections.abc import Mapping, Sequence
from dataclasses import replace

import attempts
import pytest
from attempts import content, in_any_concurrency, score
from hypothesis import given
from hypothesis import strategies as st

from trivium.errors import UserError
from trivium.policies import policy
from trivium.policies.scripted import Script, Scripted
from trivium.search import METHODS, method
from trivium.search.driver import Method, solve
from trivium.search.lm import LM, Chain
from trivium.search.tree import Ends, Steps, TreeNode, distinct, likelihood, puct, uct
from trivium.types import Answer, Budget, Completion, Message, Problem, Question, Request, Sampling, Trace, Usage

QUESTION = Question("q", (Message("user", "Which way?"),), "number")
PROBLEM = Problem(QUESTION, 1, "Answer: 1", "k", "test", "toy")
TREES = ["beam", "tree-of-thoughts", "tree-of-thoughts:search=dfs", "mcts", "associative-mcts", "graph-of-thoughts"]
SUMS = [
    Problem(
        Question(f"q{i}", (Message("user", f"What is {i + 11} + 87 - 35 + 4?"),), "number"), i + 67, "", f"{i}", "test",
        "toy",
    )
    for i in range(15)
]  # fmt: skip


def ways(lines: Mapping[str, Sequence[str]]) -> Script:
    """What comes after what was said, in turn; a policy that is asked for a step stops at its line break."""
    rests = {said: itertools.cycle(after) for said, after in lines.items()}
    return lambda turn: next(rests[turn.said]) if turn.said in rests else ""


def ask(how: str | Method, script: Script, budget: Budget | None = None, max_tokens: int = 60) -> Trace:
    return attempts.ask(how, script, budget, about=PROBLEM, max_tokens=max_tokens)


def goodness(question: Question, response: str) -> float:
    """The sum of the digits written after `+`, such as 3 for `a+1 / b+2`: a value that a test can write down."""
    return float(sum(int(b) for a, b in itertools.pairwise(response) if a == "+" and b.isdigit()))


BY = "by=test_search_trees:goodness"


def test_steps_are_distinct_and_end_where_the_policy_ends() -> None:
    seen: dict[str, bool] = {}

    async def look(question: Question, lm: LM) -> Answer:
        steps = Steps(lm, "\\n", 1.0)
        for step in await steps.next(lm.begin(question), 6):
            seen[step.text] = steps.ended(step)
        return Answer(None, "")

    ask(look, ways({"": ["a\nmore", "a \nmore", "b", " a\nmore", "c\n", "b"]}))
    assert seen == {"a\n": False, "b": True, "c\n": False}


def test_an_empty_line_is_no_step() -> None:
    found: list[str] = []

    async def look(question: Question, lm: LM) -> Answer:
        found.extend(step.response for step in await Steps(lm, "\n", 1.0).next(lm.begin(question), 4))
        return Answer(None, "")

    trace = ask(look, ways({"": ["a\nx", "\nx", "b", " \nx"], "\n": ["\n", "c\nx"], "\n\n": ["d"]}))
    assert found == ["a\n", "b", "\nc\n", "\n\nd"], "as many after it as there were empty lines"
    assert trace.usage.calls == 3


@given(st.lists(st.sampled_from(["a", " a", "b\n", "b", "c"]), max_size=8))
def test_distinct_keeps_the_first_of_each_text(texts: list[str]) -> None:
    chains = [Chain(i, text, text, "stop", ()) for i, text in enumerate(texts)]
    kept = distinct(chains)
    assert [c.text.strip() for c in kept] == list(dict.fromkeys(text.strip() for text in texts))
    assert all(c.node == next(i for i, text in enumerate(texts) if text.strip() == c.text.strip()) for c in kept)


@pytest.mark.parametrize("spec", [f"beam:{BY}", "mcts:n=20", "mcts:n=20,rollouts=0", "tree-of-thoughts:search=dfs"])
def test_no_response_is_longer_than_one_sample_may_be(spec: str) -> None:
    for script in (lambda turn: "x\n" * turn.room, lambda turn: "word " * turn.room):
        trace = ask(spec, script, max_tokens=7)
        for node in trace.leaves():
            said = [s for s in trace.path(node) if s.source == "model"]
            assert sum(len(s.ids) for s in said) <= 8, "7, or a judgement's"
            assert sum(len(s.ids) for s in said if not s.text.startswith("yes")) <= 7


def test_an_empty_delimiter_is_refused() -> None:
    with pytest.raises(UserError, match="delimiter"):
        ask("mcts:delimiter=", ways({}))


def test_ends_prefer_answers_then_whole_chains_then_value_and_vote_without_abstentions() -> None:
    async def judge(question: Question, lm: LM) -> Answer:
        ends = Ends(lm)
        said = (("none", "stop"), ("Answer: 1", "budget"), ("Answer: 2", "stop"))
        first = [Chain(i, text, text, finish, ()) for i, (text, finish) in enumerate(said)]  # type: ignore[arg-type]
        bests = [ends.add(chain, value) and ends.best for chain, value in zip(first, (9.0, 5.0, 1.0), strict=True)]
        assert bests == [None, first[1], first[2]]
        three = Chain(3, "Answer: 3", "Answer: 3", "stop", ())
        ends.add(three, 2.0, ended=False)
        assert ends.best is first[2], "a beginning is no end"
        four = [Chain(4 + i, "Answer: 4", "Answer: 4", "stop", ()) for i in range(2)]
        assert [ends.add(chain, 0.5 + i / 4) for i, chain in enumerate(four)] == ["4", "4"]
        assert ends.answer().value == "2"
        vote = ends.vote()
        assert (vote.value, vote.node, vote.confidence) == ("4", 5, pytest.approx(2 / 3))
        return Answer("fine", "")

    assert ask(judge, ways({})).answer == "fine"


def test_beam_keeps_the_best_beginnings_and_a_finished_one_competes_at_the_end() -> None:
    script = ways(
        {
            "": ["a+1\n", "b+2\n", "c+3\n", "+4 Answer: 7"],
            "b+2\n": ["Answer: 2"],
            "c+3\n": ["d+0\n", "e+5\n", "f+1\n"],
            "c+3\ne+5\n": ["Answer: 9"],
            "c+3\nd+0\n": ["Answer: 8"],
            "c+3\nf+1\n": ["Answer: 6"],
        }
    )
    trace = ask(f"beam:width=3,branch=4,{BY}", script)
    assert trace.answer == "9"
    asked = {trace.nodes[n.parent].segment.text for n in trace.nodes[1:]}
    assert "a+1\n" not in asked, "three places: 7, c and b"
    assert "d+0\n" not in asked, "7 took its place along, so e and f had the other two"
    assert "f+1\n" in asked
    assert {n.segment.text: n.value for n in trace.nodes}["e+5\n"] == 8.0
    assert ask(f"beam:width=1,branch=4,{BY}", script).answer == "7", "the only place goes to the finished one"


def test_beam_continues_what_is_unfinished_at_its_depth() -> None:
    script = ways({"": ["a+1\n"], "a+1\n": ["b+1\n"], "a+1\nb+1\n": ["c\nd\nAnswer: 5"]})
    trace = ask(f"beam:depth=2,{BY}", script)
    assert (trace.answer, trace.response) == ("5", "a+1\nb+1\nc\nd\nAnswer: 5")
    assert trace.usage.calls == 3


def test_depth_first_goes_best_first_prunes_and_backtracks() -> None:
    script = ways(
        {
            "": ["a+2\n", "b+1\n", "c\n"],
            "a+2\n": ["bad\n", "worse\n"],
            "a+2\nbad\n": ["Answer: 6"],
            "b+1\n": ["d+3\n"],
            "b+1\nd+3\n": ["Answer: 1"],
            "c\n": ["Answer: 3"],
        }
    )

    def last_step(question: Question, response: str) -> float:
        return goodness(question, response.strip().rpartition("\n")[2]) + 9 * ("Answer: 1" in response)

    async def dfs(question: Question, lm: LM) -> Answer:
        options = {"search": "dfs", "branch": 3, "threshold": 1.0, "by": last_step}
        answer: Answer = await METHODS.factory("tree-of-thoughts")(question, lm, **options)
        return answer

    trace = ask(dfs, script)
    texts = [n.segment.text for n in trace.nodes[1:]]
    assert trace.answer == "1"
    assert (
        texts == ["a+2\n", "b+1\n", "c\n", "bad\n", "worse\n", "bad\n", "d+3\n", "d+3\n", "d+3\n"] + ["Answer: 1"] * 3
    )
    assert {n.segment.text for n in trace.nodes if n.note == "pruned"} == {"c\n", "bad\n", "worse\n"}


def test_depth_first_answers_when_everything_was_pruned_and_stops_after_its_expansions() -> None:
    script = ways({"": ["a+1\n", "b+2\n"], "b+2\n": ["Answer: 4"], "a+1\n": ["Answer: 5"]})
    assert ask(f"tree-of-thoughts:search=dfs,threshold=5,{BY}", script).answer == "4", "the best beginning goes on"
    one = ask(f"tree-of-thoughts:search=dfs,threshold=0,expansions=1,{BY}", script)
    assert (one.answer, one.usage.calls) == ("4", 2)


def test_breadth_first_is_the_beam_with_the_policys_own_judgement() -> None:
    model = policy("scripted:p=0.5")
    bfs, beam = (
        [t.answer for t in solve(method(spec), SUMS, model, seed=4)]
        for spec in ("tree-of-thoughts", "beam:by=self,width=5,branch=5,depth=6")
    )
    assert bfs == beam


def test_the_rules_are_the_published_formulas() -> None:
    chain = Chain(0, "", "", "stop", ())
    node = TreeNode(chain, chain, prior=0.25, visits=3)
    assert uct(node, 0.5, 20, 1.4) == pytest.approx(0.5 + 1.4 * math.sqrt(math.log(20) / 3))
    assert puct(node, 0.5, 20, 1.5) == pytest.approx(0.5 + 1.5 * 0.25 * math.sqrt(20) / 4)
    new = TreeNode(chain, chain, prior=0.25)
    assert uct(new, 0.0, 20, 1.4) == math.inf
    assert puct(new, 0.0, 20, 1.5) == pytest.approx(1.5 * 0.25 * math.sqrt(20))
    assert likelihood(Chain(0, "ab", "ab", "stop", (-1.0, -3.0))) == pytest.approx(math.exp(-2))
    assert likelihood(chain) == 1.0


FORK = {
    "": ["good+2\nAnswer: 1 +1", "bad\nAnswer: 2", "poor\nAnswer: 2"],
    "good+2\n": ["so+1\nAnswer: 1", "or\nAnswer: 3"],
    "good+2\nso+1\n": ["Answer: 1"],
    "good+2\nor\n": ["Answer: 3"],
    "bad\n": ["Answer: 2"],
    "poor\n": ["Answer: 2"],
}


@pytest.mark.parametrize("select", ["uct", "puct"])
@pytest.mark.parametrize("rollouts", [0, 1, 2])
@pytest.mark.parametrize("final", ["vote", "visits", "value"])
def test_mcts_finds_the_branch_of_high_value(select: str, rollouts: int, final: str) -> None:
    trace = ask(f"mcts:n=60,branch=3,select={select},rollouts={rollouts},final={final},{BY}", ways(FORK))
    assert trace.answer == "1"


def test_mcts_writes_visits_and_values_and_pays_a_finished_step_once() -> None:
    trace = ask(f"mcts:n=200,branch=3,{BY}", ways(FORK))
    nodes = trace.nodes
    assert nodes[0].visits == 200
    for i, node in enumerate(nodes):
        if node.visits and i:
            below = sum(n.visits for n in nodes if n.parent == i)
            assert below in (node.visits - 1, 0), "all but the first visit went on to a child, or it is an end"
            assert nodes[node.parent].visits >= node.visits
    # What a node is worth on average is what its visits brought, its own first one included.
    top = [n for n in nodes if n.parent == 0 and n.visits]
    assert nodes[0].value == pytest.approx(sum(n.visits * (n.value or 0.0) for n in top) / 200)
    assert [n.segment.text for n in top if n.visits == max(t.visits for t in top)] == ["good+2\n"]
    assert trace.usage.calls < 20, "the rest of the simulations met what was known"
    assert trace.usage.sampled_tokens == sum(len(n.segment.ids) for n in nodes[1:])


def test_the_confidence_of_a_vote_is_its_share_of_the_simulations() -> None:
    trace = ask("mcts:n=10,rollouts=1,final=vote", ways({"": ["Answer: 4"]}))
    assert trace.answer == "4"
    assert score(trace) == 1.0
    assert trace.usage.calls == 1
    assert trace.nodes[0].visits == 10


def test_an_end_without_an_answer_is_worth_nothing_and_never_votes() -> None:
    trace = ask("mcts:n=12,branch=2", ways({"": ["who knows", "Answer: 4"]}))
    values = {n.segment.text: n.value for n in trace.nodes[1:]}
    assert trace.answer == "4"
    assert values["who knows"] == 0.0 < (values["Answer: 4"] or 0.0)


def test_without_rollouts_the_most_visited_beginning_is_finished_greedily() -> None:
    endless_steps: Script = lambda turn: "on+1\n" * 3 + "Answer: 8"  # noqa: E731
    trace = ask(f"mcts:n=2,branch=1,rollouts=0,{BY}", endless_steps)
    assert trace.answer == "8"
    assert trace.usage.calls == 3


def test_simulations_without_a_number_end_with_the_budget_or_when_the_search_has_settled() -> None:
    with pytest.raises(UserError, match="give one of sampled_tokens or seconds"):
        ask("mcts:n=none", ways(FORK))
    settled = ask("mcts:n=none,branch=3", ways(FORK), Budget(sampled_tokens=100_000))
    assert settled.answer is not None
    assert settled.usage.sampled_tokens < 1_000
    model = policy("scripted:p=0.5")
    for trace in solve(method("mcts:n=none,depth=12"), SUMS, model, budget=Budget(sampled_tokens=300)):
        assert trace.usage.sampled_tokens <= 300
        assert trace.answer is not None


@pytest.mark.parametrize("wrong", ["n=0", "branch=0", "depth=0", "rollouts=-1", "select=best", "final=last"])
def test_mcts_says_what_it_cannot_do(wrong: str) -> None:
    with pytest.raises(UserError, match=wrong.partition("=")[0]):
        ask(f"mcts:{wrong}", ways(FORK))


@pytest.mark.parametrize("spec", ["beam:width=0", "tree-of-thoughts:branch=0", "graph-of-thoughts:layers=0"])
def test_counts_below_one_are_refused(spec: str) -> None:
    with pytest.raises(UserError, match="expected 1 or more"):
        ask(spec, ways(FORK))


def test_memory_grows_linearly_with_the_tree() -> None:
    def per_node(n: int) -> float:
        script: Script = lambda turn: f"{turn.rng.random():.5f}\n" * 5 + "Answer: 1"  # noqa: E731
        tracemalloc.start()
        trace = ask(f"mcts:n={n},depth=4", script, max_tokens=100)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(trace.nodes) > 2 * n
        return peak / len(trace.nodes)

    assert per_node(400) < 1.4 * per_node(100)


@pytest.mark.parametrize("spec", TREES)
@pytest.mark.parametrize("budget", [None, Budget(sampled_tokens=150), Budget(total_tokens=900)])
def test_equal_seeds_give_equal_trees_whatever_the_concurrency(spec: str, budget: Budget | None) -> None:
    model = policy("scripted:p=0.5,delay=0.0005")
    traces = in_any_concurrency(spec, SUMS, model, seed=3, budget=budget)
    other = solve(method(spec), SUMS, model, seed=4, budget=budget)
    assert list(map(content, other)) != list(map(content, traces))


@pytest.mark.parametrize("spec", TREES)
def test_a_budget_is_never_exceeded_and_what_was_found_is_answered(spec: str) -> None:
    sampling = Sampling(max_tokens=60)
    for sampled in (1, 30, 75, 200, 400):
        for trace in solve(
            method(spec), SUMS, policy("scripted"), budget=Budget(sampled_tokens=sampled), sampling=sampling
        ):
            assert trace.usage.sampled_tokens <= sampled
            assert not trace.error
            assert sampled < 200 or trace.answer is not None
            if trace.answer is None:
                assert trace.finish == "budget"


@pytest.mark.parametrize("spec", TREES)
@pytest.mark.parametrize(
    "script",
    [
        lambda turn: "",
        lambda turn: "\n" * turn.room,
        lambda turn: "and so on " * turn.room,
        lambda turn: turn.rng.choice(["yes", "FINAL", "[1,[2", "1.\n2.\n-", "\ufffd\x00", "FINAL: [9] why?", "# \n# "]),
    ],
    ids=["silence", "blank lines", "endless", "garbage"],
)
def test_nonsense_is_no_answer_and_no_failure(spec: str, script: Script) -> None:
    trace = ask(spec, script, Budget(sampled_tokens=3_000))
    assert trace.answer is None or trace.answer.lstrip("-").isdigit()
    assert "Answer" not in trace.response


@pytest.mark.parametrize("spec", TREES)
def test_every_token_is_accounted_for(spec: str) -> None:
    for trace in solve(method(spec), SUMS, policy("scripted:p=0.5")):
        sampled = sum(len(n.segment.ids) for n in trace.nodes if n.segment.source == "model")
        assert trace.usage.sampled_tokens == sampled


class Bare(Scripted):
    """Shows neither token ids nor log-probs, as some endpoints do; it charges what it draws all the same."""

    capabilities = frozenset({"prefix"})  # type: ignore[assignment]

    async def sample(self, request: Request) -> list[Completion]:
        done = await Scripted.sample(self, request)
        return [replace(c, segment=replace(c.segment, ids=(), logprobs=())) for c in done]


def test_tokens_that_are_not_shown_count_as_they_are_charged() -> None:
    async def grow(question: Question, lm: LM) -> Answer:
        steps, chain = Steps(lm, "\n", 1.0), lm.begin(question)
        while new := await steps.next(chain, 1):
            [chain] = new
            assert len(chain.response) <= 9, "no more than one sample may say"
        [end] = await steps.finish(chain)
        return Answer(str(lm.sampled(end)), end.response)

    trace = attempts.ask(grow, Bare(lambda turn: "ab\n"), about=PROBLEM, max_tokens=9)
    assert (trace.answer, trace.usage.sampled_tokens) == ("9", 9)


def test_what_is_charged_nothing_does_not_go_on_for_ever() -> None:
    class Free(Bare):
        async def sample(self, request: Request) -> list[Completion]:
            return [replace(c, usage=Usage()) for c in await Bare.sample(self, request)]

    async def grow(question: Question, lm: LM) -> Answer:
        return Answer(str(len(await Steps(lm, "\n", 1.0).next(lm.begin(question), 2))), "")

    trace = attempts.ask(grow, Free(lambda turn: "\n"), Budget(calls=20), about=PROBLEM, max_tokens=6)
    assert (trace.answer, trace.usage.calls) == ("0", 6)
