"""`stated`: how sure a policy says that it is, as a value by name."""

from __future__ import annotations

import re

from trivium.search.lm import LM, Chain, turn
from trivium.search.reply import if_it_fits
from trivium.types import Message, Question

HOW_SURE = "How sure are you that this solution is right? Reply with one number from 0 (wrong) to 1 (right)."

_NUMBER = re.compile(r"(?<![\w.])(\d{1,3}(?:\.\d+)?|\.\d+)\s?(%|/\s?100?\b)?")


async def stated(question: Question, lm: LM, source: Chain | str) -> float:
    """The confidence that the policy states when asked for a number from 0 to 1, at temperature 0; 0 if it says none.

    Lin et al. 2022, arXiv:2205.14334, who call it verbalized.  `90%`, `90` and `9/10` are read as 0.9.  It is asked in
    a turn of its own, so that the solution keeps its form.  Counts as a judge call.
    """
    response = source if isinstance(source, str) else source.response
    asked = turn(question, Message("assistant", response), Message("user", HOW_SURE))
    lm.count_judgement()
    said = await if_it_fits(lm.sample(asked, temperature=0.0, max_tokens=12))
    return confidence(said[0].text) if said else 0.0


def confidence(text: str) -> float:
    """The first number in a text, as a share of 1; 0 where there is none or it is no confidence."""
    found = _NUMBER.search(text)
    if found is None:
        return 0.0
    number, unit = float(found[1]), (found[2] or "").replace(" ", "")
    share = number / (10 if unit == "/10" else 100 if unit or number > 1 else 1)
    return share if share <= 1 else 0.0
