"""`act` and `act-with-state`: reason and act in turns, with or without a state that is written down each turn."""

from __future__ import annotations

from trivium.errors import UserError
from trivium.search.acting import SOLVED, after, play
from trivium.search.lm import LM
from trivium.types import Answer, Question


async def act(
    question: Question,
    lm: LM,
    *,
    thoughts: bool = True,
    temperature: float = 0.0,
    max_steps: int = 50,
    max_tokens: int = 48,
    history: int = 0,
    solved: str = SOLVED,
) -> Answer:
    """Think, act and observe in turns until the episode is over; thoughts=false acts alone (ReAct).

    Yao et al. 2023, arXiv:2210.03629: a thought before every action, greedy decoding, at most 50 steps as in their
    ALFWorld runs.  They show worked episodes; here the question alone says what can be typed.  `max_tokens` is for one
    line; `history` is how many turns stay in view, 0 for all.  It abstains where no action was written; confidence 1
    means that the environment said `solved`, 0 that the episode ended otherwise.
    """
    labels = ("Thought",) if thoughts else ()
    decide = after(lm, labels, max_tokens=max_tokens, temperature=temperature)
    return (await play(question, lm, decide, max_steps=max_steps, solved=solved, history=history)).answer(lm)


async def act_with_state(
    question: Question,
    lm: LM,
    *,
    keys: str = "goal+state+thought",
    temperature: float = 0.0,
    max_steps: int = 50,
    max_tokens: int = 48,
    history: int = 0,
    solved: str = SOLVED,
) -> Answer:
    """Write down the goal, the state and a thought before every action, in fixed lines (StateAct).

    Rozanov and Rei 2024, arXiv:2410.02810: lines of plain `key: value` text, all earlier turns in view, temperature 0.
    Their keys are goal, locations visited, current location, inventory and thought; one `state` stands for the middle
    three, because not every world has places: `keys=goal+visited+location+inventory+thought` has them all.  They show
    two annotated episodes of the same kind of task, and repair the form of some actions; neither is done here.  With
    `history`, what was written down is all that is left of earlier turns.  Abstention and confidence as in `act`.
    """
    labels = tuple(key.strip().capitalize() for key in keys.split("+"))
    if not all(labels) or {"Action", "Observation"} & {*labels}:
        raise UserError(f"keys={keys!r}: expected names joined by +, such as goal+state+thought, none of them action")
    decide = after(lm, labels, max_tokens=max_tokens, temperature=temperature)
    return (await play(question, lm, decide, max_steps=max_steps, solved=solved, history=history)).answer(lm)
