"""The stages of `trivium learn`: before, warm-up, after warm-up, learning, after, save, vote at equal tokens."""

from __future__ import annotations

import copy
import gc
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

from trivium.data.pairs import outcome_pairs
from trivium.data.pool import at_most
from trivium.errors import RunError, UserError
from trivium.learn.fit import Example, Optimiser, StepReport, fit
from trivium.report import write_report
from trivium.search.driver import VERIFY_TIMEOUT, Judge
from trivium.store import Run
from trivium.teach import Listen
from trivium.teach.parts import lesson, local_policy
from trivium.teach.progress import diagnosis, make_result, mean, merge, signal_row
from trivium.teach.rollout import Rollouts, Sampler
from trivium.teach.settings import LearnSettings
from trivium.teach.training import Training
from trivium.types import Budget, Sampling

SILENT_STEPS = 8
"""Steps in a row without any signal after which a run is stopped: it is not going to learn."""


class Teaching(Training):
    """One run of `trivium learn`, from wherever its folder says it is."""

    def __init__(self, settings: LearnSettings, run: Run, listen: Listen) -> None:
        self.settings = settings
        super().__init__(settings, run, listen, settings.temperature)
        self.sampling = Sampling(temperature=settings.temperature, max_tokens=self.limit)

    def _prepare(self) -> None:
        settings = self.settings
        self.objective, self.reward = lesson(settings, self.limit)
        if settings.eval_every and not at_most(self.task, "dev", 1, settings.seed):
            raise UserError(
                f"--eval-every {settings.eval_every}: task {settings.task} has no dev problems; leave it out"
            )
        super()._prepare()
        if self.objective.kind == "supervised" and settings.steps:
            self._must_be_written(self.pool.take(0, int(settings.prompts or 1)), "imitate; choose another objective")

    def go(self) -> dict[str, Any]:
        """Run every stage that is not done yet; returns the result."""
        s = self.settings
        stages: dict[str, tuple[bool, Callable[[], None]]] = {
            "before": (True, lambda: self._evaluate("before")),
            "warmup": (bool(s.warmup_steps), self._warm_up),
            "after_warmup": (bool(s.warmup_steps), lambda: self._evaluate("after_warmup")),
            "rl": (bool(s.steps), self._learn),
            "after": (True, lambda: self._evaluate("after")),
            "save": (True, self._save_model),
            "vote_before": (True, self._vote),
        }
        self._through({name: stage for name, (wanted, stage) in stages.items() if wanted})
        return self._finish()

    # stages

    def _evaluate(self, stage: str) -> None:
        """Greedy answers to the held-out problems."""
        self._stage(stage, "measuring on unseen problems, one greedy answer each", len(self.problems))
        self._record(stage, self._measure(stage, "greedy", self.policy, None))

    def _vote(self) -> None:
        """The untrained model's majority vote, given per problem the tokens that the trained greedy answer took."""
        spent = self.progress.evaluations["after"]["sampled_tokens"]
        allowance = max(1, math.ceil(spent / len(self.problems)))
        self._stage("vote_before", f"the untrained model votes with {allowance} tokens a problem", len(self.problems))
        # The learner's weights are on disk by now; two models and an optimiser need not share the memory.
        del self.learner, self.policy
        gc.collect()
        untrained = local_policy(self.settings, self.progress.dtype)
        found = self._measure("vote_before", "vote:n=none", untrained, Budget(sampled_tokens=allowance))
        self._record("vote_before", found)
        leaves = sum(sum(1 for _ in t.leaves()) for t in found.traces)
        self.progress.evaluations["vote_before"]["samples_per_problem"] = round(leaves / len(found.traces), 2)

    def _learn(self) -> None:
        """The objective's own steps on what its kind consumes."""
        s, p = self.settings, self.progress
        steps = int(s.steps or 0)
        kind = self.objective.kind
        self._stage("rl", f"{steps} steps of {s.objective}", steps)
        if self.objective.needs_ref and self.learner.reference is None:
            self.learner.reference = copy.deepcopy(self.policy.model).requires_grad_(False)
        sampler = Sampler(
            self.policy, Judge(self.task, VERIFY_TIMEOUT), self.reward, self.sampling, int(s.samples or 1)
        )
        drawn: list[Rollouts] = []

        def stream() -> Iterator[Sequence[Example]]:
            for step in range(p.step, steps):
                if kind == "supervised":
                    yield self._demonstrations(p.drawn, int(s.prompts or 1))
                    continue
                drawn[:] = self._sample(sampler, step)
                rollouts = [r for part in drawn for r in part.rollouts]
                yield outcome_pairs(rollouts) if kind == "preference" else rollouts

        self._look()
        began = time.perf_counter()
        for reports in fit(self.learner, stream(), self.objective, updates=s.updates):
            p.step += 1
            p.drawn += int(s.prompts or 1) * max(1, len(drawn))
            self._moved()
            now = time.perf_counter()
            self._account(drawn, reports, steps, now - began)
            self._look()
            self._between_steps()
            began = time.perf_counter()
        p.step = 0

    def _look(self) -> None:
        """The evaluation that is due after this step, unless it was made before: a run can be stopped in the midst of
        it, and goes on with it.
        """
        s, p = self.settings, self.progress
        if s.eval_every and 0 < p.step < int(s.steps or 0) and p.step % s.eval_every == 0 and p.looked != p.step:
            self._record("progress", self._measure("progress", "greedy", self.policy, None, "dev"))
            p.looked = p.step

    def _sample(self, sampler: Sampler, step: int) -> list[Rollouts]:
        """The rollouts of a step: one round, or more while groups without signal leave room (`refill`)."""
        s, parts, mixed = self.settings, list[Rollouts](), 0
        wanted = int(s.prompts or 1)
        for part in range(1 + s.refill):
            problems = self.pool.take(self.progress.drawn + part * wanted, wanted)
            seed = (s.seed * 1_000_003 + step) * 64 + part
            parts.append(sampler.sample(problems, seed, first_group=part * wanted))
            mixed += parts[-1].groups["mixed"]
            if mixed >= wanted:
                break
        self.policy.release()
        return parts

    # bookkeeping

    def _account(self, drawn: list[Rollouts], reports: list[StepReport], steps: int, seconds: float) -> None:
        """Count, tell and write down one step, and stop a run that cannot learn."""
        p = self.progress
        total = merge(drawn) if drawn else None
        trained = sum(r.trained_tokens for r in reports)
        row: dict[str, Any] = {
            "phase": "rl", "step": p.step, "steps": steps, "tokens_trained": trained,
            "loss": mean([r.loss for r in reports]), "grad_norm": mean([r.grad_norm for r in reports]),
            "lr": reports[-1].lr if reports else 0.0, **signal_row(total),
        }  # fmt: skip
        for name in ("entropy", "kl_old", "kl_ref", "clip_low", "clip_high", "mismatch", "nll", "preferred"):
            values = [r.metrics[name] for r in reports if name in r.metrics]
            if values:
                row[name] = mean(values)
        row["kl"] = row.get("kl_ref", row.get("kl_old", 0.0))
        row["seconds_learn"] = seconds - row["seconds_generate"] - row["seconds_verify"]
        p.trained_tokens += trained
        p.sampled_tokens += row["tokens_sampled"]
        p.step_seconds = seconds if not p.step_seconds else 0.8 * p.step_seconds + 0.2 * seconds
        row["seconds_left"] = p.step_seconds * (steps - p.step) + self._measuring_seconds()
        self._tell(row)
        if total:
            p.samples += len(total.traces)
            p.verifier_errors += total.metrics["verifier_errors"][0]
            self.run.traces("rl", p.step, total.traces, total.problems)
            i = (p.step * 7) % len(total.traces)
            verdict = total.traces[i].verdict
            self._tell(
                {
                    "phase": "sample", "step": p.step, "question": total.problems[i].question.messages[-1].content,
                    "response": total.traces[i].response, "status": verdict.status if verdict else "error",
                    "reward": total.rewards[i],
                },
                keep=False,
            )  # fmt: skip
            self._check_learning(total, trained)

    def _check_learning(self, drawn: Rollouts, trained: int) -> None:
        """Stop with the reason after `SILENT_STEPS` steps in a row that taught nothing."""
        p = self.progress
        p.silent = 0 if trained else p.silent + 1
        if trained:
            return
        why = f"taught nothing: {diagnosis(drawn, self.sampling, self.objective)}"
        if p.silent == 1:
            self._tell({"phase": "note", "message": f"step {p.step} {why}"})
        if p.silent >= SILENT_STEPS:
            p.silent = 0
            self._checkpoint()
            raise RunError(f"{SILENT_STEPS} steps in a row {why}")

    def _measuring_seconds(self) -> float:
        """What the evaluations still to come will take, from the last one."""
        return 2 * self.progress.evaluation_seconds

    def _optimiser(self) -> Optimiser:
        s = self.settings
        steps = int(s.steps or 0) * s.updates
        return Optimiser(
            float(s.lr or 0), steps, s.lr_warmup, cast(Any, s.schedule), s.lr_floor, **self._adam()
        )  # fmt: skip

    def _finish(self) -> dict[str, Any]:
        """Write the report, then the result."""
        p = self.progress
        p.seconds += time.perf_counter() - self._began
        result = make_result(self.settings, p, self.problems, self.run.path)
        self.run.finish(result, write_report)
        return result
