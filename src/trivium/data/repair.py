"""Training examples from wrong steps (see `trivium.data.errors`): put right in the text, or set against right ones."""

from __future__ import annotations

from collections.abc import Mapping

from trivium.data.errors import OTHER, Wrong, fixed, right_step
from trivium.learn.batch import Demonstration
from trivium.learn.preference import Preference
from trivium.policies.chat import Chat
from trivium.types import Problem

NOTICE = "Wait: "
"""What a revision says before it names the error."""
NAMES: Mapping[str, str] = {
    "operator": "sign",
    "skipped": "step",
    "previous": "value",
    "context": "number",
    "slip": "sum",
    OTHER: "line",
}
AGAIN = "Again."


def revision(problem: Problem, wrong: Wrong, *, again: bool = False) -> str:
    """A response that goes wrong, notices, names the error, and puts the step right; or, with `again`, starts anew."""
    rest = str(problem.solution) if again else "\n".join(fixed(problem, wrong))
    return f"{wrong.text}{NOTICE}{NAMES[wrong.kind]}.{f' {AGAIN}' if again else ''}\n{rest}"


def revised(
    policy: Chat, problem: Problem, wrong: Wrong, *, again: bool = False, learn_error: bool = True
) -> Demonstration:
    """A revision to imitate; unless `learn_error`, its wrong step is read and not learned."""
    prompt, text = policy.encode(problem.question.messages), revision(problem, wrong, again=again)
    if learn_error:
        return Demonstration(prompt, policy.encode_response(text))
    parts = ["".join(f"{line}\n" for line in wrong.lines[:-1]), f"{wrong.lines[-1]}\n", text[len(wrong.text) :]]
    before, error, after = policy.encode_text(parts[0]), policy.encode_text(parts[1]), policy.encode_response(parts[2])
    mask = (True,) * len(before) + (False,) * len(error) + (True,) * len(after)
    return Demonstration(prompt, before + error + after, mask)


def unharmed(problem: Problem, wrong: Wrong) -> Wrong:
    """The same beginning with a right step in the place of the wrong one: for a control that has nothing to repair."""
    return Wrong(wrong.kind, wrong.at, (*str(problem.solution).split("\n")[: wrong.at], right_step(problem, wrong)))


def solution_pair(policy: Chat, problem: Problem, wrong: str) -> Preference:
    """The written solution of a problem against a wrong response."""
    good, bad = policy.encode_response(str(problem.solution)), policy.encode_response(wrong)
    return Preference(policy.encode(problem.question.messages), good, bad)


def step_pair(policy: Chat, problem: Problem, wrong: Wrong) -> Preference:
    """After the right steps before it, the right step against the wrong one, each with the line or response ended."""
    before = "".join(f"{line}\n" for line in wrong.lines[:-1])
    last = wrong.at == str(problem.solution).count("\n")
    end = policy.encode_response("") if last else policy.encode_text("\n")
    good, bad = (policy.encode_text(line) + end for line in (right_step(problem, wrong), wrong.lines[-1]))
    return Preference(policy.encode(problem.question.messages) + policy.encode_text(before), good, bad)
