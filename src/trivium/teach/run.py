"""The stages of a run: before, warm-up, after warm-up, learning, after, save, vote at equal tokens.

All that has happened lives in `Progress` and in the learner's state; both are in every checkpoint.  Everything random
is a function of the seed and of the place in the run, so going on from a checkpoint repeats the steps behind it and
ends in the same weights, bit for bit, as if nothing had happened.
"""

from __future__ import annotations

import copy
import gc
import json
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch

from trivium.data.pairs import outcome_pairs
from trivium.data.pool import Pool
from trivium.errors import RunError, UserError
from trivium.learn import OBJECTIVES
from trivium.learn.batch import Demonstration
from trivium.learn.fit import Example, Learner, Optimiser, StepReport, fit
from trivium.policies.folder import dtype_name
from trivium.policies.local import LocalPolicy
from trivium.report import write_report
from trivium.rewards.composite import parse_rewards
from trivium.search import method
from trivium.search.driver import VERIFY_TIMEOUT, Judge
from trivium.search.evaluate import Evaluation, evaluate
from trivium.stats import wilson
from trivium.store import Run
from trivium.store.files import disk
from trivium.tasks import task as make_task
from trivium.teach import Listen
from trivium.teach.parts import local_policy, make_objective
from trivium.teach.progress import Progress, as_row, diagnosis, make_result, mean, merge, signal_row
from trivium.teach.rollout import Rollouts, Sampler
from trivium.teach.settings import LearnSettings
from trivium.types import Budget, Sampling, Split, Trace

SILENT_STEPS = 8
"""Steps in a row without any signal after which a run is stopped: it is not going to learn."""
TRANSCRIPTS = 12


class Stopped(Exception):
    """Asked to stop: raised between steps only, when the state is whole."""


class Teaching:
    """One run of `trivium learn`, from wherever its folder says it is."""

    def __init__(self, settings: LearnSettings, run: Run, listen: Listen) -> None:
        self.settings, self.run, self._heard = settings, run, listen
        self.task = make_task(str(settings.task))
        self.problems = self.task.problems("test", settings.eval_n, settings.seed)
        limit = settings.max_tokens or self.task.max_tokens
        self.objective = make_objective(settings.objective, limit)
        if settings.updates > 1 and self.objective.kind != "policy-gradient":
            raise UserError(f"--updates {settings.updates}: only rollouts are learnt from in parts; leave it out")
        self.sampling = Sampling(temperature=settings.temperature, max_tokens=limit)
        self.reward = parse_rewards(settings.reward, max_tokens=limit)
        torch.set_num_threads(settings.threads or os.cpu_count() or 1)
        self.progress, saved = self._load()
        self.policy = local_policy(settings, self.progress.dtype)
        self.policy.weights_version = self.progress.weights_version
        self.progress.dtype = dtype_name(self.policy.model.head.dtype)
        stage = "warmup" if settings.warmup_steps and "warmup" not in self.progress.done else "rl"
        self.learner = Learner(
            self.policy.model,
            self._optimiser(stage),
            int(settings.micro_tokens or 512),
            settings.temperature,
            seed=settings.seed,
        )
        if saved:
            self.learner.load_state(saved["learner"])
            if "reference" in saved:
                self.learner.reference = copy.deepcopy(self.policy.model)
                self.learner.reference.load_state_dict(saved["reference"])
        self.pool = Pool(self.task, settings.seed)
        self._began = self._saved = time.perf_counter()
        self._save_seconds = 0.0
        self._stop = False

    def go(self) -> dict[str, Any]:
        """Run every stage that is not done yet; returns the result."""
        s = self.settings
        stages: dict[str, tuple[bool, Callable[[], None]]] = {
            "before": (True, lambda: self._evaluate("before")),
            "warmup": (bool(s.warmup_steps), self._warm_up),
            "after_warmup": (bool(s.warmup_steps), lambda: self._evaluate("after_warmup")),
            "rl": (bool(s.steps), self._learn),
            "after": (True, lambda: self._evaluate("after")),
            "save": (True, self._save),
            "vote_before": (True, self._vote),
        }
        with self._gentle_stop():
            for name, (wanted, stage) in stages.items():
                if name in self.progress.done or not wanted:
                    continue
                try:
                    stage()
                except Stopped:
                    if name in ("warmup", "rl"):
                        self._checkpoint()
                    raise KeyboardInterrupt from None
                self.progress.done.append(name)
                if name != "save":
                    self._checkpoint()
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

    def _warm_up(self) -> None:
        """Supervised steps on program-written solutions."""
        s, p = self.settings, self.progress
        steps, batch = int(s.warmup_steps or 0), int(s.warmup_batch or 0)
        if any(problem.solution is None for problem in self.pool.take(0, batch)):
            raise UserError(f"task {s.task} has no written solutions to warm up on; use --warmup-steps 0")
        self._stage("warmup", f"imitating {steps * batch} program-written solutions", steps)
        objective = OBJECTIVES.build("sft")
        stream = (self._demonstrations(p.drawn, batch) for _ in range(p.step, steps))
        began = time.perf_counter()
        for (report,) in fit(self.learner, stream, objective):
            p.step, p.drawn = p.step + 1, p.drawn + batch
            p.warmup_tokens += report.trained_tokens
            now = time.perf_counter()
            self._tell(
                {
                    "phase": "warmup", "step": p.step, "steps": steps, "loss": report.loss, "lr": report.lr,
                    "tokens_trained": report.trained_tokens, "seconds_learn": now - began, "grad_norm":
                    report.grad_norm,
                }
            )  # fmt: skip
            self._between_steps()
            began = time.perf_counter()
        p.step = 0
        self._moved()
        self.learner.restart(self._optimiser("rl"))

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

        began = time.perf_counter()
        for reports in fit(self.learner, stream(), self.objective, updates=s.updates):
            p.step += 1
            p.drawn += int(s.prompts or 1) * max(1, len(drawn))
            self._moved()
            now = time.perf_counter()
            self._account(drawn, reports, steps, now - began)
            if s.eval_every and p.step % s.eval_every == 0 and p.step < steps:
                self._record("progress", self._measure("progress", "greedy", self.policy, None, "dev"))
            self._between_steps()
            began = time.perf_counter()
        p.step = 0

    def _moved(self) -> None:
        """Name the new weights, so that every trace tells which sampled it, over all sittings of a run."""
        self.policy.weights_version += 1
        self.progress.weights_version = self.policy.weights_version

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
        if p.silent == 1 and not drawn.groups["mixed"]:
            self._tell({"phase": "note", "message": f"step {p.step} taught nothing: {diagnosis(drawn, self.sampling)}"})
        if p.silent >= SILENT_STEPS:
            p.silent = 0
            self._checkpoint()
            raise RunError(f"{SILENT_STEPS} steps in a row taught nothing: {diagnosis(drawn, self.sampling)}")

    def _measure(
        self, stage: str, name: str, policy: LocalPolicy, budget: Budget | None, split: Split = "test"
    ) -> Evaluation:
        """Run a method over the held-out problems, telling how far it is."""
        began, last, done, right, n = time.perf_counter(), 0.0, 0, 0, len(self.problems)

        def listen(trace: Trace) -> None:
            nonlocal last, done, right
            done += 1
            right += trace.verdict is not None and trace.verdict.correct
            if self._stop:
                raise Stopped
            if time.perf_counter() - last > 0.5 and done < n:
                last = time.perf_counter()
                self._tell(
                    {"phase": "eval", "stage": stage, "done": done, "total": n, **as_row(wilson(right, done))}, False
                )

        sampling = Sampling(max_tokens=self.sampling.max_tokens)
        found = evaluate(
            method(name), self.task, policy, n=n, split=split, seed=self.settings.seed, sampling=sampling,
            budget=budget, listen=listen,
        )  # fmt: skip
        self.progress.evaluation_seconds = time.perf_counter() - began
        self.progress.evaluation_tokens += found.usage.sampled_tokens
        problems = self.problems if split == "test" else self.task.problems(split, n, self.settings.seed)
        self.run.traces(stage, self.progress.step, found.traces, problems)
        return found

    def _record(self, stage: str, found: Evaluation) -> None:
        """Keep an evaluation for the result, and tell it."""
        verdicts = [t.verdict for t in found.traces]
        row = {
            **as_row(found.accuracy), "abstained": found.abstained, "errors": found.errors,
            "sampled_tokens": found.usage.sampled_tokens, "seconds": self.progress.evaluation_seconds,
        }  # fmt: skip
        self.progress.evaluations[stage] = row | {
            "scores": [None if v is None or v.score is None else float(v.correct) for v in verdicts],
            "shown": [{"response": t.response, "status": v.status if v else "error"} for t, v in
                      zip(found.traces[:TRANSCRIPTS], verdicts, strict=False)],
        }  # fmt: skip
        n = len(found.traces)
        self._tell({"phase": "eval", "stage": stage, "step": self.progress.step, "done": n, "total": n, **row})

    def _measuring_seconds(self) -> float:
        """What the evaluations still to come will take, from the last one."""
        return 2 * self.progress.evaluation_seconds

    def _demonstrations(self, start: int, n: int) -> list[Demonstration]:
        shown = self.pool.take(start, n)
        if any(p.solution is None for p in shown):
            raise UserError(f"task {self.settings.task} has no written solutions to imitate; choose another objective")
        made = [
            Demonstration(self.policy.encode(p.question.messages), self.policy.encode_response(str(p.solution)))
            for p in shown
        ]
        longest, context = max(len(d.prompt) + len(d.ids) for d in made), self.policy.model.c.context
        if longest > context:
            raise UserError(
                f"a prompt and its solution have {longest} tokens but {self.policy.name} reads at most {context};"
                " choose an easier level of the task, or a policy with a longer context"
            )
        return made

    def _optimiser(self, stage: str) -> Optimiser:
        s = self.settings
        common: dict[str, Any] = {"weight_decay": s.weight_decay, "beta2": s.beta2, "grad_clip": s.grad_clip}
        if stage == "warmup":
            steps = int(s.warmup_steps or 0)
            return Optimiser(lr=float(s.warmup_lr or 0), steps=steps, lr_warmup=min(2, steps), **common)
        steps = int(s.steps or 0) * s.updates
        return Optimiser(float(s.lr or 0), steps, s.lr_warmup, cast(Any, s.schedule), s.lr_floor, **common)

    def _stage(self, stage: str, message: str, total: int) -> None:
        """Tell that a stage begins; the history keeps it once, however often the stage is taken up again."""
        event = {"phase": "stage", "stage": stage, "message": message, "total": total}
        self._tell(event, keep=self.progress.step == 0 or stage not in ("warmup", "rl"))

    def _tell(self, event: dict[str, Any], keep: bool = True) -> None:
        if keep:
            self.run.metrics(event)
        self._heard(event)

    # disk

    def _between_steps(self) -> None:
        """Write a checkpoint if that is cheap enough, and stop here if asked to."""
        if self._stop:
            raise Stopped
        share = self.settings.checkpoint_share
        if share and (time.perf_counter() - self._saved) * share >= self._save_seconds:
            self._checkpoint()

    def _checkpoint(self) -> None:
        """Put progress and, once it has moved, the learner's state on disk."""
        began = time.perf_counter()
        self.progress.seconds += began - self._began
        self._began = began

        def write(folder: Path) -> None:
            (folder / "progress.json").write_text(json.dumps(asdict(self.progress)))
            if not hasattr(self, "learner"):
                return
            state: dict[str, Any] = {"learner": self.learner.state()}
            if self.learner.reference is not None:
                state["reference"] = self.learner.reference.state_dict()
            torch.save(state, folder / "state.pt")

        self.run.commit_checkpoint(self.progress.written, write)
        self.progress.written += 1
        self._saved = time.perf_counter()
        self._save_seconds = self._saved - began

    def _load(self) -> tuple[Progress, dict[str, Any] | None]:
        """Progress and the learner's state from the latest checkpoint, if there is one."""
        latest = self.run.latest_checkpoint()
        if latest is None:
            return Progress(), None
        progress = Progress(**json.loads((latest[1] / "progress.json").read_text()))
        progress.written += 1
        state = latest[1] / "state.pt"
        saved = torch.load(state, weights_only=True, mmap=True) if state.exists() else None
        return progress, saved

    @contextmanager
    def _gentle_stop(self) -> Iterator[None]:
        """The first interrupt or termination signal waits for the step in flight; the second does not."""

        def ask(number: int, frame: Any) -> None:
            if self._stop:
                raise KeyboardInterrupt
            self._stop = True
            self._tell(
                {"phase": "note", "message": "stopping after this step; interrupt again to stop now"}, keep=False
            )

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _save(self) -> None:
        """The model folder, in the number type that was measured."""
        self._stage("save", "writing the model folder", 0)
        with disk(self.run.path / "model"):
            self.policy.save(self.run.path / "model")

    def _finish(self) -> dict[str, Any]:
        """Write the result, then the report from it."""
        p = self.progress
        p.seconds += time.perf_counter() - self._began
        result = make_result(self.settings, p, self.problems, self.run.path)
        self.run.finish(result)
        write_report(self.run)
        return result
