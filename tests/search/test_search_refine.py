"""Methods that talk in several turns: who keeps which answer, what the notes say, and what the flips come to."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import attempts
import pytest
from attempts import ASKED, in_any_concurrency, notes, reads_at_most

from trivium.cli import main as cli
from trivium.errors import UnknownName, UserError
from trivium.policies import policy
from trivium.policies.scripted import Script, Scripted, Turn, sums
from trivium.search import method
from trivium.search.driver import solve
from trivium.search.flips import Flips, flips
from trivium.search.least_to_most import DECOMPOSE, LAST, parts
from trivium.search.refine import CRITICISE, REVISE, content
from trivium.search.self_rethinking import AGAIN, MISTAKES, admits
from trivium.store.traces import trace_from_json, trace_to_json
from trivium.types import (
    Budget,
    Message,
    Problem,
    Question,
    Split,
    Usage,
    Verdict,
)
from trivium.verify.parse import parse_answer

QUESTION = Question("q", (Message("system", "Work it out."), Message("user", ASKED)), "number")
PROBLEM = Problem(QUESTION, "93", "Answer: 93", "k", "test", "toy")
METHODS = ("refine", "self-rethinking:rounds=3,temperature=1", "least-to-most:temperature=1")


@dataclass(frozen=True)
class Toy:
    name: str = "toy"
    summary: str = "sums"
    max_tokens: int = 60

    def problems(self, split: Split, n: int, seed: int = 0) -> list[Problem]:
        return [replace(PROBLEM, question=replace(QUESTION, id=f"q{i}"), key=f"k{i}") for i in range(n)]

    def verify(self, problem: Problem, response: str) -> Verdict:
        answer = parse_answer("number", response)
        if answer == "13":
            return Verdict.error("13 breaks the verifier")
        if answer is None:
            return Verdict.unparseable()
        return Verdict.right(answer) if answer == problem.reference else Verdict.wrong(answer)


def says(lines: Mapping[str, str | Sequence[str]]) -> Scripted:
    """Answers the last message by its beginning; of several lines the next."""
    rest = {key: iter([value] if isinstance(value, str) else value) for key, value in lines.items()}
    return Scripted(lambda turn: next(next(it for key, it in rest.items() if turn.question.startswith(key))))


ask = functools.partial(attempts.ask, about=PROBLEM, task=Toy())


def test_refine_revises_until_the_critic_is_content() -> None:
    model = says(
        {
            ASKED: "Answer: 90",
            CRITICISE.content: ["41 + 87 is 128, not 125.", "Off by one.", "Correct."],
            REVISE.content: ["Answer: 92", "Answer: 93"],
        }
    )
    trace = ask("refine", model)
    assert (trace.answer, trace.response, trace.usage.calls, trace.usage.judge_calls) == ("93", "Answer: 93", 6, 3)
    drafts = [i for i, node in enumerate(trace.nodes) if node.note]
    assert notes(trace) == ["draft", f"revision of {drafts[0]}", f"revision of {drafts[1]}"]
    assert trace.answer_node == drafts[2]
    assert flips(Toy(), [PROBLEM], [trace]) == Flips(1, 0, 1, 0, 1, 0)
    history = trace.path(drafts[2])[-2].text
    assert (
        history.index("Answer: 90") < history.index("not 125") < history.index("Answer: 92") < history.index("Off by")
    )


def test_refine_never_gives_an_answer_up_for_none() -> None:
    model = says({ASKED: "Answer: 93", CRITICISE.content: "Hm.", REVISE.content: "I do not know."})
    trace = ask("refine", model)
    assert (trace.answer, notes(trace), trace.usage.calls) == ("93", ["draft"], 3)
    late = says({ASKED: "Hm", CRITICISE.content: ["No answer.", ""], REVISE.content: "Answer: 93"})
    assert ask("refine", late).answer == "93"
    assert ask("refine", says({ASKED: "Hm", CRITICISE.content: ""})).answer is None


def test_rounds_are_an_upper_bound() -> None:
    stubborn = Scripted(lambda turn: "Wrong." if turn.question == CRITICISE.content else "Answer: 93")
    assert ask("refine", stubborn).usage.calls == 1 + 2 * 4
    assert ask("refine:rounds=2", stubborn).usage.calls == 1 + 2 * 2
    for spec in ("refine:rounds=0", "self-rethinking:rounds=0", "least-to-most:steps=0"):
        with pytest.raises(UserError, match="=0; expected 1 or more"):
            ask(spec, stubborn)


@pytest.mark.parametrize(
    ("critique", "pleased"),
    [
        ("correct", True), ("Correct.", True), ("**Correct**", True), ("The solution is correct.", True), ("", True),
        ("All of it is right", True), ("Yes, it's all correct!", True), ("No errors found.", True), (" \n", True),
        ("incorrect", False), ("The solution is not correct.", False), ("No.", False), ("Correct, but 3 is 4.", False),
        ("It is wrong", False), ("correctness is lacking", False), ("right" * 10_000, False), ("1 2 3", False),
    ],
)  # fmt: skip
def test_content(critique: str, pleased: bool) -> None:
    assert content(critique) is pleased


def test_the_critic_may_be_another_voice() -> None:
    model = says({ASKED: "Answer: 90", REVISE.content: "Answer: 93"})
    critic = says({CRITICISE.content: ["Wrong.", "Correct."]})
    assert ask("refine:critic=sage", model, voices={"sage": critic}).answer == "93"
    with pytest.raises(UnknownName, match="--voice sage=POLICY"):
        ask("refine:critic=sage", says({ASKED: "Answer: 90"}))


def test_rethinking_answers_again_only_when_it_admits_a_mistake() -> None:
    check = "Mistakes of these kinds"
    trace = ask("self-rethinking", says({ASKED: "Answer: 90", check: "Yes: calculation.", AGAIN.content: "Answer: 93"}))
    assert (trace.answer, trace.usage.calls, trace.usage.judge_calls) == ("93", 3, 1)
    assert flips(Toy(), [PROBLEM], [trace]) == Flips(1, 0, 1, 0, 0, 0)
    assert all(kind in trace.path(trace.answer_node or 0)[-2].text for kind in ("calculation", "numeric", "logical"))
    for reply in ("No.", "hm", "", "There is no mistake; yes, all is well"):
        kept = ask("self-rethinking", says({ASKED: "Answer: 90", check: reply}))
        assert (kept.answer, kept.usage.calls) == ("90", 2)
    model = says({ASKED: "Answer: 93", check: ["yes", "yes"], AGAIN.content: ["Answer: 90", "never mind"]})
    twice = ask("self-rethinking:rounds=5,domain=commonsense", model)
    assert (twice.answer, flips(Toy(), [PROBLEM], [twice])) == ("90", Flips(1, 1, 0, 0, 0, 0))
    assert MISTAKES["commonsense"] in "".join(n.segment.text for n in twice.nodes)


def test_admits() -> None:
    assert [admits(t) for t in ("yes", "**Yes**, in step 2", "No", "eyes", "", "I think no. Or yes")] == [
        True, True, False, False, False, False,
    ]  # fmt: skip


def test_least_to_most_answers_the_parts_in_order_with_all_earlier_ones_in_view() -> None:
    plan = "Sure:\n1. What is 41 + 87?\n- **What is 128 - 35?**\n2) What is 41 + 87?\nThat is all."
    model = says(
        {
            f"{ASKED}\n\n{DECOMPOSE}": plan,
            f"{ASKED}\n\nFirst: What is 41 + 87?": "128",
            "What is 128 - 35?": "it is 93",
            LAST: "Answer: 93",
        }
    )
    trace = ask("least-to-most", model)
    assert (trace.answer, trace.response, trace.usage.calls) == ("93", "Answer: 93", 4)
    assert notes(trace) == ["answer to: What is 41 + 87?", "answer to: What is 128 - 35?"]
    history = trace.path(trace.answer_node or 0)[-2].text
    assert history == (
        f"system: Work it out.\nuser: {ASKED}\n\nFirst: What is 41 + 87?\nassistant: 128\nuser: What is 128 - 35?\n"
        f"assistant: it is 93\nuser: {LAST}\n{ASKED}\nassistant: "
    )
    few = ask("least-to-most:steps=1", Scripted(lambda turn: plan if DECOMPOSE in turn.question else "Answer: 5"))
    assert few.usage.calls == 3


def test_without_a_plan_least_to_most_is_a_chain_of_thought() -> None:
    for plan in ("Answer: 5", "", "?\n??", "no idea"):

        def script(turn: Turn, plan: str = plan) -> str:
            return plan if DECOMPOSE in turn.question else "Answer: 93"

        trace = ask("least-to-most", Scripted(script))
        assert (trace.answer, trace.usage.calls) == ("93", 2)


def test_parts() -> None:
    text = (
        "Step 1: How many?\n* **Question 2. Who?**\n12 apples or 1.5 pears?\n(a+b)*2 is?\nQuestions or not?\n`Why?`\n?"
    )
    assert parts(text) == ["How many?", "Who?", "12 apples or 1.5 pears?", "(a+b)*2 is?", "Questions or not?", "Why?"]
    assert parts("Plan:\n1. Add 41 and 87\n2) **Subtract**\n- then stop\n-5 is no item\n1.5 neither\n3.") == [
        "Add 41 and 87", "Subtract", "then stop",
    ]  # fmt: skip


def test_an_answer_to_a_part_is_no_answer_when_the_budget_ends() -> None:
    model = Scripted(lambda turn: "1. What is 41 + 87?" if DECOMPOSE in turn.question else "Answer: 128")
    trace = ask("least-to-most", model, Budget(calls=2))
    assert (trace.answer, trace.finish) == (None, "budget")


def test_what_was_held_survives_the_end_of_the_budget() -> None:
    def script(turn: Turn) -> str:
        return "Wrong, yes." if turn.question != ASKED and "again" not in turn.question else "Answer: 90"

    for spec in METHODS[:2]:
        whole = ask(spec, Scripted(script)).usage.sampled_tokens
        for tokens in range(11, whole):
            trace = ask(spec, Scripted(script), Budget(sampled_tokens=tokens))
            assert trace.answer == "90"
            assert trace.usage.sampled_tokens <= tokens
    cut = ask("refine", says({ASKED: "Answer: 93", CRITICISE.content: "No.", REVISE.content: "12 and 13 and 14"}),
              Budget(sampled_tokens=11 + 4 + 8))  # fmt: skip
    assert (cut.answer, notes(cut)) == ("93", ["draft"]), "a revision that was cut short replaces nothing"


@pytest.mark.parametrize("spec", METHODS)
def test_a_talk_that_outgrows_the_context_ends_with_what_there_is(spec: str) -> None:
    def script(turn: Turn) -> str:
        return (
            "yes, wrong\nWhat is 1 + 1?\nWhat is 2 + 2?" * 3 if "question mark" in turn.question else "Answer: 93" * 3
        )

    assert ask(spec, reads_at_most(260, script)).answer == "93"


@pytest.mark.parametrize("script", ["random", "endless", "sums"])
@pytest.mark.parametrize("spec", METHODS)
def test_any_output_is_survived_within_any_budget(spec: str, script: str) -> None:
    limits = (None, Budget(sampled_tokens=1), Budget(sampled_tokens=130), Budget(total_tokens=900), Budget(calls=2))
    for budget in limits:
        for seed in range(5):
            trace = ask(spec, policy(f"scripted:{script}"), budget, max_tokens=40, seed=seed)
            if trace.answer is not None:
                assert trace.answer == parse_answer("number", trace.response)
            for unit in ("sampled_tokens", "total_tokens", "calls"):
                limit = getattr(budget, unit) if budget else None
                assert getattr(trace.usage, unit) <= (math.inf if limit is None else limit)
            sampled = sum(len(n.segment.ids) for n in trace.nodes if n.segment.source == "model")
            assert sampled == trace.usage.sampled_tokens, "the trace holds every token that was paid"


def doubtful(p: float) -> Script:
    """Sums that are right with probability p, criticised, checked and decomposed at random."""
    add = sums(p)

    def script(turn: Turn) -> str:
        if turn.question == CRITICISE.content or turn.question.startswith("Mistakes"):
            return turn.rng.choice(["Correct. No.", "Yes, wrong."])
        if turn.question in (REVISE.content, AGAIN.content):
            return f"Answer: {turn.rng.choice([90, 93, 13])}"
        return "What is 41 + 87?\n" * turn.rng.randrange(3) if DECOMPOSE in turn.question else add(turn)

    return script


@pytest.mark.parametrize("budget", [None, Budget(sampled_tokens=90)])
@pytest.mark.parametrize("spec", METHODS)
def test_equal_seeds_give_equal_answers_one_at_a_time_in_sevens_and_all_at_once(
    spec: str, budget: Budget | None
) -> None:
    model = Scripted(doubtful(0.5), delay=0.002)
    traces = in_any_concurrency(spec, Toy().problems("test", 15), model, seed=2, budget=budget)
    assert len({trace.answer for trace in traces}) > 1 or budget


def test_flips_agree_with_counting_by_hand_within_votes_too() -> None:
    problems = Toy().problems("test", 30)
    traces = solve(method("vote:n=4,of=refine:rounds=3"), problems, Scripted(doubtful(0.5)), task=Toy())
    found = flips(Toy(), problems, traces)
    assert found is not None
    assert found.drafts == 30 * 4
    assert found.revisions == sum(n.note.startswith("revision") for t in traces for n in t.nodes) > 50
    seen = dict.fromkeys(("90", "93", "13"), 0)
    for trace in traces:
        for node in trace.nodes:
            if node.note.startswith("revision"):
                before, after = trace.nodes[int(node.note.split()[-1])].segment.text, node.segment.text
                assert parse_answer("number", after) in seen
                seen[parse_answer("number", after) or ""] += parse_answer("number", before) == "93"
    assert found.right_to_right == seen["93"] > 0
    assert found.right_to_wrong == seen["90"] > 0
    assert found.unjudged >= seen["13"] > 0
    assert flips(Toy(), problems, solve(method("vote:n=2"), problems, policy("scripted"))) is None


def test_the_command_prints_flips_and_puts_them_in_its_json(capsys: pytest.CaptureFixture[str]) -> None:
    rest = ["--task", "sums:terms=3", "--policy", "scripted:p=0.5", "--n", "8"]
    assert cli.main(["solve", "refine:rounds=1", *rest]) == 0
    assert "of 8 drafts: " in capsys.readouterr().out
    assert cli.main(["solve", "refine:rounds=1", *rest, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["flips"]
    kinds = {"right_to_wrong", "wrong_to_right", "right_to_right", "wrong_to_wrong", "unjudged"}
    assert told.keys() == {"drafts"} | kinds
    assert told["drafts"] == 8
    assert cli.main(["solve", "greedy", *rest, "--json"]) == 0
    assert "flips" not in json.loads(capsys.readouterr().out)


def test_notes_survive_being_written_and_read() -> None:
    problems = Toy().problems("test", 10)
    traces = solve(method("refine"), problems, Scripted(doubtful(0.5)), task=Toy())
    again = [trace_from_json(json.loads(json.dumps(trace_to_json(t)))) for t in traces]
    assert flips(Toy(), problems, again) == flips(Toy(), problems, traces) is not None
    assert sum((t.usage for t in again), Usage()).judge_calls > 0
