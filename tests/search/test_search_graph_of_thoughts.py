"""Adaptive graphs of thoughts, on a policy whose every reply is written down."""

from __future__ import annotations

import attempts
import pytest
from attempts import notes
from hypothesis import given
from hypothesis import strategies as st

from trivium.policies.scripted import Script, Turn
from trivium.search.graph_of_thoughts import FIRST, HARD, Idea, read_ideas
from trivium.types import Budget, Message, Problem, Question, Trace

ASKED = "How old are both together?"
PROBLEM = Problem(Question("q", (Message("user", ASKED),), "number"), 30, "30", "k", "test", "toy")


def ask(spec: str, script: Script, budget: Budget | None = None) -> Trace:
    return attempts.ask(spec, script, budget, about=PROBLEM, max_tokens=80)


class Play:
    """Plans from a list, says which thoughts are hard, and knows some answers."""

    def __init__(self, plans: list[str], hard: tuple[str, ...] = (), merged: str = "Answer: 30") -> None:
        self.plans, self.hard, self.merged, self.heard = iter(plans), hard, merged, list[str]()

    def __call__(self, turn: Turn) -> str:
        text = turn.question
        self.heard.append(text)
        if text == ASKED:
            return "Answer: 12"
        if "Do not answer this yet" in text:
            return next(self.plans, "")
        if HARD in text:
            return "Yes." if any(f"{word}\n" in text for word in self.hard) else "no"
        if text.startswith(ASKED):
            return self.merged
        return f"It is {len(text) % 7}."


def test_layers_of_thoughts_are_put_together_into_one_answer() -> None:
    play = Play(["1. How old is Ann?\n2. How old is Bob?", "[2,1] What is the sum?", ""])
    trace = ask("graph-of-thoughts", play)
    assert trace.answer == "30"
    thoughts = notes(trace)
    assert thoughts == ["thought: How old is Ann?", "thought: How old is Bob?", "thought: What is the sum?"]
    [sum_asked] = [t for t in play.heard if t.endswith("What is the sum?")]
    assert sum_asked.index("1. How old is Bob?") < sum_asked.index("2. How old is Ann?"), "in the order it named"
    merged = play.heard[-1]
    assert all(text in merged for text in (ASKED, "How old is Ann? It is", "What is the sum? It is"))


def test_a_hard_thought_gets_a_graph_of_its_own_down_to_the_depth() -> None:
    plans = ["How old is Ann?", "When was she born?", "", ""]
    deep = ask("graph-of-thoughts:depth=1", Play(list(plans), hard=("How old is Ann?", "When was she born?")))
    assert "thought: When was she born?" in notes(deep)
    flat = Play(list(plans), hard=("How old is Ann?",))
    ask("graph-of-thoughts:depth=0", flat)
    assert not any(HARD in text for text in flat.heard), "where no graph may follow nobody asks"


def test_a_final_thought_ends_the_graph() -> None:
    play = Play(["How old is Ann?\nFINAL: What is twice that?\nHow tall?", "never asked"])
    trace = ask("graph-of-thoughts", play)
    assert notes(trace) == ["thought: What is twice that?"]
    assert trace.answer == "30"


@pytest.mark.parametrize("plans", [[], ["..."], ["", ""]])
def test_without_thoughts_the_direct_answer_stands(plans: list[str]) -> None:
    trace = ask("graph-of-thoughts", Play(plans))
    assert (trace.answer, trace.usage.calls) == ("12", 2)


def test_a_graph_that_leads_to_no_answer_does_not_replace_one() -> None:
    assert ask("graph-of-thoughts", Play(["How old is Ann?"], merged="I give up")).answer == "12"


@pytest.mark.parametrize("calls", [1, 2, 3, 4, 5])
def test_a_cut_budget_returns_the_direct_answer(calls: int) -> None:
    trace = ask("graph-of-thoughts", Play(["How old is Ann?\nHow old is Bob?", "more?"]), Budget(calls=calls))
    assert trace.answer == "12"
    assert trace.usage.calls <= calls


def test_no_more_than_width_thoughts_and_layers() -> None:
    many = "\n".join(f"Question {word}?" for word in "abcdefgh")
    others = "\n".join(f"Another {word}?" for word in "abcdefgh")
    play = Play([many, others, many])
    trace = ask("graph-of-thoughts:width=2,layers=2,depth=0", play)
    assert len([n for n in trace.nodes if n.note]) == 4
    assert sum("Do not answer this yet" in text for text in play.heard) == 2
    assert FIRST.format(n=2) in play.heard[1]


def test_plans_are_read_forgivingly() -> None:
    text = "1. How old is Ann?\n - **Q2: why?**\n\n---\n[1, 3,9] And then?\nFinal: [2] So what?\n7\n1. How old is Ann?"
    assert read_ideas(text, 3) == [
        Idea("How old is Ann?", ()),
        Idea("why?", ()),
        Idea("And then?", (0, 2)),
        Idea("So what?", (1,), final=True),
    ]


@given(st.text(max_size=80), st.integers(0, 4))
def test_any_text_is_read_and_no_thought_builds_on_itself_or_a_later_one(text: str, known: int) -> None:
    ideas = read_ideas(text, known)
    assert all(0 <= need < known for idea in ideas for need in idea.needs)
    assert len({idea.title for idea in ideas}) == len(ideas)
