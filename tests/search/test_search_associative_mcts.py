"""Associations within a tree search: where they are told, what they are worth, and who is asked for them."""

from __future__ import annotations

import itertools

import attempts
import pytest
from attempts import reads_at_most

from trivium.errors import UnknownName
from trivium.policies.scripted import Script, Scripted, Turn
from trivium.search import METHODS
from trivium.search.associative_mcts import ASSOCIATE
from trivium.search.lm import LM
from trivium.types import Answer, Message, Problem, Question, Trace

QUESTION = Question("q", (Message("user", "Which way?"),), "number")
PROBLEM = Problem(QUESTION, 1, "Answer: 1", "k", "test", "toy")


def told(turn: Turn, fact: str = "The sky is blue.\nAnd more.") -> str:
    """Steps of two kinds; only with the fact in view is there an answer."""
    if turn.question == ASSOCIATE:
        return fact
    if not turn.said:
        return "first step\nAnswer: 5"
    return "Answer: 1" if "sky" in turn.said else "Answer: 2"


def ask(spec: str, script: Script, **voices: Script) -> Trace:
    brains = {name: Scripted(brain, name) for name, brain in voices.items()}
    return attempts.ask(spec, script, about=PROBLEM, max_tokens=80, voices=brains)


def test_an_association_enters_the_response_before_the_next_step() -> None:
    trace = ask("associative-mcts:n=4", told)
    assert trace.answer == "1"
    assert trace.response == "first step\nThe sky is blue.\nAnswer: 1"
    assert trace.answer_node is not None
    sources = [s.source for s in trace.path(trace.answer_node)]
    assert sources == ["prompt", "model", "tool", "model"]
    [thought] = [n for n in trace.nodes if n.note == "association"]
    assert thought.segment.text == "The sky is blue.\n"
    assert thought.value is not None
    assert 0 < thought.value < 1


@pytest.mark.parametrize("fact", ["", "  \n", "first step"])
def test_nothing_and_repetitions_are_left_out(fact: str) -> None:
    trace = ask("associative-mcts:n=4", lambda turn: told(turn, fact))
    assert trace.answer == "2"
    assert not any(n.segment.source == "tool" for n in trace.nodes)


def test_another_voice_may_do_the_associating() -> None:
    brain: Script = lambda turn: "In the sky there is an answer."  # noqa: E731
    silent: Script = lambda turn: told(turn, "")  # noqa: E731
    assert ask("associative-mcts:n=4,voice=brain", silent, brain=brain).answer == "1"
    with pytest.raises(UnknownName, match="brain"):
        ask("associative-mcts:n=4,voice=brian", silent, brain=brain)


def test_the_value_is_that_of_the_step_and_a_share_of_the_associations() -> None:
    facts = itertools.cycle(["worth it"])

    def script(turn: Turn) -> str:
        return next(facts) if turn.question == ASSOCIATE else "step\n" * 3

    def worth(question: Question, response: str) -> float:
        return 2.0 if "worth" in response and "step" not in response else 0.5

    async def associate(question: Question, lm: LM) -> Answer:
        search = METHODS.factory("associative-mcts")
        answer: Answer = await search(question, lm, n=1, branch=1, beta=0.25, by=worth)
        return answer

    trace = attempts.ask(associate, script, about=PROBLEM, max_tokens=40)
    step = next(n for n in trace.nodes if n.segment.text == "step\n")
    assert (step.visits, step.value) == (1, pytest.approx(0.5 + 0.25 * 2.0))


def test_associations_are_short() -> None:
    trace = ask("associative-mcts:n=4,association_tokens=5", lambda turn: told(turn, "The sky is blue."))
    assert {len(n.segment.ids) for n in trace.nodes if n.note == "association"} == {5}


def test_an_association_that_does_not_fit_is_left_out() -> None:
    asked = len(QUESTION.messages[0].content) + len("first step\n")
    trace = attempts.ask("associative-mcts:n=4", reads_at_most(asked + 20, told), about=PROBLEM, max_tokens=80)
    assert trace.answer == "2"
    assert trace.finish == "stop"
