"""`reflect`: try again with a memory of what went wrong."""

from __future__ import annotations

from trivium.errors import UserError
from trivium.search.acting import SOLVED, after, play
from trivium.search.lm import LM, reworded, turn
from trivium.types import Answer, Message, Question

FAILED = (
    "This attempt has failed. In one sentence, say what went wrong and what to do differently the next time. "
    "Reply with that sentence and nothing else."
)


async def reflect(
    question: Question,
    lm: LM,
    *,
    trials: int = 3,
    memory: int = 3,
    thoughts: bool = True,
    temperature: float = 0.0,
    max_steps: int = 30,
    repeats: int = 3,
    max_tokens: int = 48,
    lesson_tokens: int = 96,
    solved: str = SOLVED,
) -> Answer:
    """Act; after a failure say what to do differently, and begin again with that in mind (Reflexion).

    Shinn et al. 2023, arXiv:2303.11366: up to 3 lessons are kept; an episode has failed after 30 actions, or when the
    same action meets the same observation more than 3 times.  They go up to 12 trials in ALFWorld; here it is `trials`.
    Whether an episode failed is read from the environment's own last observation, never from the reference: a trial
    costs its steps and tokens like any other, and is worth what a world gives away when it ends.  The last node of each
    trial is noted with its number.  The answer is the solved trial's, or else the last one's.  Abstention and
    confidence as in `act`.
    """
    if trials < 1 or memory < 0:
        raise UserError(f"reflect: trials={trials}, memory={memory}; expected 1 or more trials, and 0 or more lessons")
    labels = ("Thought",) if thoughts else ()
    decide = after(lm, labels, max_tokens=max_tokens, temperature=temperature)
    lessons: list[str] = []
    for trial in range(1, trials + 1):
        asked = _remembering(question, lessons[-memory:] if memory else [])
        played = await play(asked, lm, decide, max_steps=max_steps, solved=solved, repeats=repeats, offer=trial == 1)
        answer = played.answer(lm)
        lm.offer(answer)
        outcome = "solved" if played.solved else "failed"
        lm.note(played.chain, note=f"trial {trial} of {trials}: {outcome} after {played.steps} steps")
        if played.solved or trial == trials:
            break
        about = turn(asked, Message("assistant", played.said), Message("user", FAILED))
        [said] = await lm.sample(about, temperature=temperature, max_tokens=lesson_tokens)
        lessons += [lesson] if (lesson := " ".join(said.text.split())) else []
    return answer


def _remembering(question: Question, lessons: list[str]) -> Question:
    """The question with lessons below it."""
    if not lessons:
        return question
    told = "\n".join(["What you learnt from attempts that failed:", *(f"- {lesson}" for lesson in lessons)])
    return reworded(question, "", f"\n{told}")
