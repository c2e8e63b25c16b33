"""Rules about three words, where every step needs to know something of a word: whether it is an animal, its colour."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from trivium.errors import UserError
from trivium.sandbox import Outcome, Suspended, start_program
from trivium.tasks.base import Described, deal, guarded, judged, new_problem
from trivium.types import Problem, Split, Verdict
from trivium.verify.parse import line

Kind = Literal["animal", "food", "tool", "cloth", "vehicle", "plant"]
Place = Literal["first", "second", "third"]
Ask = Literal["colour", "size"]

_TABLE = """\
animal  big   horse brown, whale blue, tiger yellow, panda white, crocodile green, bull red
animal  small frog green, mouse brown, wasp yellow, lamb white, ladybird red, minnow blue
food    big   pumpkin yellow, cabbage green, loaf brown, cake white, ham red, cheese blue
food    small cherry red, lemon yellow, pea green, garlic white, walnut brown, plum blue
tool    big   ladder yellow, anvil blue, barrow green, bench brown, crane red, plough white
tool    small brush white, file blue, hammer brown, pliers red, level yellow, clamp green
cloth  big   coat brown, robe white, gown blue, cape red, poncho green, raincoat yellow
cloth  small sock white, glove brown, tie red, scarf green, cap blue, ribbon yellow
vehicle big   bus red, tractor green, ferry white, tram blue, digger yellow, wagon brown
vehicle small bicycle blue, kayak green, scooter red, taxi yellow, canoe brown, sledge white
plant   big   oak brown, palm green, birch white, maple red, sunflower yellow, wisteria blue
plant   small moss green, daisy white, poppy red, buttercup yellow, bluebell blue, truffle brown"""


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
PLACES: tuple[Place, ...] = get_args(Place)


@dataclass(frozen=True, slots=True)
class WordRules(Described):
    """Follow a rule about three words: look at one of them, and what it is decides which other is asked about.

    If the word at `look` is of a `kind` (animal, food, tool, cloth, vehicle or plant), the answer is what is asked
    (`ask`: colour or size) of the word at `then`, else of the word at `other`.  With `told=false` the instruction says
    what to look at and what is asked, and nothing about the words to ask about, so that only examples can tell the
    rule.  Level: steps.
    """

    family: ClassVar[str] = "word-rules"
    look: Place = "first"
    kind: Kind = "animal"
    then: Place = "second"
    other: Place = "third"
    ask: Ask = "colour"
    told: bool = True

    def __post_init__(self) -> None:
        if self.then == self.other:
            raise UserError(f"task word-rules: then and other are both {self.then}; expected two different places")

    @property
    def max_tokens(self) -> int:
        return 64

    @property
    def instruction(self) -> str:
        """What the question says before the words."""
        seen = f"Is the {self.look} word {_named(self.kind)}?"
        if not self.told:
            return f"{seen} Say a {self.ask}."
        return f"{seen} If so say the {self.ask} of the {self.then}, else of the {self.other}."

    def problems(self, split: Split, n: int, seed: int = 0) -> list[Problem]:
        return deal(self.name, split, n, seed, self._draw)

    def steps(self, words: list[str]) -> dict[str, str]:
        """The result of every step by its name, the answer last."""
        seen = words[PLACES.index(self.look)]
        kind = WORDS[seen].kind
        fits = kind == self.kind
        place = self.then if fits else self.other
        chosen = words[PLACES.index(place)]
        said = WORDS[chosen].colour if self.ask == "colour" else WORDS[chosen].size
        found = {"seen": seen, "kind": kind, "fits": "yes" if fits else "no", "place": place}
        return {**found, "chosen": chosen, "answer": said}

    def words(self, rng: random.Random) -> list[str]:
        """Three words to follow the rule on."""
        mine = [name for name, word in WORDS.items() if word.kind == self.kind]
        words = rng.sample(list(WORDS), 3)
        if rng.random() < 0.5:  # or the kind would be met once in six times only
            at = PLACES.index(self.look)
            words[at] = rng.choice([name for name in mine if name not in words])
        return words

    def _draw(self, rng: random.Random) -> Problem:
        words = self.words(rng)
        said, steps = listed(words), self.steps(words)
        return new_problem(
            self.family,
            f"{self.look} {self.kind} {self.then} {self.other} {self.ask}: {said}",
            f"{self.instruction}\n\n### Input\n{said}",
            reference={"words": words, "answer": steps["answer"]},
            gold=steps["answer"],
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


def rules() -> Iterator[WordRules]:
    """Every rule once: no two of them give the same answers to all words."""
    for look, kind, then, other, ask in itertools.product(PLACES, get_args(Kind), PLACES, PLACES, get_args(Ask)):
        if then != other:
            yield WordRules(look=look, kind=kind, then=then, other=other, ask=ask)


def code(rule: WordRules) -> dict[str, str]:
    """The expression of every step of a rule, by the name of what it gives."""
    return {
        "seen": f"word_at('{rule.look}', items)",
        "kind": "kind_of(seen)",
        "fits": f"'yes' if kind == '{rule.kind}' else 'no'",
        "place": f"'{rule.then}' if fits == 'yes' else '{rule.other}'",
        "chosen": "word_at(place, items)",
        "answer": f"{rule.ask}_of(chosen)",
    }


def _assignments(rule: WordRules) -> dict[str, str]:
    return {name: f"{name} = {expression}" for name, expression in code(rule).items()}


def program(rule: WordRules, full: bool = True) -> str:
    """A rule as a Python function of the words in one text, whose helpers nobody defined; without `full` its plan only.

    It returns a dictionary of what every step gave, the answer last: `WordRules.steps` with its values.
    """
    does = _assignments(rule)
    kept = ", ".join(f"'{name}': {name}" for name in does if name != "answer")
    steps = [
        (f"see whether the {rule.look} is {_named(rule.kind)}", [does["seen"], does["kind"], does["fits"]]),
        (f"if so take the {rule.then}, else the {rule.other}", [does["place"], does["chosen"]]),
        (f"say its {rule.ask}", [f"return {{{kept}, 'answer': {code(rule)['answer']}}}"]),
    ]
    lines = ["def answer(items):"]
    for number, (plan, written) in enumerate(steps, 1):
        lines += [f"    # Step {number}: {plan}", *(f"    {line}" for line in written if full)]
    return "\n".join(lines if full else [*lines, "    return output"])


def follow(text: str, words: list[str]) -> str | None:
    """The answer of a program such as `program` gives, run in the sandbox with helpers that know every word.

    `None` where it fails, or calls a helper that no rule uses.
    """
    state: Outcome | Suspended = start_program(f"{text}\nanswer({listed(words)!r})")
    while isinstance(state, Suspended):
        if not state.is_call or state.name not in HELPERS:
            return None
        try:
            state = state.resume(HELPERS[state.name](*map(str, state.args)))
        except (KeyError, IndexError, TypeError, ValueError):
            return None
    answer = state.value.get("answer") if isinstance(state.value, dict) else None
    return None if answer is None else str(answer)


def listed(words: list[str]) -> str:
    """The words as questions and calls show them: no blanks, so that a word is the same token wherever it stands."""
    return ",".join(words)


def _named(kind: str) -> str:
    return f"an {kind}" if kind == "animal" else f"a {kind}"


HELPERS: dict[str, Callable[..., str]] = {
    "word_at": lambda place, text: text.split(",")[PLACES.index(place)],
    "kind_of": lambda word: WORDS[word].kind,
    "colour_of": lambda word: WORDS[word].colour,
    "size_of": lambda word: WORDS[word].size,
}
"""What the helpers of every rule's program would do."""


READS = {
    "seen": ("items",), "kind": ("seen",), "fits": ("kind",), "place": ("fits",), "chosen": ("items", "place"),
    "answer": ("chosen",),
}  # fmt: skip
"""What every step of a program needs to know."""


def facts(of: Sequence[WordRules], n: int, rng: random.Random) -> list[tuple[str, dict[str, str]]]:
    """`n` pieces of programs `of` rules, the values known before, and all that is known then.

    `fits = 'no'`, `place = 'first' if fits == 'yes' else 'third'` give `{'fits': 'no', 'place': 'third'}`.  A piece is
    one to six steps long.  What it reads is said again, the list of words too: who copies the list soon finds a word in
    it.
    """
    names, made = list(READS), []
    for _ in range(n):
        rule, first = rng.choice(of), rng.randrange(len(names))
        piece = names[first : rng.randint(first, len(names) - 1) + 1]
        if rng.random() < 0.3:  # to compare is learned last
            piece = ["kind", "fits"]
        words, does = rule.words(rng), _assignments(rule)
        known = {"items": listed(words), **rule.steps(words)}
        read = [name for name in known if name not in piece and any(name in READS[step] for step in piece)]
        lines = [*(f"{name} = {known[name]!r}" for name in read), *(does[step] for step in piece)]
        made.append(("\n".join(lines), {name: known[name] for name in (*read, *piece)}))
    return made
