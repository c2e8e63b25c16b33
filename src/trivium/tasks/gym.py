"""The generators of reasoning-gym (arXiv:2505.24760), scored by their own scorers: `gym:countdown,min_numbers=3`.

Options go to the generator's own configuration.  The split of a problem follows from its question's text, so however a
generator repeats itself, no question is in two splits.  A problem is dealt only if its scorer accepts its own answer
and refuses nonsense.

Some scorers evaluate the answer as Python.  They see an answer only if it calls nothing but mathematical functions.
"""

from __future__ import annotations

import functools
import itertools
import random
import re
from typing import Any

from trivium.errors import UnknownName, UserError
from trivium.registry import format_spec
from trivium.sandbox.outcome import Outcome
from trivium.sandbox.worker import ask
from trivium.tasks.base import deal, guarded, new_problem, stable_hash
from trivium.types import Problem, Split, Verdict
from trivium.verify.parse import parse_answer

UNUSABLE = {
    "boxnet": "it deals questions without an answer",
    "composite": "it is a mixture of other generators; name one of those",
    "game_of_life_halting": "its scorer takes whatever is not 'True' for 'False'",
    "graph_color": "it deals questions without an answer",
    "propositional_logic": "it deals questions without an answer",
    "rubiks_cube": "it deals questions without an answer",
    "rush_hour": "it deals questions without an answer",
}
"""Generators that cannot be used, and why: they have no answer that must be paid, or pay what is no answer."""

EVALUATED = frozenset(
    {
        *("binary_matrix", "n_queens", "spiral_matrix", "string_insertion"),  # eval
        *(
            "countdown",
            "intermediate_integration",
            "polynomial_multiplication",
            "puzzle24",
            "simple_integration",
        ),  # sympy
    }
)
"""Generators whose scorers evaluate the answer."""

_FUNCTIONS = frozenset(
    ("sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "exp", "log", "ln", "sqrt")
)
_CALL = re.compile(r"([^\W\d]\w*|[\])}\"'])\s*\(")
_MAKE_SECONDS, _SCORE_SECONDS, _SCORE_MB = 60.0, 5.0, 512
_MAX_FAILURES = 20


class Gym:
    """Problems of one reasoning-gym generator, scored by its own scorer; `gym:NAME,option=value`."""

    family = "gym"

    def __init__(self, dataset: str, **options: str) -> None:
        if dataset not in gym_names():
            raise UnknownName("reasoning-gym generator", dataset, gym_names())
        if dataset in UNUSABLE:
            raise UserError(f"gym:{dataset} cannot be used: {UNUSABLE[dataset]}")
        defaults = _worker("config", dataset=dataset)["config"]
        for key in options:
            if key not in defaults:
                raise UnknownName(f"option of gym:{dataset}:", key, defaults)
        self.dataset = dataset
        self.name = format_spec(self.family, options, [dataset])
        self._options = {key: _convert(dataset, key, text, defaults[key]) for key, text in options.items()}
        checked = _worker("check", dataset=dataset, options=self._options)
        if "failed" in checked:
            raise UserError(f"task {self.name}: the generator refuses these options: {checked['failed']}")

    @property
    def summary(self) -> str:
        return f"The reasoning-gym generator {self.dataset}, scored by its own scorer."

    @property
    def max_tokens(self) -> int:
        return 1024

    def problems(self, split: Split, n: int, seed: int = 0) -> list[Problem]:
        first = stable_hash(self.name, seed) % 2**31
        indices = itertools.count()
        failures: list[str] = []

        def draw(_: random.Random) -> Problem | None:
            made = self._make(first, next(indices))
            if isinstance(made, str):
                failures.append(made)
                if len(failures) >= _MAX_FAILURES:
                    raise UserError(f"task {self.name} fails to make problems: {made}")
                return None
            failures.clear()
            return made if made.split == split else None

        return deal(self.name, split, n, seed, draw)

    @guarded
    def verify(self, problem: Problem, response: str) -> Verdict:
        reference = problem.reference
        given = {key: reference[key] for key in ("dataset", "options", "seed", "index", "fingerprint")}
        said = parse_answer("final", response)
        if said is None:
            return Verdict.unparseable("no answer found")
        if given["dataset"] in EVALUATED and not harmless(said):
            return Verdict.wrong(said, detail="the answer is more than an expression or plain data", own=0.0)
        scored = _worker("score", said=said, memory_mb=_SCORE_MB, **given)
        if "failed" in scored:
            return Verdict.error(f"the scorer of gym:{given['dataset']} failed: {scored['failed']}")
        score = min(1.0, max(0.0, scored["score"]))
        if score >= 1.0:
            return Verdict.right(said, own=1.0)
        return Verdict.wrong(said, own=score)

    def _make(self, seed: int, index: int) -> Problem | str:
        """The problem at `index` of the stream that `seed` starts, or why there is none."""
        given = {"dataset": self.dataset, "options": self._options, "seed": seed, "index": index}
        made = _worker("make", **given)
        if "failed" in made:
            return str(made["failed"])
        question, answer = made["question"], made["answer"]
        if not answer or parse_answer("final", f"<answer>{answer}</answer>") is None:
            return "a question without an answer"
        if made["own"] < 1.0:
            return f"its scorer gives its own answer {made['own']:g}"
        if made["nonsense"] >= 1.0:
            return "its scorer accepts nonsense"
        return new_problem(
            f"gym-{self.dataset}",
            question,
            f"{question.rstrip()}\n\nGive the final answer between <answer> and </answer>.",
            reference={**given, "fingerprint": made["fingerprint"]},
            gold=f"<answer>{answer}</answer>",
            answer_format="final",
        )


@functools.cache
def gym_names() -> list[str]:
    """The names of all reasoning-gym generators."""
    found: list[str] = _worker("names")["names"]
    return found


def harmless(answer: str) -> bool:
    """True if evaluating `answer` as Python could only compute: no calls but of mathematical functions, no dunders."""
    called = (match[1] for match in _CALL.finditer(answer))
    return all(name in _FUNCTIONS for name in called) and not re.search(r"__|\\|#|\blambda\b|[`;@]", answer)


def _worker(verb: str, **request: Any) -> dict[str, Any]:
    seconds = _SCORE_SECONDS if verb == "score" else _MAKE_SECONDS
    answer = ask("trivium.tasks.gym_worker", {"verb": verb, **request}, seconds)
    return {"failed": answer.message} if isinstance(answer, Outcome) else answer


def _convert(dataset: str, key: str, text: str, default: Any) -> Any:
    """A textual option as a value like the default; several values are written `a;b;c`."""
    try:
        if isinstance(default, list):
            kind = default[0] if default else ""
            return [_convert(dataset, key, part, kind) for part in text.split(";")]
        if isinstance(default, bool):
            return {"true": True, "false": False, "1": True, "0": False}[text.lower()]
        if isinstance(default, (int, float)):
            return type(default)(text)
    except (ValueError, KeyError):
        wanted = "list of values, as a;b;c" if isinstance(default, list) else type(default).__name__
        raise UserError(f"gym:{dataset}: {key}={text!r} is not a valid {wanted}; the default is {default!r}") from None
    if default is None and re.fullmatch(r"[+-]?\d+", text):
        return int(text)
    return text
