"""Rules over lists of words, where every step needs to know something about words: what is an animal, what is big."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from trivium.sandbox import Outcome, Suspended, start_program
from trivium.tasks.base import Described, at_least, deal, guarded, judged, new_problem
from trivium.types import Problem, Split, Verdict
from trivium.verify.parse import line

Kind = Literal["animals", "foods", "tools", "clothes", "vehicles", "plants"]
Size = Literal["any", "big", "small"]
Cut = Literal["none", "rest", "most"]
Take = Literal["first", "last", "count", "parity"]

_TABLE = """\
animals  big   horse brown, whale blue, tiger yellow, panda white, crocodile green, bull red
animals  small frog green, mouse brown, wasp yellow, lamb white, ladybird red, minnow blue
foods    big   pumpkin yellow, cabbage green, loaf brown, cake white, ham red, cheese blue
foods    small cherry red, lemon yellow, pea green, garlic white, walnut brown, plum blue
tools    big   ladder yellow, anvil blue, barrow green, bench brown, crane red, plough white
tools    small brush white, file blue, hammer brown, pliers red, level yellow, clamp green
clothes  big   coat brown, robe white, gown blue, cape red, poncho green, raincoat yellow
clothes  small sock white, glove brown, tie red, scarf green, cap blue, ribbon yellow
vehicles big   bus red, tractor green, ferry white, tram blue, digger yellow, wagon brown
vehicles small bicycle blue, kayak green, scooter red, taxi yellow, canoe brown, sledge white
plants   big   oak brown, palm green, birch white, maple red, sunflower yellow, wisteria blue
plants   small moss green, daisy white, poppy red, buttercup yellow, bluebell blue, truffle brown"""


@dataclass(frozen=True, slots=True)
class Word:
    """What is known about a word."""

    kind: str
    size: str
    colour: str


WORDS: dict[str, Word] = {
    name: Word(kind, size, colour)
    for kind, size, listed in (row.split(maxsplit=2) for row in _TABLE.splitlines())
    for name, colour in (item.split() for item in listed.split(", "))
}
KINDS = get_args(Kind)


@dataclass(frozen=True, slots=True)
class WordLists(Described):
    """Follow a rule over a list of words: keep one kind, perhaps one size, leave one out, and say what is asked.

    `kind` is kept (animals, foods, tools, clothes, vehicles or plants), then `size` (big, small, or any), then `cut`
    leaves out the first (`rest`) or the last (`most`) of those; `take` says the colour of the `first` or the `last`,
    their `count`, or its `parity`.  With `told=false` the instruction names the kind and what sort of answer is wanted
    and nothing more, so that only examples can tell the rule.  `items` words a list.  Level: steps.
    """

    family: ClassVar[str] = "word-lists"
    kind: Kind = "animals"
    size: Size = "big"
    cut: Cut = "none"
    take: Take = "first"
    told: bool = True
    items: int = 8

    def __post_init__(self) -> None:
        at_least("word-lists", 4, items=self.items)

    @property
    def max_tokens(self) -> int:
        return 40 + 8 * self.items

    @property
    def instruction(self) -> str:
        """What the question says before the list."""
        if not self.told:
            return f"The {self.kind}: {_VAGUE[self.take]}"
        steps = [f"Take the {self.kind}"]
        steps += [] if self.size == "any" else [f"keep the {self.size} ones"]
        steps += [] if self.cut == "none" else [f"leave out the {'first' if self.cut == 'rest' else 'last'}"]
        return f"{', '.join(steps)}, and say {_ASKED[self.take]}."

    def problems(self, split: Split, n: int, seed: int = 0) -> list[Problem]:
        return deal(self.name, split, n, seed, self._draw)

    def steps(self, words: list[str]) -> dict[str, str | int]:
        """The result of every step by its name, the answer last: lists are words with spaces between."""
        found: dict[str, str | int] = {"kept": " ".join(kept := of_kind(words, self.kind))}
        if self.size != "any":
            found["sized"] = " ".join(kept := of_size(kept, self.size))
        if self.cut != "none":
            kept = kept[1:] if self.cut == "rest" else kept[:-1]
            found["cut"] = " ".join(kept)
        return found | {"answer": taken(kept, self.take)}

    def _draw(self, rng: random.Random) -> Problem | None:
        # Half the words are of the kind, so that lists do not run empty on the way.
        mine = [name for name, word in WORDS.items() if word.kind == self.kind]
        others = [name for name in WORDS if name not in mine]
        words = rng.sample(mine, self.items // 2) + rng.sample(others, self.items - self.items // 2)
        rng.shuffle(words)
        steps = self.steps(words)
        if any(value == "" for value in steps.values()):
            return None
        said = " ".join(words)
        return new_problem(
            self.family,
            f"{self.kind} {self.size} {self.cut} {self.take}: {said}",
            f"{self.instruction}\n\n### Input\n{said}",
            reference={"words": words, "answer": str(steps["answer"])},
            gold=str(steps["answer"]),
            answer_format="line",
            level=len(steps),
            solution="\n".join(f"{name}: {value}" for name, value in steps.items()),
        )

    @guarded
    def verify(self, problem: Problem, response: str) -> Verdict:
        said, wanted = line(response), problem.reference["answer"]
        if said is None:
            return Verdict.unparseable("no answer found", format=0.0)
        return judged(said.lower() == wanted, said, {"format": 1.0})


_VAGUE = {"first": "which colour?", "last": "which colour?", "count": "how many?", "parity": "odd or even?"}
_ASKED = {
    "first": "the colour of the first", "last": "the colour of the last", "count": "how many they are",
    "parity": "whether they are odd or even in number",
}  # fmt: skip


def of_kind(words: list[str], kind: str) -> list[str]:
    return [word for word in words if WORDS[word].kind == kind]


def of_size(words: list[str], size: str) -> list[str]:
    return [word for word in words if WORDS[word].size == size]


def taken(words: list[str], take: str) -> str | int:
    """The answer that a list gives; empty where the list is and a colour is asked."""
    if take == "count":
        return len(words)
    if take == "parity":
        return "odd" if len(words) % 2 else "even"
    return WORDS[words[0 if take == "first" else -1]].colour if words else ""


def rules() -> Iterator[WordLists]:
    """Every rule once: no two of them give the same answers to all lists."""
    every = (get_args(options) for options in (Kind, Size, Cut, Take))
    for kind, size, cut, take in itertools.product(*every):
        same = {("rest", "last"), ("most", "first"), ("most", "count"), ("most", "parity")}  # as another rule does
        if (cut, take) not in same:
            yield WordLists(kind=kind, size=size, cut=cut, take=take)


def program(rule: WordLists, code: bool = True) -> str:
    """A rule as a Python function of the words in one text, whose helpers nobody defined; without `code` its plan only.

    It returns a dictionary of what every step gave, the answer last: `WordLists.steps` with its values.
    """
    steps: list[tuple[str, str, str]] = [("kept", rule.kind, f"keep the {rule.kind}")]
    if rule.size != "any":
        steps.append(("sized", rule.size, f"keep the {rule.size} ones"))
    if rule.cut != "none":
        steps.append(("cut", rule.cut, "drop the " + ("first" if rule.cut == "rest" else "last")))
    lines, last = ["def answer(items):"], "items"
    for number, (name, helper, plan) in enumerate(steps, 1):
        lines += [f"    # Step {number}: {plan}", *([f"    {name} = {helper}({last})"] if code else [])]
        last = name
    asked = next(name for name, take in _TAKES.items() if take == rule.take)
    kept = ", ".join(f"'{name}': {name}" for name, *_ in steps)
    end = f"{{{kept}, 'answer': {asked}({last})}}" if code else "output"
    return "\n".join([*lines, f"    # Step {len(steps) + 1}: give the {asked.replace('_', ' ')}", f"    return {end}"])


def follow(text: str, words: list[str]) -> str | None:
    """The answer of a program such as `program` gives, run in the sandbox with helpers that know every word.

    `None` where it fails, or calls a helper that no rule uses.
    """
    state: Outcome | Suspended = start_program(f"{text}\nanswer({' '.join(words)!r})")
    while isinstance(state, Suspended):
        if not state.is_call or state.name not in _HELPERS or len(state.args) != 1:
            return None
        state = state.resume(_HELPERS[state.name](str(state.args[0]).split()))
    answer = state.value.get("answer") if isinstance(state.value, dict) else None
    return None if answer is None else str(answer)


_TAKES = {"colour_of_first": "first", "colour_of_last": "last", "count": "count", "parity": "parity"}
_HELPERS: dict[str, Callable[[list[str]], str | int]] = {
    **{kind: lambda words, kind=kind: " ".join(of_kind(words, kind)) for kind in KINDS},  # type: ignore[misc]
    "big": lambda words: " ".join(of_size(words, "big")),
    "small": lambda words: " ".join(of_size(words, "small")),
    "rest": lambda words: " ".join(words[1:]),
    "most": lambda words: " ".join(words[:-1]),
    **{name: lambda words, take=take: taken(words, take) for name, take in _TAKES.items()},  # type: ignore[misc]
}
