"""A small text shop in the manner of WebShop (Yao et al. 2022, arXiv:2207.01206): search, look, choose, buy."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Any, ClassVar

from trivium.errors import UserError
from trivium.tasks.base import at_least, deal, new_problem, stable_hash
from trivium.tasks.world import FORMAT, TOKENS_PER_ACTION, Episode, World, written
from trivium.types import Problem, Split

KINDS = ("backpack", "chair", "jacket", "kettle", "lamp", "mug", "pillow", "table", "tent", "umbrella")
TRAITS = (
    "cotton", "folding", "handmade", "leather", "light", "padded", "plastic", "quiet", "soft", "steel", "sturdy",
    "thermal", "washable", "waterproof", "wooden",
)  # fmt: skip
COLOURS = ("black", "blue", "brown", "green", "grey", "red", "white", "yellow")
SIZES = ("small", "medium", "large")
PAGE = 5
MOST_ITEMS = 90

Item = dict[str, Any]
"""id, kind, traits, colours, sizes, price."""


@dataclass(frozen=True, slots=True)
class Shop(World):
    """Buy what is asked for in a small text shop: search, click, choose, buy.

    `items` products of `kinds` kinds, each with `traits` traits, of which the request names all, besides a colour, a
    size and a price.  The reward is WebShop's: 0 for another kind of product, or else the share of the traits, options
    and price that were matched.  `steps` is the step limit.  Level: actions of the shortest purchase.
    """

    family: ClassVar[str] = "shop"
    items: int = 24
    kinds: int = 4
    traits: int = 2
    steps: int = 12

    def __post_init__(self) -> None:
        at_least("shop", 1, traits=self.traits)
        at_least("shop", 2, items=self.items)
        at_least("shop", 6, steps=self.steps)
        for key, value, most in (
            ("items", self.items, MOST_ITEMS), ("kinds", self.kinds, len(KINDS)), ("traits", self.traits, 5),
        ):  # fmt: skip
            if not 1 <= value <= most:
                raise UserError(f"task shop: {key}={value}; expected at most {most}")

    @property
    def max_tokens(self) -> int:
        return self.steps * TOKENS_PER_ACTION

    def problems(self, split: Split, n: int, seed: int = 0) -> list[Problem]:
        return deal(self.name, split, n, seed, self._draw)

    def environment(self, problem: Problem) -> Episode:
        return Visit(**problem.reference)

    def _draw(self, rng: random.Random) -> Problem | None:
        kinds = rng.sample(KINDS, self.kinds)
        stock = [_item(rng, number, kinds, self.traits) for number in rng.sample(range(10, 100), self.items)]
        best = rng.choice(stock)
        wish = {
            "kind": best["kind"],
            "traits": best["traits"],
            "options": [rng.choice(best["colours"]), rng.choice(best["sizes"])],
            "price": -(-best["price"] // 10) * 10,
        }
        actions = purchase(stock, best, wish)
        if len(actions) > self.steps:
            return None
        request = (
            f"Buy a {' '.join(wish['traits'])} {wish['kind']}, {wish['options'][0]}, {wish['options'][1]}, for at most "
            f"{wish['price']} dollars."
        )
        return new_problem(
            self.family,
            f"{request} {stable_hash(json.dumps(stock)):016x}",
            f"{request} You can: search WORDS, next, click ITEM, choose OPTION, back, buy. "
            f"You have {self.steps} steps.",
            system=FORMAT.format("search red mug"),
            reference={"stock": stock, "wish": wish, "limit": self.steps},
            gold=written(actions),
            answer_format="actions",
            level=len(actions),
        )


class Visit(Episode):
    """A visit to the shop, which ends with the first thing bought."""

    def __init__(self, stock: list[Item], wish: Item, limit: int) -> None:
        self._stock, self._wish = stock, wish
        super().__init__(limit)

    def begin(self) -> str:
        self._found: list[Item] = []
        self._page = 0
        self._item: Item | None = None
        self._chosen: dict[str, str] = {}
        self._bought = False
        return "Welcome to the shop. Search for something."

    def do(self, action: str) -> str | None:
        verb, _, rest = action.partition(" ")
        if verb == "search" and rest:
            self._found, self._page, self._item = search(self._stock, rest), 0, None
            return self._results()
        if self._item is None:
            return self._browse(verb, rest)
        if verb == "buy":
            self._bought = True
            return f"You have bought {self._item['id']}. Your score is {self.score():.2f}."
        if verb == "back":
            self._item = None
            return self._results()
        for option in ("colours", "sizes"):
            if verb in ("choose", "click") and rest in self._item[option]:
                self._chosen[option] = rest
                return self._look(self._item)
        return None

    def choices(self) -> str:
        if self._item is not None:
            options = [*self._item["colours"], *self._item["sizes"]]
            return ", ".join([*(f"choose {option}" for option in options), "buy", "back", "search WORDS"])
        more = ["next"] if self._more else []
        return ", ".join(["search WORDS", *(f"click {item['id']}" for item in self._shown), *more])

    def ended(self) -> bool:
        return self._bought

    def score(self) -> float:
        """r = [same kind] (matched traits + matched options + [price is low enough]) / (traits + options + 1)."""
        if not self._bought or self._item is None or self._item["kind"] != self._wish["kind"]:
            return 0.0
        wanted, options = self._wish["traits"], self._wish["options"]
        matched = len({*wanted} & {*self._item["traits"]}) + len({*options} & {*self._chosen.values()})
        cheap: bool = self._item["price"] <= self._wish["price"]
        return (matched + cheap) / (len(wanted) + len(options) + 1)

    def _browse(self, verb: str, rest: str) -> str | None:
        if verb == "next" and self._more:
            self._page += 1
            return self._results()
        for item in self._shown if verb == "click" else []:
            if item["id"] == rest:
                self._item, self._chosen = item, {}
                return self._look(item)
        return None

    @property
    def _shown(self) -> list[Item]:
        return self._found[self._page * PAGE : (self._page + 1) * PAGE]

    @property
    def _more(self) -> bool:
        return len(self._found) > (self._page + 1) * PAGE

    def _results(self) -> str:
        if not self._found:
            return "Nothing was found."
        lines = [f"{item['id']}: {item['traits'][0]} {item['kind']}, {item['price']} dollars" for item in self._shown]
        return "\n".join([*lines, "There are more: next"] if self._more else lines)

    def _look(self, item: Item) -> str:
        chosen = ", ".join(self._chosen.values()) or "nothing"
        return (
            f"{item['id']}: {' '.join(item['traits'])} {item['kind']}, {item['price']} dollars. Colours: "
            f"{', '.join(item['colours'])}. Sizes: {', '.join(item['sizes'])}. Chosen: {chosen}."
        )


def search(stock: list[Item], words: str) -> list[Item]:
    """What has any of the words in its kind or traits; most words first, then in the order of the stock."""
    wanted = set(words.split())
    hits = {item["id"]: len(wanted & {item["kind"], *item["traits"]}) for item in stock}
    return sorted((item for item in stock if hits[item["id"]]), key=lambda item: -hits[item["id"]])


def purchase(stock: list[Item], best: Item, wish: Item) -> list[str]:
    """The actions that buy `best` as it is wished for."""
    words = " ".join([*wish["traits"], wish["kind"]])
    page = search(stock, words).index(best) // PAGE
    choices = [f"choose {option}" for option in wish["options"]]
    return [f"search {words}", *["next"] * page, f"click {best['id']}", *choices, "buy"]


def _item(rng: random.Random, number: int, kinds: list[str], traits: int) -> Item:
    return {
        "id": f"item{number}",
        "kind": rng.choice(kinds),
        "traits": rng.sample(TRAITS, traits),
        "colours": rng.sample(COLOURS, 3),
        "sizes": rng.sample(SIZES, 2),
        "price": rng.randint(5, 99),
    }
