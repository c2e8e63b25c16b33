"""`route`: the cheap policy answers, and a dearer one only where the cheap one is unsure (a cascade)."""

from __future__ import annotations

from trivium.search import of
from trivium.search.driver import Method
from trivium.search.lm import LM, Scorer
from trivium.types import Answer, Question


async def route(
    question: Question,
    lm: LM,
    *,
    by: str | Scorer = "logprob",
    threshold: float = 0.9,
    last: str | Method | None = None,
) -> Answer:
    """Ask the policies from the cheapest on, and keep the first answer whose value `by` reaches the threshold.

    FrugalGPT, Chen, Zaharia and Zou 2023, arXiv:2305.05176.  The cheapest is the run's policy, then come its voices in
    the order given, so list them by price.  Each says one greedy chain; the last is not judged: what it says stands.
    `last` is a method for it to use instead.  Without voices the dear way is a vote by the same policy (`last=vote`).
    A reply without an answer, or cut by the budget, is passed on; if the last has none, the one before it stands.

    Departs: the paper trains the scorer and the threshold on labelled questions; here `by` names a value, and the
    threshold is yours to choose on problems that you do not report.  The confidence is the value that was enough, if it
    is in [0, 1], or that of the last method.  The trace notes who answered and the value of every reply.
    """
    ladder = [("the policy", lm), *((name, lm.voice(name)) for name in lm.voices)]
    fallback: Answer | None = None
    for name, speaker in ladder[:-1] or ladder:
        [chain] = await speaker.sample(question, temperature=0.0, top_p=1.0, top_k=0)
        answer = chain.answering(lm.answer(chain))
        if answer.value is None or chain.finish == "budget":
            lm.note(chain, note=f"{name}: no answer")
            if fallback is None:
                lm.offer(answer)
            continue
        lm.offer(answer)
        fallback = answer
        value = await speaker.value(chain, by, question=question)
        if value >= threshold:
            lm.note(chain, value=value, note=f"answered by {name}")
            return chain.answering(answer.value, value if 0 <= value <= 1 else None)
        lm.note(chain, value=value, note=f"{name}: unsure")
    name, speaker = ladder[-1]
    final = await of(last or ("greedy" if lm.voices else "vote"))(question, speaker)
    if final.value is None and fallback is not None:
        return fallback
    if final.node is not None:
        lm.note(final.node, note=f"answered by {name}" if lm.voices else "answered by the policy's vote")
    return final
