"""`self-test`: the model writes candidates, and in calls of their own the tests that choose among them."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from trivium.search import check_counts
from trivium.search.lm import LM, Chain, reworded, turn
from trivium.search.programs import abstaining, parse_python, read_program
from trivium.search.reply import if_it_fits
from trivium.types import Answer, Message, Question
from trivium.verify.parse import parse_answer

Feedback = Literal["none", "type", "full"]

_TESTS = (
    "\n\nDo not write that program. Write tests for it that the examples do not show, with simple, empty and large "
    "inputs: one assert a line, between ```python and ```."
)
_CHECK = (
    "\n\nDo not answer that. Write a short Python function check(answer) that gets an answer as text and returns True "
    "if it is right and False if it is wrong. Reply with the function only, between ```python and ```."
)
_REVISE = "That fails its tests{why}.\nWrite it again, corrected."


class Fault(NamedTuple):
    """Why an answer fails a test set: the type of the error, and all of it."""

    kind: str
    reason: str


async def self_test(
    question: Question,
    lm: LM,
    *,
    candidates: int = 5,
    tests: int = 10,
    accept: int = 3,
    rounds: int = 5,
    feedback: Feedback = "full",
    temperature: float = 0.7,
    max_tokens: int = 256,
) -> Answer:
    """Rank candidates by how many test sets of the model's own they pass, and revise the best until enough pass.

    Huang et al. 2023, arXiv:2308.08784 (CodeCoT): a failing program is shown its error and written again; and their
    later AgentCoder, arXiv:2312.13010: tests are written without seeing the code, 5 candidates meet 10 sets of tests,
    the best is accepted from 3 sets on, or else both are drawn anew, 5 times.  `feedback` is what a revision sees of
    the error: nothing, its type, or all of it; with `none` candidates are only drawn again.  Departs in testing any
    question: where it does not ask for a program, a test is a function that judges an answer's text.  Assertions that
    the question itself shows are dropped, and sets without a test left count for nobody.  Equal candidates are tested
    once; ties go to what more candidates say, then to the first.  Candidates without an answer abstain.  Confidence:
    the share of the test sets that the answer passes.
    """
    check_counts("self-test", candidates=candidates, tests=tests, rounds=rounds)
    of_program = question.answer_format == "program"
    testing = reworded(question, "", _TESTS if of_program else _CHECK)
    asked, best, top, fault = question, None, (-1, 0), Fault("", "")
    for _ in range(rounds):
        drawing = lm.sample(asked, n=candidates, temperature=temperature)
        chains = await (drawing if best is None else if_it_fits(drawing))
        if chains is None:
            break
        groups = _by_answer(question, chains)
        if best is None:
            best = next((g[0].answering(a) for a, g in groups.items()), abstaining(chains[0]))
            lm.offer(best)
        drafts = await lm.sample(testing, n=tests, temperature=temperature, max_tokens=max_tokens)
        sets = [found for draft in drafts if (found := (_assertions if of_program else _check)(question, draft))]
        for answer, group in groups.items():
            faults = await lm.map(functools.partial(_fault, lm, answer, of_program), sets)
            passed = faults.count(None)
            for chain in group:
                lm.note(chain, score=passed / len(sets) if sets else None)
            if (passed, len(group)) > top:
                top, best = (passed, len(group)), group[0].answering(answer, passed / len(sets) if sets else None)
                fault = next((f for f in faults if f is not None), Fault("", ""))
                lm.offer(best)
        if top[0] >= min(accept, tests):
            break
        if feedback != "none" and best.value is not None:
            why = fault.kind if feedback == "type" else fault.reason
            revise = _REVISE.format(why=f": {why}" if why else "")
            asked = turn(question, Message("assistant", best.response), Message("user", revise))
    assert best is not None
    return best


def _by_answer(question: Question, chains: Sequence[Chain]) -> dict[str, list[Chain]]:
    """The chains that say an answer, by that answer; one that the budget cut says none."""
    groups: dict[str, list[Chain]] = {}
    for chain in chains:
        whole = chain.finish != "budget"
        answer = parse_answer(question.answer_format, chain.response) if whole else None
        if answer is not None:
            groups.setdefault(answer, []).append(chain)
    return groups


def _assertions(question: Question, chain: Chain) -> str | None:
    """The assert lines of a reply that call something and do not stand in the question; `None` if none is left."""
    shown = _squeezed(question.messages[-1].content)
    kept = []
    for line in map(str.strip, chain.response.splitlines()):
        tree = parse_python(line) if line.startswith("assert") else None
        only = tree.body[0] if tree is not None else None
        if isinstance(only, ast.Assert) and _squeezed(ast.unparse(only.test)) not in shown:
            kept += [line] if any(isinstance(node, ast.Call) for node in ast.walk(only.test)) else []
    return "\n".join(kept) or None


def _check(question: Question, chain: Chain) -> str | None:
    """The program in a reply that defines `check`."""
    code = read_program(chain)
    tree = parse_python(code) if code is not None else None
    names = [s.name for s in tree.body if isinstance(s, ast.FunctionDef)] if tree is not None else []
    return code if "check" in names else None


async def _fault(lm: LM, answer: str, of_program: bool, test: str) -> Fault | None:
    """What is wrong with an answer by a test set; `None` if it passes."""
    if of_program:
        outcome = await lm.run(f"{answer}\n{test}")
    else:
        outcome = await lm.run(f"{test}\ncheck(_answer)", inputs={"_answer": answer})
    if not outcome.ok:
        return Fault(outcome.error or outcome.status, outcome.reason)
    return None if of_program or outcome.value is True else Fault("", "a check of it says False")


def _squeezed(text: str) -> str:
    """Text without white space, and with one kind of quotes."""
    return re.sub(r"\s", "", text).replace('"', "'")
