"""What every run that trains a policy shares: its learner, its warm-up, measuring, telling, checkpoints, a gentle stop.

All that has happened lives in `Progress` and in the learner's state; both are in every checkpoint.  Everything random
is a function of the seed and of the place in the run, so going on from a checkpoint repeats the steps behind it and
ends in the same weights, on the processor bit for bit, as if nothing had happened.
"""

from __future__ import annotations

import copy
import json
import signal
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from trivium.data.pool import Pool, at_most
from trivium.errors import UserError
from trivium.learn import OBJECTIVES
from trivium.learn.batch import Demonstration
from trivium.learn.fit import Learner, Optimiser, fit
from trivium.policies.folder import dtype_name
from trivium.policies.local import LocalPolicy
from trivium.search import method
from trivium.search.evaluate import Evaluation, evaluate
from trivium.stats import wilson
from trivium.store import Run
from trivium.store.files import disk
from trivium.store.machine import cores
from trivium.tasks import task as make_task
from trivium.teach import Listen
from trivium.teach.memory import micro_tokens
from trivium.teach.parts import local_policy
from trivium.teach.progress import Progress
from trivium.teach.settings import RunSettings
from trivium.types import Budget, Problem, Sampling, Split, Trace

TRANSCRIPTS = 12


class Stopped(Exception):
    """Asked to stop: raised between steps only, when the state is whole."""


class Training(ABC):
    """A run from wherever its folder says it is.  `temperature` is the one at which what it learns from was sampled."""

    def __init__(self, settings: RunSettings, run: Run, listen: Listen, temperature: float = 1.0) -> None:
        self._common, self.run, self._heard = settings, run, listen
        self.task = make_task(str(settings.task))
        self.problems = self.task.problems("test", settings.eval_n, settings.seed)
        self.limit = settings.max_tokens or self.task.max_tokens
        self.pool = Pool(self.task, settings.seed)
        self._prepare()
        torch.set_num_threads(settings.threads or cores())
        self.progress, saved = self._load()
        self.policy: LocalPolicy = local_policy(settings, self.progress.dtype)
        self.policy.weights_version = self.progress.weights_version
        self.progress.dtype = dtype_name(self.policy.model.head.dtype)
        warming = settings.warmup_steps and "warmup" not in self.progress.done
        self.learner = Learner(
            self.policy.model,
            self._warming() if warming else self._optimiser(),
            micro_tokens(settings, self.policy.model),
            temperature,
            seed=settings.seed,
        )
        if saved:
            self.learner.load_state(saved["learner"])
            if "reference" in saved:
                self.learner.reference = copy.deepcopy(self.policy.model)
                self.learner.reference.load_state_dict(saved["reference"])
        self._began = self._saved = time.perf_counter()
        self._save_seconds = 0.0
        self._stop = False

    def _prepare(self) -> None:
        """Make what needs no weights and refuse what cannot run, before weights are fetched or anything is measured."""
        s = self._common
        if s.warmup_steps:
            self._must_be_written(self.pool.take(0, int(s.warmup_batch or 1)), "warm up on; use --warmup-steps 0")

    def _must_be_written(self, problems: Sequence[Problem], purpose: str) -> None:
        """Refuse problems without solutions to imitate."""
        if any(problem.solution is None for problem in problems):
            field = ", or name the field that holds them: solution=FIELD"
            more = field if str(self._common.task).startswith("file:") else ""
            raise UserError(f"task {self._common.task} has no written solutions to {purpose}{more}")

    @abstractmethod
    def _optimiser(self) -> Optimiser:
        """The optimiser of what comes after the warm-up."""

    def _through(self, stages: Mapping[str, Callable[[], None]]) -> None:
        """Run every stage that is not done yet, with a checkpoint after each that changes what one holds."""
        with self._gentle_stop():
            for name, stage in stages.items():
                if name in self.progress.done:
                    continue
                try:
                    stage()
                except Stopped:
                    if self.progress.step:
                        self._checkpoint()
                    raise KeyboardInterrupt from None
                self.progress.done.append(name)
                if name != "save":
                    self._checkpoint()

    # stages

    def _warm_up(self) -> None:
        """Supervised steps on program-written solutions."""
        s, p = self._common, self.progress
        steps, batch = int(s.warmup_steps or 0), int(s.warmup_batch or 0)
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
        self.learner.restart(self._optimiser())

    def _demonstrations(self, start: int, n: int) -> list[Demonstration]:
        shown = self.pool.take(start, n)
        self._must_be_written(shown, "imitate; choose another objective")
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

    def _warming(self) -> Optimiser:
        s = self._common
        steps = int(s.warmup_steps or 0)
        return Optimiser(lr=float(s.warmup_lr or 0), steps=steps, lr_warmup=min(2, steps), **self._adam())

    def _adam(self) -> dict[str, Any]:
        s = self._common
        return {"weight_decay": s.weight_decay, "beta2": s.beta2, "grad_clip": s.grad_clip}

    def _moved(self) -> None:
        """Name the new weights, so that every trace tells which sampled it, over all sittings of a run."""
        self.policy.weights_version += 1
        self.progress.weights_version = self.policy.weights_version

    def _save_model(self) -> None:
        """The model folder, in the number type that was measured."""
        self._stage("save", "writing the model folder", 0)
        with disk(self.run.path / "model"):
            self.policy.save(self.run.path / "model")

    # measuring and telling

    def _measure(
        self,
        stage: str,
        name: str,
        policy: LocalPolicy,
        budget: Budget | None,
        split: Split = "test",
        *,
        label: str = "",
        kept: tuple[str, int] | None = None,
    ) -> Evaluation:
        """Run a method over the held-out problems, or over as many of another split, telling how far it is.

        `kept` is the stage and step that the traces are kept under, if not these.  Of a split that has fewer problems
        all are taken.
        """
        problems = self.problems
        if split != "test":
            problems = at_most(self.task, split, len(problems), self._common.seed)
        began, last, done, right, n = time.perf_counter(), 0.0, 0, 0, len(problems)

        def listen(trace: Trace) -> None:
            nonlocal last, done, right
            done += 1
            right += trace.verdict is not None and trace.verdict.correct
            if self._stop:
                raise Stopped
            if time.perf_counter() - last > 0.5 and done < n:
                last = time.perf_counter()
                share = asdict(wilson(right, done))
                self._tell({"phase": "eval", "stage": stage, "label": label, "done": done, "total": n, **share}, False)

        found = evaluate(
            method(name), self.task, policy, n=n, split=split, seed=self._common.seed,
            sampling=Sampling(max_tokens=self.limit), budget=budget, listen=listen,
        )  # fmt: skip
        self.progress.evaluation_seconds = time.perf_counter() - began
        self.progress.evaluation_tokens += found.usage.sampled_tokens
        self.run.traces(*(kept or (stage, self.progress.step)), found.traces, problems)
        return found

    def _record(self, stage: str, found: Evaluation, label: str = "") -> None:
        """Keep an evaluation for the result, and tell it."""
        verdicts = [t.verdict for t in found.traces]
        row = {
            **asdict(found.accuracy), "abstained": found.abstained, "errors": found.errors,
            "sampled_tokens": found.usage.sampled_tokens, "seconds": self.progress.evaluation_seconds,
        }  # fmt: skip
        self.progress.evaluations[stage] = row | {
            "scores": [None if v is None or v.score is None else float(v.correct) for v in verdicts],
            "shown": [{"response": t.response, "status": v.status if v else "error"} for t, v in
                      zip(found.traces[:TRANSCRIPTS], verdicts, strict=False)],
        }  # fmt: skip
        n = len(found.traces)
        at = {"phase": "eval", "stage": stage, "label": label, "step": self.progress.step}
        self._tell({**at, "done": n, "total": n, **row})

    def _stage(self, stage: str, message: str, total: int) -> None:
        """Tell that a stage begins; the history keeps it once, however often the stage is taken up again."""
        self._tell({"phase": "stage", "stage": stage, "message": message, "total": total}, not self.progress.step)

    def _tell(self, event: dict[str, Any], keep: bool = True) -> None:
        if keep:
            self.run.metrics(event)
        self._heard(event)

    # disk

    def _between_steps(self) -> None:
        """Write a checkpoint if that is cheap enough, and stop here if asked to."""
        if self._stop:
            raise Stopped
        share = self._common.checkpoint_share
        if share and (time.perf_counter() - self._saved) * share >= self._save_seconds:
            self._checkpoint()

    def _checkpoint(self) -> None:
        """Put progress and, while there is a learner, its state on disk."""
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
        saved = torch.load(state, map_location="cpu", weights_only=True, mmap=True) if state.exists() else None
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
