"""Sums that want different ways to answer: at once, in words, or by a calculator, as they are or with names resolved.

`F+8*3` is meant from left to right, and F is a number that one has to know.  A calculator makes no mistakes, but it
knows no names and takes products first, without saying so; words follow the order and are as sure as whoever says them.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import ClassVar

from trivium.errors import UserError
from trivium.tasks.base import Described, at_least, deal, guarded, judged, leaks, new_problem
from trivium.types import Problem, Split, Verdict
from trivium.verify.expression import evaluate

KNOWN = dict(zip("ABCDEFGHIJKL", (17, 23, 12, 28, 14, 21, 19, 26, 13, 29, 16, 24), strict=True))
"""The numbers that names stand for, in every question."""
WAYS = ("d", "w", "p", "rd", "rw", "rp")
"""d says the answer directly, w in words, step by step, p writes a program for the calculator; with r before it the
question is rewritten first, its name replaced by the number.  A name has as many letters as the way has actions.
"""


@dataclass(frozen=True, slots=True)
class Ways(Described):
    """Sums from left to right for which no single way to answer is best.

    `min_steps` to `steps` operations after a number up to 30, or after a name that stands for one (in a share `named`
    of the questions).  In a share `big` what is added or taken has three digits, else one; in a share `product` one of
    the operations, at any place, is a product by 2 or 3.  A response begins with its way, as in `rp:21+345`; its last
    line is the answer, and a program is worked out by Python's rules.  Level: operations.
    """

    family: ClassVar[str] = "ways"
    steps: int = 3
    min_steps: int = 2
    named: float = 0.4
    big: float = 0.4
    product: float = 0.75

    def __post_init__(self) -> None:
        at_least("ways", 1, min_steps=self.min_steps)
        at_least("ways", self.min_steps, steps=self.steps)
        for key in ("named", "big", "product"):
            if not 0 <= getattr(self, key) <= 1:
                raise UserError(f"task ways: {key}={getattr(self, key)}; expected a share from 0 to 1")

    @property
    def max_tokens(self) -> int:
        return 24 + 20 * self.steps

    def problems(self, split: Split, n: int, seed: int = 0) -> list[Problem]:
        return deal(self.name, split, n, seed, self._draw)

    def _draw(self, rng: random.Random) -> Problem | None:
        count = rng.randint(self.min_steps, self.steps)
        text = rng.choice(list(KNOWN)) if rng.random() < self.named else str(rng.randint(2, 30))
        low, high = (100, 999) if rng.random() < self.big else (1, 9)
        product = rng.randrange(count) if rng.random() < self.product else None
        for place in range(count):
            number, least = rng.randint(low, high), int(in_words(text)[-1])
            if place == product:
                text += f"*{rng.randint(2, 3)}"
            else:
                text += f"{'-' if number <= least and rng.random() < 0.5 else '+'}{number}"
        answer = in_words(text)[-1]
        if leaks(answer, text):
            return None
        return new_problem(
            self.family, text, text, reference={"text": text, "answer": int(answer)}, gold=answer,
            answer_format="final", level=count, solution=said(text, "w"),
        )  # fmt: skip

    @guarded
    def verify(self, problem: Problem, response: str) -> Verdict:
        answer = read(response)
        if answer is None:
            return Verdict.unparseable("the last line is no number, or nothing that a calculator works out", format=0.0)
        return judged(answer == problem.reference["answer"], str(answer), {"format": 1.0})


def in_words(text: str) -> list[str]:
    """The operations of a question from left to right, and the result: `F+8=29`, `29*3=87`, `87`."""
    at, *steps = re.findall(r"^\w+|[+\-*]\d+", text)
    lines: list[str] = []
    for step in steps:
        now, number = KNOWN[at] if at in KNOWN else int(at), int(step[1:])
        result = now + number if step[0] == "+" else now - number if step[0] == "-" else now * number
        lines.append(f"{at}{step}={result}")
        at = str(result)
    return [*lines, str(KNOWN.get(at, at))]


def said(text: str, way: str) -> str:
    """What one says who goes a way about a question and makes no mistake, which need not be the right answer."""
    asked = re.sub(r"^[A-Z]", lambda name: str(KNOWN[name[0]]), text) if way[0] == "r" else text
    lines = {"d": in_words(asked)[-1:], "w": in_words(asked), "p": [asked]}[way[-1]]
    return f"{way}:" + "\n".join([asked, *lines] if way in ("rd", "rw") else lines)


def why(text: str) -> str:
    """What about a question decides which ways can be right: `name large late`, or `plain`.

    Whether it begins with a name, has large numbers, and has a product that a calculator would take too early.
    """
    found = {"name": text[0].isalpha(), "large": re.search(r"\d{3}", text), "late": re.search(r"[+-].*\*", text)}
    return " ".join(word for word, there in found.items() if there) or "plain"


def read(response: str) -> int | None:
    """The answer on the last line of a response, worked out where its way ends in a program or is not named."""
    way, colon, text = response.rpartition(":")
    last = text.strip().rpartition("\n")[2]
    if colon and not way.endswith("p"):
        return int(last) if re.fullmatch(r"-?[0-9]{1,12}", last) else None
    try:
        value, _ = evaluate(last)
    except ValueError:
        return None
    return int(value) if value.denominator == 1 else None
