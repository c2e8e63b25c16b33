"""The contract every task keeps, as a function that anyone can run on a task of their own.

    >>> from trivium.tasks import task
    >>> check_task(task("sums"))
    []

In the spirit of Gymnasium's `check_env` and scikit-learn's `check_estimator`: each finding says what is wrong, with the
problem that shows it, and what was expected.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from trivium.errors import UserError
from trivium.registry import parse_spec
from trivium.tasks import TASKS
from trivium.tasks.base import gold_answer, leaks
from trivium.types import SPLITS, Problem, Split, Task, Verdict
from trivium.verify import PARSERS

GARBAGE = (
    "I do not know.", "?", "...", "{", "\\boxed{", "```", "Answer:", "lorem ipsum dolor sit amet", "\x00\ud800\u202e",
    "()" * 2000,
)  # fmt: skip
"""Responses that answer nothing: none may be judged `correct`, and none may make a verifier raise."""

MOST_LUCKY = 0.1
"""Share that chance explains: of near-misses that are right where answers are not numbers (another problem's query may
give the same result), and of prompts that contain the answer (`9 / 3` of a generator that does not avoid it)."""


def check_task(task: Task, *, n: int = 20, seeds: tuple[int, ...] = (0, 1, 2), extractive: bool = False) -> list[str]:
    """What breaks the contract of tasks, one sentence each; an empty list when nothing does.

    `n` problems of each split and seed are looked at (fewer where the task has fewer).  `extractive` permits prompts
    that contain the answer, as in reading comprehension.
    """
    hands = {(split, seeds[0]): _hand(task, split, n, seeds[0]) for split in SPLITS}
    for split, seed in itertools.product(SPLITS, seeds[1:]):
        hands[split, seed] = _hand(task, split, len(hands[split, seeds[0]]), seed)
    problems = [problem for (_, seed), hand in hands.items() for problem in hand if seed == seeds[0]]
    if not problems:
        return [f"{task.name}: deals no problems at all; expected some in every split"]
    checks: list[Iterator[str]] = [
        _check_named(task),
        _check_dealing(task, hands),
        _check_splits(hands),
        _check_problems(problems, extractive),
        _check_right(task, problems),
        _check_wrong(task, problems),
        _check_broken(task, problems),
    ]
    return [f"{task.name}: {finding}" for check in checks for finding in check]


def _hand(task: Task, split: Split, n: int, seed: int) -> list[Problem]:
    """`n` problems, or as many as there are."""
    while n:
        try:
            return task.problems(split, n, seed)
        except UserError:
            n //= 2
    return []


def _check_named(task: Task) -> Iterator[str]:
    if not task.summary.strip():
        yield "has no summary; the first line of its docstring is shown by `trivium list tasks`"
    if task.max_tokens < 1:
        yield f"max_tokens={task.max_tokens}; expected a generous cap on a response's tokens"
    if parse_spec(task.name)[0] in TASKS.where:
        again = TASKS.build(task.name)
        if again.name != task.name or _hand(again, "train", 1, 0) != _hand(task, "train", 1, 0):
            yield "its name does not build the same task again"


def _check_dealing(task: Task, hands: dict[tuple[Split, int], list[Problem]]) -> Iterator[str]:
    first = next(iter(hands))[1]
    for (split, seed), hand in hands.items():
        if seed == first and task.problems(split, len(hand), seed) != hand:
            yield f"{split} problems of seed {seed} differ from call to call; expected equal arguments, equal problems"
        fewer = len(hand) // 2
        if seed == first and [p.key for p in task.problems(split, fewer, seed)] != [p.key for p in hand[:fewer]]:
            yield f"{fewer} {split} problems of seed {seed} are not the first of {len(hand)}; expected the same list"
        if len({p.key for p in hand}) < len(hand):
            yield f"{split} problems of seed {seed} repeat a key; expected different problems"
        if wrong := [p.split for p in hand if p.split != split]:
            yield f"asked for {split}, dealt a problem marked {wrong[0]}"
    for split in SPLITS:
        if not hands[split, first]:
            yield f"has no {split} problems; expected some in every split"
        dealt = [[p.key for p in hand] for (s, _), hand in hands.items() if s == split and len(hand) > 2]
        if len(dealt) > 1 and all(keys == dealt[0] for keys in dealt):
            yield f"every seed deals the same {split} problems in the same order"


def _check_splits(hands: dict[tuple[Split, int], list[Problem]]) -> Iterator[str]:
    home: dict[str, Split] = {}
    for (split, _), hand in hands.items():
        for problem in hand:
            if home.setdefault(problem.key, split) != split:
                yield f"problem {problem.key!r} is dealt in both {home[problem.key]} and {split}"
    ids: dict[str, str] = {}
    for problem in (p for hand in hands.values() for p in hand):
        if ids.setdefault(problem.question.id, problem.key) != problem.key:
            yield f"question id {problem.question.id!r} belongs to two problems"


def _check_problems(problems: list[Problem], extractive: bool) -> Iterator[str]:
    leaking: list[str] = []
    for problem in problems:
        try:
            json.dumps(problem.reference, allow_nan=False)
        except (TypeError, ValueError) as error:
            yield f"the reference of {problem.key!r} is not JSON: {error}"
        answer_format = problem.question.answer_format
        if answer_format not in PARSERS:
            yield f"answer format {answer_format!r} of {problem.key!r} is unknown; expected one of {', '.join(PARSERS)}"
        elif PARSERS[answer_format](problem.gold) is None:
            yield f"the {answer_format} parser reads nothing from the gold of {problem.key!r}, so it cannot vote"
        elif leaked := leaked_answer(problem):
            leaking.append(f"the prompt of {problem.key!r} contains the gold answer {leaked!r}")
    if not extractive and len(leaking) > MOST_LUCKY * len(problems):
        yield f"{leaking[0]}; so do {len(leaking)} of {len(problems)} prompts"


def leaked_answer(problem: Problem) -> str | None:
    """The gold answer if the prompt contains it, where the prompt does not list all possible answers anyway."""
    answer = gold_answer(problem)
    prompt = "\n".join(message.content for message in problem.question.messages)
    return answer if leaks(answer, prompt) else None


def _check_right(task: Task, problems: list[Problem]) -> Iterator[str]:
    for problem in problems:
        judged = task.verify(problem, problem.gold)
        if not judged.correct:
            yield f"the gold response of {problem.key!r} is judged {judged.status} ({judged.detail}); expected correct"
        if problem.solution is not None and (needed := _tokens(problem.solution)) > task.max_tokens:
            yield f"the solution of {problem.key!r} takes {needed} tokens, max_tokens={task.max_tokens} cuts it off"
        if problem.solution is not None and not (worked := task.verify(problem, problem.solution)).correct:
            yield f"the solution of {problem.key!r} is judged {worked.status} ({worked.detail}); expected correct"
        saved = replace(problem, reference=json.loads(json.dumps(problem.reference, default=str)))
        if not task.verify(saved, problem.gold).correct:
            yield f"the gold of {problem.key!r} is no longer correct once its reference went through JSON"


def _tokens(text: str) -> int:
    """What a common tokenizer makes of `text`, roughly: a digit, a word of up to six letters, a sign, a line break."""
    return len(re.findall(r"[0-9]|[^\W\d]{1,6}|[^\w\s]|\n", text))


def _check_wrong(task: Task, problems: list[Problem]) -> Iterator[str]:
    tried = lucky = 0
    shown = ""
    for i, problem in enumerate(problems):
        for response in ("", " \n", *GARBAGE):
            if finding := _not_correct(task, problem, response):
                yield finding
        strict, loose = near_misses(problem, problems[i - 1])
        for response in strict:
            if finding := _not_correct(task, problem, response):
                yield finding
        tried += len(loose)
        for response in loose:
            if finding := _not_correct(task, problem, response):
                lucky, shown = lucky + 1, finding
    if lucky > MOST_LUCKY * tried:
        yield f"{lucky} of {tried} near-misses are judged correct, such as: {shown}"


def near_misses(problem: Problem, other: Problem) -> tuple[list[str], list[str]]:
    """Responses close to the gold one: those that must be wrong, and those that are wrong save by chance."""
    read: Callable[[str], str | None] = PARSERS.get(problem.question.answer_format, PARSERS["text"])
    strict: list[str] = []
    if problem.question.answer_format == "number":
        digits = [m.start() for m in re.finditer("[0-9]", problem.gold)]
        changed = [problem.gold[:i] + str((int(problem.gold[i]) + 1) % 10) + problem.gold[i + 1 :] for i in digits[-3:]]
        strict = [*changed, problem.gold + "1", "-" + (read(problem.gold) or "")]
        strict = [response for response in strict if read(response) != read(problem.gold)]
    loose = [problem.gold[: len(problem.gold) // 2]]
    if other.question.answer_format == problem.question.answer_format and read(other.gold) != read(problem.gold):
        loose.append(other.gold)
    return strict, loose


def _not_correct(task: Task, problem: Problem, response: str) -> str | None:
    try:
        verdict: Verdict = task.verify(problem, response)
    except Exception as error:
        return f"verify raises {type(error).__name__} on {response[:40]!r} for {problem.key!r}; expected Verdict.error"
    if verdict.correct:
        return f"{response[:80]!r} is judged correct for {problem.key!r}, whose gold is {problem.gold[:80]!r}"
    return None


def _check_broken(task: Task, problems: list[Problem]) -> Iterator[str]:
    problem = problems[0]
    references: tuple[object, ...] = (None, [], {"broken": True})
    for broken in references:
        status = task.verify(replace(problem, reference=broken), problem.gold).status
        if status != "error":
            yield f"with the broken reference {broken!r} the verdict is {status}; expected error: not paid, not wrong"
