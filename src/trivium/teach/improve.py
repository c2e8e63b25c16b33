"""The rounds of `trivium improve`: search, learn from what it found, search again, and the same without search.

A round attempts training problems by a method under a budget, turns the judged trees into examples, learns from them,
and measures on held-out problems: one greedy answer, and the method under the same budget.  The control starts from the
same weights and goes through the same rounds with the same learner on the same questions, but its examples come from
plain samples, each question getting as many sampled tokens as the search spent on it.

Which responses are right is asked of the task's verifier on training problems alone, in both arms.  Where steps are
preferred by what the search itself wrote (`process:by=value`), the control, which has no such values, goes by outcome.

Expert iteration: Anthony et al. 2017, arXiv:1705.08439; with rejection sampling, Zelikman et al. 2022 (STaR),
arXiv:2203.14465.  Departs from STaR in that every round goes on from the weights of the round before.
"""

from __future__ import annotations

import copy
import functools
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from trivium.data import DATASETS
from trivium.data.process import labels
from trivium.data.step_pairs import Process
from trivium.data.trees import Tree, grow
from trivium.errors import RunError, UserError
from trivium.learn import OBJECTIVES
from trivium.learn.fit import Example, Optimiser, fit
from trivium.report import write_report
from trivium.search import method
from trivium.search.budget import parse_budget
from trivium.search.driver import VERIFY_TIMEOUT, Judge, solve, together
from trivium.search.driver import run as attempt
from trivium.store import Run, load_traces
from trivium.store.files import disk, json_line, replacing
from trivium.teach import Listen
from trivium.teach.parts import make_objective
from trivium.teach.progress import brief, difference
from trivium.teach.settings import ImproveSettings
from trivium.teach.training import Stopped, Training
from trivium.types import Budget, Problem, Sampling, Trace

LABELS = {"search": "search", "control": "no search"}


def improve(settings: ImproveSettings, run: Run, listen: Listen) -> dict[str, Any]:
    """Go through (or on with) the rounds in `run`'s folder and return what `result.json` holds.

    `listen` gets every event as it happens.  Raises RunError when the first search finds nothing to learn from,
    KeyboardInterrupt when stopped; a checkpoint of what was finished is on disk.
    """
    return Improving(settings, run, listen).go()


class Improving(Training):
    """One run of `trivium improve`, from wherever its folder says it is."""

    def __init__(self, settings: ImproveSettings, run: Run, listen: Listen) -> None:
        self.settings = settings
        self.data = DATASETS.build(settings.data)
        self.budget = parse_budget(str(settings.budget))
        self.method = method(settings.method)
        super().__init__(settings, run, listen)
        self.judge = Judge(self.task, VERIFY_TIMEOUT)

    def _prepare(self) -> None:
        settings = self.settings
        usual, named = OBJECTIVES.build(self.data.objective), settings.objective or self.data.objective
        self.objective = make_objective(named, self.limit)
        if self.objective.kind != usual.kind:
            raise UserError(
                f"--data {settings.data} is for {usual.kind} objectives such as {self.data.objective}, and {named} is a"
                f" {self.objective.kind} objective; choose another --objective, or leave it out"
            )
        super()._prepare()

    def go(self) -> dict[str, Any]:
        """Run every stage that is not done yet; returns the result."""
        s = self.settings
        stages: dict[str, Callable[[], None]] = {}
        if s.warmup_steps:
            stages |= {"before": lambda: self._greedy("before", "Untrained", ("before", 0)), "warmup": self._warm_up}
        stages["start"] = self._begin
        for arm in ("search", "control") if s.control else ("search",):
            if arm == "control":
                stages["rewind"] = self._rewind
            for r in range(1, s.rounds + 1):
                stages[f"{arm}-{r}"] = functools.partial(self._sample, arm, r)
                stages[f"{arm}-{r}-learn"] = functools.partial(self._learn, arm, r)
                stages[f"{arm}-{r}-measure"] = functools.partial(self._both, arm, r)
            if arm == "search":
                stages["save"] = self._save_model
        self._through(stages)
        return self._finish()

    def _optimiser(self) -> Optimiser:
        return Optimiser(lr=float(self.settings.lr or 0), **self._adam())

    # measuring

    def _begin(self) -> None:
        """Measure where both arms start, and keep the weights for the second."""
        self._both("start", 0)
        if self.settings.control:
            with replacing(self._start) as file:
                torch.save(self.learner.state(), file)

    def _both(self, arm: str, r: int) -> None:
        """One greedy answer to every held-out problem, then the method under the budget."""
        stage, label = (f"{arm}-{r}", f"{LABELS[arm]}, round {r}".capitalize()) if r else (arm, "Start")
        self._greedy(f"{stage}-greedy", f"{label}, greedy", (f"{arm}-greedy", r))
        spec, n = self.settings.method, len(self.problems)
        self._stage(f"{stage}-method", f"measuring on unseen problems, {spec}", n)
        name = f"{label}, {spec.partition(':')[0]}"
        kept = (f"{arm}-method", r)
        found = self._measure(f"{stage}-method", spec, self.policy, self.budget, label=name, kept=kept)
        self._record(f"{stage}-method", found, name)

    def _greedy(self, stage: str, label: str, kept: tuple[str, int]) -> None:
        self._stage(stage, "measuring on unseen problems, one greedy answer each", len(self.problems))
        self._record(stage, self._measure(stage, "greedy", self.policy, None, label=label, kept=kept), label)

    # rounds

    def _sample(self, arm: str, r: int) -> None:
        """Attempt the round's training problems; the traces are on disk when this is done."""
        problems = self._round(r)
        what = self.settings.method if arm == "search" else "plain samples of the same tokens"
        self._stage(f"{arm}-{r}", f"{LABELS[arm]}, round {r}: {what} on {len(problems)} problems", len(problems))
        seed = self.settings.seed * 1_000_003 + r
        sampling, done = Sampling(max_tokens=self.limit), 0

        def listen(trace: Trace) -> None:
            nonlocal done
            done += 1
            if self._stop:
                raise Stopped
            self._tell({"phase": "progress", "done": done, "total": len(problems)}, keep=False)

        began = time.perf_counter()
        if arm == "search":
            traces = solve(
                self.method, problems, self.policy, task=self.task, budget=self.budget, seed=seed, sampling=sampling,
                listen=listen,
            )  # fmt: skip
        else:
            problems, traces = self._plain(problems, r, seed, sampling, listen)
        self.progress.rounds[f"{arm}-{r}"] = {
            "arm": arm, "round": r, "problems": len(problems), "errors": sum(bool(t.error) for t in traces),
            "sampled_tokens": sum(t.usage.sampled_tokens for t in traces), "seconds": time.perf_counter() - began,
        }  # fmt: skip
        self.progress.sampled_tokens += self.progress.rounds[f"{arm}-{r}"]["sampled_tokens"]
        self.run.traces(arm, r, traces, problems)

    def _plain(
        self, problems: Sequence[Problem], r: int, seed: int, sampling: Sampling, listen: Callable[[Trace], None]
    ) -> tuple[list[Problem], list[Trace]]:
        """For each problem, plain samples in the tokens that the search of this round spent on it."""
        spent = {t.question_id: t.usage.sampled_tokens for t in self._traces("search", r)}
        given = [(p, Budget(sampled_tokens=n)) for p in problems if (n := spent[p.question.id])]
        plain = method(f"vote:n=none,temperature={self.settings.temperature}")

        # No task: its verifier is asked later, and one question at a time.
        options: dict[str, Any] = {"seed": seed, "sampling": sampling, "listen": listen}
        found = together(attempt(plain, [p], self.policy, budget=b, **options) for p, b in given)
        return [p for p, _ in given], [trace for traces in found for trace in traces]

    def _learn(self, arm: str, r: int) -> None:
        """Learn from the round's traces, which are read back from the disk."""
        s, p = self.settings, self.progress
        trees, examples = self._examples(arm, r)
        batch = int(s.batch or 1)
        steps = (s.steps or s.epochs * math.ceil(len(examples) / batch)) if examples else 0
        if not p.step:
            self._account(arm, r, trees, examples, steps)
            self.learner.restart(self._optimiser())
            self.learner.reference = None
            if self.objective.needs_ref:
                self.learner.reference = copy.deepcopy(self.policy.model).requires_grad_(False)
        self._stage(f"{arm}-{r}-learn", f"{LABELS[arm]}, round {r}: learning from {len(examples)} examples", steps)
        self.policy.release()
        order = batches(len(examples), batch, f"{s.seed}/{r}")
        for _ in range(p.step):  # done before the run was taken up again
            next(order)
        began, row = time.perf_counter(), p.rounds[f"{arm}-{r}"]
        stream = ([examples[i] for i in next(order)] for _ in range(p.step, steps))
        for (report,) in fit(self.learner, stream, self.objective):
            p.step += 1
            p.trained_tokens += report.trained_tokens
            row["trained_tokens"] += report.trained_tokens
            now = time.perf_counter()
            self._tell(
                {
                    "phase": "fit", "arm": arm, "round": r, "step": p.step, "steps": steps, "loss": report.loss,
                    "lr": report.lr, "grad_norm": report.grad_norm, "tokens_trained": report.trained_tokens,
                    "seconds_learn": now - began, **report.metrics,
                }
            )  # fmt: skip
            self._between_steps()
            began = time.perf_counter()
        p.step = 0
        if steps:
            self._moved()
        self.learner.reference = None

    def _examples(self, arm: str, r: int) -> tuple[list[Tree], list[Example]]:
        """The round's judged trees and what is learnt from them, which is written to the run's folder."""
        by_id = {problem.question.id: problem for problem in self._round(r)}
        traces = self._traces(arm, r)
        trees = grow(self.judge, self.policy, [by_id[t.question_id] for t in traces], traces)
        data = self.data
        if arm == "control" and isinstance(data, Process):
            data = replace(data, by="outcome")  # plain samples have no values of a search
        examples: list[Example] = data(trees, self.settings.seed + r)
        folder = self.run.path / "data"
        with disk(folder):
            folder.mkdir(exist_ok=True)
            (folder / f"{arm}-{r}.jsonl").write_bytes(b"".join(json_line(asdict(example)) for example in examples))
            if isinstance(data, Process):
                made = labels(trees, data.by)
                (folder / f"{arm}-{r}-labels.jsonl").write_bytes(b"".join(json_line(asdict(label)) for label in made))
        return trees, examples

    def _account(self, arm: str, r: int, trees: Sequence[Tree], examples: Sequence[Example], steps: int) -> None:
        """Count and tell what the round found; stop a run whose first search found nothing to learn from."""
        p, row = self.progress, self.progress.rounds[f"{arm}-{r}"]
        ends, broken = sum(len(t.correct) for t in trees), sum(t.broken for t in trees)
        right = sum(sum(t.correct.values()) for t in trees)
        row |= {"ends": ends, "right": right, "solved": sum(any(t.correct.values()) for t in trees)}
        row |= {"broken": broken, "examples": len(examples), "steps": steps, "trained_tokens": 0}
        p.samples += ends + broken
        p.verifier_errors += broken
        self._tell({"phase": "search", **row})
        if examples:
            return
        why = (
            f"round {r} of the {arm} arm found nothing to learn from: {ends} responses ended, {right} of them right, "
            f"and {broken} broke the verifier"
        )
        if arm == "search" and r == 1:
            raise RunError(
                f"{why}. Try an easier level of the task (see: trivium show TASK), more --warmup-steps, a larger"
                f" --budget than {self.settings.budget}, or --max-tokens above {self.limit} if responses are cut off"
            )
        self._tell({"phase": "note", "message": why})

    def _rewind(self) -> None:
        """Back to the weights that the search arm started from."""
        self.learner.load_state(torch.load(self._start, map_location="cpu", weights_only=True, mmap=True))
        self._moved()

    def _round(self, r: int) -> list[Problem]:
        """The training problems of a round, the same in both arms, and no question twice.

        Where the task's problems end within the round and begin again, it has fewer than `prompts`: a question's
        search has a seed of its own, so that its second would give the first's samples again.
        """
        prompts = int(self.settings.prompts or 1)
        dealt = self.pool.take(self.progress.drawn + (r - 1) * prompts, prompts)
        return list({problem.question.id: problem for problem in dealt}.values())

    def _traces(self, arm: str, r: int) -> list[Trace]:
        """The traces of a round, as they were written."""
        return [trace for row, trace in load_traces(self.run.path / f"traces-{arm}.jsonl") if row["step"] == r]

    @property
    def _start(self) -> Path:
        return self.run.path / "start.pt"

    def _finish(self) -> dict[str, Any]:
        """Write the report, then the result, and leave no weights behind but those of the model folder."""
        if hasattr(self, "learner"):
            del self.learner
        self._checkpoint()  # which takes the place of one with the learner's state
        self._start.unlink(missing_ok=True)
        result = self._result()
        self.run.finish(result, write_report)
        return result

    def _result(self) -> dict[str, Any]:
        """What result.json holds; keys and units are documented in docs/design.md."""
        s, p, folder = self.settings, self.progress, self.run.path
        found, last = p.evaluations, f"-{s.rounds}"

        def gaps(a: str, b: str) -> dict[str, Any]:
            return {kind: difference(found[f"{a}-{kind}"], found[f"{b}-{kind}"]) for kind in ("greedy", "method")}

        def shares(stage: str) -> dict[str, Any]:
            return {kind: brief(found[f"{stage}-{kind}"]) for kind in ("greedy", "method")}

        model = folder / "model"
        return {
            "task": s.task, "policy": s.policy, "method": s.method,
            "budget": {unit: limit for unit, limit in asdict(self.budget).items() if limit is not None}, "data": s.data,
            "objective": s.objective or self.data.objective, "seed": s.seed,
            "before": brief(found["before"]) if "before" in found else None, "start": shares("start"),
            "rounds": [row | shares(stage) for stage, row in p.rounds.items()],
            "gain": gaps("search" + last, "start"),
            "versus_control": gaps("search" + last, "control" + last) if s.control else None,
            "sampled_tokens": p.sampled_tokens, "trained_tokens": p.trained_tokens, "warmup_tokens": p.warmup_tokens,
            "evaluation_tokens": p.evaluation_tokens,
            "chosen_by": "search" if isinstance(self.data, Process) and self.data.by != "outcome" else "verifier",
            "verified_responses": p.samples,
            "verifier_error_rate": p.verifier_errors / p.samples if p.samples else 0.0, "dtype": p.dtype,
            "minutes": round(p.seconds / 60, 2), "model": str(model), "report": str(folder / "report.html"),
            "next": [
                f"trivium compare --task {s.task} --policy {model} --methods {s.method}",
                f"trivium improve --task {s.task} --policy {model} --warmup-steps 0 --method {s.method}",
            ],
        }  # fmt: skip


def batches(n: int, size: int, seed: str) -> Iterator[list[int]]:
    """Places of `n` examples in batches of at most `size`, endlessly; every pass goes through all, in another order."""
    epoch = 0
    while n:
        order = list(range(n))
        random.Random(f"{seed}/{epoch}").shuffle(order)
        yield from (order[i : i + size] for i in range(0, n, size))
        epoch += 1
