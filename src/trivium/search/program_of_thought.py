"""`program-of-thought`: the model writes a program, and the sandbox does the computing."""

from __future__ import annotations

import functools

from trivium.sandbox import Backend
from trivium.search.lm import LM, Chain, reworded, turn
from trivium.search.programs import abstaining, concluding, read_program, value_of, with_value
from trivium.search.reply import if_it_fits
from trivium.types import Answer, Message, Question

INSTRUCTION = (
    "\n\nWrite a short Python program that computes the answer and stores it in a variable named ans. "
    "Reply with the program only, between ```python and ```."
)
AFTER_PROGRAM = "```\n\n"
"""Ends a reply: what follows the program is an explanation that nobody reads."""
REPAIR = "That does not work. {fault}\nWrite the corrected program."


async def program_of_thought(
    question: Question,
    lm: LM,
    *,
    repairs: int = 1,
    temperature: float = 0.0,
    max_tokens: int = 256,
    backend: Backend = "monty",
) -> Answer:
    """Write a program, run it in the sandbox, repair it once from the error message, and answer what it gives.

    Chen et al. 2022, arXiv:2211.12588: greedy, without demonstrations; the answer is the value of `ans`, or of a solver
    function.  Departs in also reading the last expression and what is printed, in showing the model its failed program
    and the reason (`repairs` times), and in never asking for the answer in words.  A question that asks for a program
    is answered by the program itself, once it loads.  Abstains when no program ends well with an answer in the
    question's format; there is no confidence.  `max_tokens` limits one program; bubblewrap runs full Python.
    """
    lm.begin(question)
    asked = question if question.answer_format == "program" else reworded(question, "", INSTRUCTION)
    write = functools.partial(
        lm.sample, temperature=temperature, max_tokens=max_tokens, stop=(*lm.sampling.stop, AFTER_PROGRAM)
    )
    [chain] = await write(asked)
    for left in range(max(0, repairs), -1, -1):
        lm.offer(abstaining(chain))
        answer, fault = await _attempt(question, chain, lm, backend)
        lm.note(chain, score=float(answer is not None), note=fault)
        if answer is not None:
            return answer
        if left:
            asked = turn(asked, Message("assistant", chain.response), Message("user", REPAIR.format(fault=fault)))
            again = await if_it_fits(write(asked))
            if again is None:
                break
            [chain] = again
    return abstaining(chain)


async def _attempt(question: Question, chain: Chain, lm: LM, backend: Backend) -> tuple[Answer | None, str]:
    """The answer that the program in a reply gives, or why it gives none."""
    code = read_program(chain)
    if code is None:
        return None, "There is no whole program in the reply."
    itself = question.answer_format == "program"
    outcome = await lm.run(code if itself else with_value(code), backend=backend)
    if not outcome.ok:
        return None, outcome.reason
    answer = concluding(lm, question, code if itself else value_of(outcome))
    return answer, "" if answer else "The program gives no value that answers the question."
