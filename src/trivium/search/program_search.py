"""The search for one program that answers all questions of a task (CoTACS): its programs are what `emulate` follows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from trivium.errors import RunError, UserError
from trivium.search.attempt import call_seed
from trivium.search.driver import run, run_each
from trivium.search.emulate import HEADER, Mode, emulate, write_program
from trivium.types import Policy, Problem, Task, Trace, Usage

AT_ONCE = 1024
"""Emulations at a time, or those of one program if that is more: enough to keep an engine busy, few enough to hold."""

Hear = Callable[[str, int, int], None]
"""Told what is going on, how many programs are done and out of how many."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A program, the question it was written for, and its mean scores; `dev` is `None` for one that was not kept."""

    program: str
    question_id: str
    train: float
    dev: float | None = None


@dataclass(frozen=True, slots=True)
class Search:
    """What `search_program` found: the `kept` programs, best first, all that were `tried`, and what it cost.

    `passed` says whether those kept reached `alpha` on the train set.
    """

    kept: tuple[Candidate, ...]
    tried: tuple[Candidate, ...]
    passed: bool
    usage: Usage

    def text(self) -> str:
        """The kept programs as a file that `emulate:program=FILE` reads."""
        heads = [
            f"{HEADER}{i} of {len(self.kept)}: train {c.train:.3f}, dev {c.dev:.3f}, written for {c.question_id}"
            for i, c in enumerate(self.kept, 1)
        ]
        return "\n\n".join(f"{head}\n{c.program}\n" for head, c in zip(heads, self.kept, strict=True))


async def search_program(
    task: Task,
    policy: Policy,
    *,
    train: int = 300,
    dev: int = 700,
    candidates: int | None = None,
    keep: int = 1,
    alpha: float = 0.5,
    tries: int = 3,
    mode: Mode = "emulate",
    temperature: float = 0.7,
    max_tokens: int = 256,
    seed: int = 0,
    shown: bool = True,
    hear: Hear = lambda what, done, total: None,
) -> Search:
    """Write a program for train questions, score each on the whole train set, and keep the best by dev score.

    CoTACS of Weir et al. 2024, arXiv:2405.16337: 300 train and 700 dev questions, a program for every train question
    (`candidates` of them) at temperature 0.7, written again while its mean train score is below `alpha`, and `keep` of
    1 or 3; scores come from `emulate` at its own temperature, and an output that cannot be read scores 0.  The paper
    does not say its `alpha`.  Departs in writing at most `tries` times, in scoring equal programs once, and in choosing
    where none reaches `alpha`: among the `keep` best by train score and those that equal the last of them.  It uses the
    labels of the train and dev splits and no other; the dev score of what is kept is a maximum, so report a test score
    (`trivium solve emulate:program=FILE`).

    `shown=False` is for a model that was fine-tuned for the template, see `emulate`.

    Costs up to candidates x tries x train emulations and `dev` for each program that it chooses among; `hear` follows
    them.  Raises RunError where the model writes no function at all, and UserError for numbers that make no search.
    """
    wanted = train if candidates is None else candidates
    if min(train, dev, keep, tries, wanted) < 1 or wanted > train:
        raise UserError(
            f"train={train}, dev={dev}, candidates={wanted}, keep={keep}, tries={tries}: expected 1 or more of each, "
            "and no more candidates than train questions"
        )
    learning, choosing = task.problems("train", train, seed), task.problems("dev", dev, seed)
    usage = Usage()

    def spend(traces: Sequence[Trace]) -> Sequence[Trace]:
        nonlocal usage
        usage = sum((trace.usage for trace in traces), usage)
        return traces

    async def score(programs: Sequence[str], problems: Sequence[Problem], what: str) -> dict[str, float]:
        """The mean score of every program, many of them at a time: together they are computed much faster."""
        scores, n, done = dict[str, float](), len(problems), 0
        at_once = max(1, AT_ONCE // n)

        def listen(trace: Trace) -> None:
            nonlocal done
            done += 1
            hear(what, done // n, len(programs))

        hear(what, 0, len(programs))
        for first in range(0, len(programs), at_once):
            part = programs[first : first + at_once]
            hows = [partial(emulate, program=f"{p}\n", mode=mode, max_tokens=max_tokens, shown=shown) for p in part]
            asked = [(how, problem) for how in hows for problem in problems]
            traces = spend(await run_each(asked, policy, task=task, seed=seed, listen=listen))
            scores |= {program: _mean(traces[n * i : n * (i + 1)]) for i, program in enumerate(part)}
        return scores

    known: dict[str, float] = {}
    writing = partial(write_program, temperature=temperature, max_tokens=max_tokens, shown=shown)
    pending, tried, good = learning[:wanted], [], []
    for attempt in range(tries):
        # Every question that has no good program yet gets another, all in one batch.
        drafts = spend(await run(writing, pending, policy, seed=call_seed(seed, "program", (attempt,))))
        new = dict.fromkeys(draft.answer for draft in drafts if draft.answer and draft.answer not in known)
        known |= await score(list(new), learning, f"scoring programs, round {attempt + 1}")
        again = []
        for problem, draft in zip(pending, drafts, strict=True):
            found = Candidate(draft.answer, draft.question_id, known[draft.answer]) if draft.answer else None
            if found is not None:
                tried.append(found)
            if found is not None and found.train >= alpha:
                good.append(found)
            else:
                again.append(problem)
        pending = again
        if not pending:
            break
    if not tried:
        raise RunError(f"{policy.name} wrote no Python function in {tries} tries at {wanted} questions of {task.name}")
    ranked = _distinct(good) or _best(_distinct(tried), keep)
    chosen = await score([candidate.program for candidate in ranked], choosing, "choosing by dev score")
    scored = [replace(candidate, dev=chosen[candidate.program]) for candidate in ranked]
    scored.sort(key=lambda c: (c.dev, c.train), reverse=True)
    return Search(tuple(scored[:keep]), tuple(tried), bool(good), usage)


def _distinct(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The first candidate of each program."""
    return list({c.program: c for c in reversed(candidates)}.values())[::-1]


def _best(candidates: Sequence[Candidate], n: int) -> list[Candidate]:
    """The `n` with the highest train scores, and those that equal the last of them."""
    bar = sorted((candidate.train for candidate in candidates), reverse=True)[:n][-1]
    return [candidate for candidate in candidates if candidate.train >= bar]


def _mean(traces: Sequence[Trace]) -> float:
    """Mean score of the attempts with a verdict; an attempt that failed scores 0, a verifier that broke is left out.

    Raises RunError where the verifier judged none.
    """
    scores = [0.0 if t.verdict is None else t.verdict.score for t in traces]
    judged = [score for score in scores if score is not None]
    if not judged:
        raise RunError("the verifier broke on every answer of a program, so programs cannot be ranked")
    return sum(judged) / len(judged)
