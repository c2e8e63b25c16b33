"""The twelve ways about a question: what each asks, what a program and a check change, who chooses, the search."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pytest
from attempts import ASKED, PROBLEM, ask, in_any_concurrency, problems, reads_at_most
from hypothesis import given
from hypothesis import strategies as st

from trivium.errors import UnknownName, UserError
from trivium.policies import policy
from trivium.policies.scripted import Script, Scripted, Turn
from trivium.search.plan_actions import CHECK, PATHS, doubts, required
from trivium.types import Budget, Problem, Split, Verdict

CODE = "```python\nprint(41 + 87 - 35)\n```"


@dataclass
class Toy:
    """The one problem above."""

    name: str = "toy"
    summary: str = ""
    max_tokens: int = 200

    def problems(self, split: Split, n: int, seed: int = 0) -> list[Problem]:
        return [PROBLEM][:n]

    def verify(self, problem: Problem, response: str) -> Verdict:
        return Verdict.right() if response.endswith("93") else Verdict.wrong()


def talk(*lines: tuple[str, str], heard: list[str] | None = None) -> Script:
    """Answers by the first of `lines` whose cue is in the last message; silence for anything else."""

    def script(turn: Turn) -> str:
        if heard is not None:
            heard.append(turn.question)
        return next((text for cue, text in lines if cue in turn.question), "")

    return script


def test_there_are_twelve_paths() -> None:
    assert len(PATHS) == len(set(PATHS)) == 12
    assert {"words", "program", "rewrite+words", "plan+program+check"} < set(PATHS)


def test_bare_words_ask_nothing_but_the_question() -> None:
    heard: list[str] = []
    trace = ask("plan-actions:path=words", talk((ASKED, "Answer: 93"), heard=heard))
    assert (trace.answer, heard) == ("93", [ASKED])
    assert trace.nodes[trace.answer_node or 0].note == "path: words"


@pytest.mark.parametrize("path", PATHS)
def test_every_path_asks_for_its_own_actions_in_one_message(path: str) -> None:
    heard: list[str] = []
    program = "program" in path
    lines = [(CHECK, "all is correct"), ("The program gives: 93", "Answer: 93"), (ASKED, CODE if program else "= 93")]
    trace = ask(f"plan-actions:path={path}", talk(*lines, heard=heard))
    assert trace.answer == "93"
    actions = set(path.split("+"))
    assert ("Say in one sentence" in heard[0]) == ("rewrite" in actions)
    assert ("smaller tasks" in heard[0]) == ("plan" in actions)
    assert ("Python" in heard[0]) == program
    assert ("in words" in heard[0]) == (actions > {"words"} and actions != {"words", "check"})
    assert heard[0].count("Step") == (0 if actions <= {"words", "check"} else len(actions - {"check"}))
    assert (CHECK in heard) == ("check" in actions) == (trace.usage.judge_calls == 1)
    assert trace.usage.tool_steps == program
    assert trace.usage.calls == len(heard) == 1 + program + ("check" in actions)


def test_a_check_that_finds_a_mistake_leads_to_another_solution() -> None:
    lines = ((CHECK, "Hm. 41 + 87 is 128.\nIncorrect."), ("without that mistake", "Answer: 93"), (ASKED, "Answer: 90"))
    trace = ask("plan-actions:path=words+check", talk(*lines))
    assert (trace.answer, trace.usage.calls) == ("93", 3)
    mute = ((CHECK, "incorrect"), ("without that mistake", "no idea"), (ASKED, "Answer: 90"))
    assert ask("plan-actions:path=words+check", talk(*mute)).answer == "90"


def test_a_program_is_repaired_once_and_its_result_is_the_answer_where_the_policy_has_none() -> None:
    lines = [("does not work. ZeroDivisionError", CODE), (ASKED, "```python\nprint(1 / 0)\n```")]
    trace = ask("plan-actions:path=program", talk(*lines))
    assert (trace.answer, trace.response) == ("93", "Answer: 93")
    assert trace.usage.tool_steps == 2
    told = ask("plan-actions:path=program", talk(("The program gives: 93", "Answer: 94"), *lines))
    assert told.answer == "94", "the policy has the last word"


def test_a_program_that_never_works_abstains_or_is_checked_out_of_it() -> None:
    broken = ((CHECK, "correct"), ("without that mistake", "Answer: 93"), (ASKED, "```python\nprint(8/0)\n```"))
    trace = ask("plan-actions:path=program", talk(*broken))
    assert (trace.answer, trace.response) == (None, ""), "no number is read out of a program that failed"
    assert ask("plan-actions:path=program+check", talk(*broken)).answer == "93"
    assert ask("plan-actions:path=program", talk((ASKED, "Answer: 7"))).answer is None, "no program at all"
    huge = ask("plan-actions:path=program", talk((ASKED, "```python\nans = 10 ** 5000\n```")))
    assert (huge.answer, huge.response) == (None, ""), "no answer has thousands of digits"


def test_the_planner_chooses_and_words_are_the_way_out() -> None:
    planner = ("Which actions suit", "It is long. Required action: plan, words, check")
    heard: list[str] = []
    trace = ask("plan-actions", talk(planner, (CHECK, "correct"), (ASKED, "Answer: 93"), heard=heard))
    assert trace.answer == "93"
    assert trace.nodes[trace.answer_node or 0].note == "path: plan+words+check"
    assert len(heard) == 3
    fails = talk(("Which actions suit", "program"), ("Python", "who knows"), (ASKED, "Answer: 93"))
    trace = ask("plan-actions", fails)
    assert (trace.answer, trace.nodes[trace.answer_node or 0].note) == ("93", "path: words")


def test_the_planner_may_be_another_voice() -> None:
    trace = ask(
        "plan-actions:planner=boss", talk((ASKED, "Answer: 93")),
        voices={"boss": Scripted(lambda turn: "Required action: rewrite, words")},
    )  # fmt: skip
    assert trace.nodes[trace.answer_node or 0].note == "path: rewrite+words"
    with pytest.raises(UnknownName, match="--voice"):
        ask("plan-actions:planner=boss", policy("scripted"))


@pytest.mark.parametrize(
    ("text", "path"),
    [("Required Action: Planning, Program", "plan+program"), ("REQUIRED ACTIONS: rewriting, CoT, self-verification",
     "rewrite+words+check"), ("words will do; no code.\nRequired action: code", "program"), ("", "words"),
     ("gibberish", "words"), ("check it", "words+check"), ("rewrite, plan, words, check", "rewrite+words+check"),
     ("Plan it.", "plan+words")],
)  # fmt: skip
def test_what_a_planner_requires(text: str, path: str) -> None:
    assert required(text) == path


@given(st.text() | st.text(alphabet="actionrequired: plnwsgmhk"))
def test_any_plan_is_one_of_the_twelve(text: str) -> None:
    assert required(text) in PATHS


@pytest.mark.parametrize(
    ("text", "expected"),
    [("incorrect", True), ("It is **Incorrect**.", True), ("so it is not correct", True), ("correct", False),
     ("Incorrect at first.\ncorrect", False), ("Not incorrect: correct", False), ("no idea", False), ("", False),
     ("correct\n\nincorrect\n\n", True)],
)  # fmt: skip
def test_a_check_is_read_by_its_last_line(text: str, expected: bool) -> None:
    assert doubts(text) is expected


def test_the_search_keeps_eight_then_three_and_prefers_the_best_mean() -> None:
    """Only a plan with words ever gets it right, and most often with a check."""

    def script(turn: Turn) -> str:
        if turn.question == CHECK:
            return "correct"
        lucky = "smaller tasks" in turn.question and "in words" in turn.question
        return "Answer: 93" if lucky else "Answer: 1"

    trace = ask("plan-actions:path=search", script, task=Toy())
    assert trace.answer == "93"
    answer = trace.nodes[trace.answer_node or 0]
    assert (answer.note, answer.value, answer.score) == ("path: plan+words", 1.0, 1.0), "the shorter of two equals"
    tried = Counter(node.note for node in trace.nodes if node.note)
    assert tried["path: plan+words"] == tried["path: plan+words+check"] == 6
    assert sorted(tried.values()) == [2] * 4 + [4] * 5 + [6] * 3, "46 runs"
    judged = [node.value for node in trace.nodes if node.value is not None]
    assert trace.usage.oracle_calls == len(judged) < 46, "a run without an answer is worth 0 without asking"


def test_the_search_needs_no_oracle() -> None:
    trace = ask("plan-actions:path=search,by=logprob,samples=1", policy("scripted"))
    assert trace.answer == "93"
    assert trace.usage.oracle_calls == 0
    with pytest.raises(UserError, match="--task"):
        ask("plan-actions:path=search", policy("scripted"))


@pytest.mark.parametrize(
    "spec", ["plan-actions", "plan-actions:path=plan+program+check", "plan-actions:path=search,by=self"]
)
@pytest.mark.parametrize("name", ["scripted:random", "scripted:endless", "scripted:p=0.5"])
def test_any_output_and_any_budget_give_an_answer_or_none(spec: str, name: str) -> None:
    for tokens in (1, 60, 300, 1500):
        trace = ask(spec, policy(name), Budget(sampled_tokens=tokens))
        assert trace.usage.sampled_tokens <= tokens
    assert ask(spec, policy(name), Budget(tool_steps=1)).usage.tool_steps <= 1


def test_a_budget_cut_search_answers_by_the_best_so_far() -> None:
    trace = ask("plan-actions:path=search,by=logprob", policy("scripted"), Budget(sampled_tokens=300))
    assert (trace.answer, trace.finish) == ("93", "budget")


def test_a_policy_that_cannot_read_the_instructions_uses_words() -> None:
    model = reads_at_most(150, talk((ASKED, "Answer: 93")))
    assert ask("plan-actions", model).answer == "93"
    trace = ask("plan-actions:path=search,by=logprob", model)
    assert (trace.answer, trace.nodes[trace.answer_node or 0].note) == ("93", "path: words")
    with pytest.raises(UserError, match="too long"):
        ask("plan-actions:path=plan+program", model)


def test_bad_options() -> None:
    with pytest.raises(UnknownName, match="plan\\+words"):
        ask("plan-actions:path=plan+word", policy("scripted"))
    with pytest.raises(UserError, match="expected 1 or more"):
        ask("plan-actions:path=search,samples=0", policy("scripted"))


@pytest.mark.parametrize("spec", ["plan-actions", "plan-actions:path=search,by=logprob,samples=1"])
@pytest.mark.parametrize("budget", [None, Budget(sampled_tokens=400)])
def test_same_seeds_same_answers_whatever_the_timing(spec: str, budget: Budget | None) -> None:
    in_any_concurrency(spec, problems(10), policy("scripted:p=0.5,delay=0.002"), budget=budget, seed=3)
