"""The one place that calls `backward`.

`Learner` holds the weights in training: float32 masters, AdamW, and the model in the number type it computes in.
`fit` pulls batches from a stream and takes one optimiser step for each.  On-policy reinforcement learning, offline
learning, preferences, distillation and supervised learning differ only in what the stream yields and in the objective.

A step is cut into micro-batches by tokens.  The objective gives a sum and a count; the count is taken over the whole
step first, so the cut changes memory and speed, never the gradient (up to the order of floating-point sums).
"""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from trivium.errors import RunError
from trivium.learn.batch import Demonstration, Rollout, Row, Rows, microbatches, pad, step_batch
from trivium.learn.preference import Preference, pair_batch
from trivium.learn.sft import Supervised
from trivium.learn.types import Loss, Objective, RolloutObjective, TokenBatch
from trivium.models.decoder import Decoder
from trivium.models.logprob import completion_logprobs

SLICE = 1 << 18
"""Numbers of a gradient added at a time: 1 MB of float32."""

Example = Rollout | Demonstration | Preference


@dataclass(frozen=True)
class Optimiser:
    """AdamW (Loshchilov and Hutter 2019) with clipped gradients and a schedule.

    `lr_warmup` steps rise linearly from 0; then the rate is constant, or falls to `lr_floor * lr` at `steps`, linearly
    or along a cosine.
    """

    lr: float = 1e-5
    steps: int = 1
    lr_warmup: int = 0
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    lr_floor: float = 0.0
    weight_decay: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    grad_clip: float = 1.0

    def lr_at(self, step: int) -> float:
        """The rate of step `step`, counted from 0."""
        if step < self.lr_warmup:
            return self.lr * (step + 1) / self.lr_warmup
        done = min(1.0, (step - self.lr_warmup) / max(1, self.steps - self.lr_warmup))
        fall = {"constant": 1.0, "linear": 1 - done, "cosine": (1 + math.cos(math.pi * done)) / 2}[self.schedule]
        return self.lr * (self.lr_floor + (1 - self.lr_floor) * fall)


@dataclass(frozen=True)
class StepReport:
    """What one optimiser step did.  `metrics` are means by name over the tokens or pairs that were trained on.

    Rows that add nothing to the gradient are not computed (see `Learner.step`), so entropy, KL, ratio, clipped shares
    and mismatch say nothing of groups whose rewards are all equal, unless the objective has a KL term in its loss.
    `trained_tokens` are those of the responses that were learned from, with those among them that a mask leaves out.
    """

    loss: float
    grad_norm: float
    lr: float
    trained_tokens: int
    metrics: dict[str, float]


@dataclass(frozen=True)
class _Compared:
    """Rollouts to train on, their advantages within their batch, and their log-probs under the reference, if any."""

    rollouts: Sequence[Rollout]
    advantage: Tensor
    ref: Tensor | None


@dataclass(eq=False)
class Learner:
    """Weights in training.

    `model` computes; where its type is not float32, `masters` are float32 copies that the optimiser updates and that
    are rounded back into `model` after every step, so what samples is what is trained.  `reference` is a frozen model
    for objectives with `needs_ref`.  `seed` decides input noise.  `temperature` is the one the rollouts were sampled
    at: the policy that acts is the policy that learns.  Nobody sampled demonstrations; they are learned at 1.
    """

    model: Decoder
    optimiser: Optimiser
    max_tokens: int = 512
    temperature: float = 1.0
    reference: Decoder | None = None
    seed: int = 0
    step_count: int = 0
    names: list[str] = field(init=False)
    masters: list[Tensor] = field(init=False)
    adam: torch.optim.AdamW = field(init=False)

    def __post_init__(self) -> None:
        trained = [(n, p) for n, p in self.model.named_parameters() if p.requires_grad]
        self.names = [n for n, _ in trained]
        self._params = [p for _, p in trained]
        self.mixed = self._params[0].dtype != torch.float32
        self.masters = [p.detach().float().requires_grad_() for p in self._params] if self.mixed else list(self._params)
        o = self.optimiser
        self.adam = torch.optim.AdamW(
            self.masters, lr=o.lr, betas=(o.beta1, o.beta2), eps=o.eps, weight_decay=o.weight_decay, fused=True
        )

    def restart(self, optimiser: Optimiser) -> None:
        """Forget the optimiser's moments and begin a new schedule, keeping the weights: a new phase of training."""
        self.optimiser, self.step_count = optimiser, 0
        o = optimiser
        self.adam = torch.optim.AdamW(
            self.masters, lr=o.lr, betas=(o.beta1, o.beta2), eps=o.eps, weight_decay=o.weight_decay, fused=True
        )

    def step(self, examples: Sequence[Example], objective: Objective[Any], *, off_policy: bool = False) -> StepReport:
        """One optimiser step on `examples`, which must be of the kind the objective consumes.

        `off_policy` says that the policy has moved since the rollouts were sampled: their log-probs are then the
        denominators of the ratios.  Without it every ratio is exactly 1.  A sampler's log-probs are at temperature 1,
        so that this is refused at any other, where numerators are not; `updates` computes both at the learner's.

        Rows that provably add nothing to the gradient (zero advantage, no KL term) are not computed.  With nothing
        left, or with demonstrations whose masks train nothing, weights and moments stay as they are and the gradient
        norm is 0.  Raises RunError when the gradient is not finite.
        """
        wanted = {"policy-gradient": Rollout, "supervised": Demonstration, "preference": Preference}[objective.kind]
        if not examples or not all(isinstance(e, wanted) for e in examples):
            raise ValueError(f"a {objective.kind} objective learns from a non-empty list of {wanted.__name__}")
        if wanted is Rollout:
            if off_policy and self.temperature != 1:
                raise ValueError(
                    f"off_policy at temperature {self.temperature:g}: rollouts carry log-probs at temperature 1, and a"
                    " ratio needs both at one; expected a Learner at temperature 1. For several steps on rollouts that"
                    " the policy sampled just now, call updates(rollouts, objective, parts)"
                )
            [part] = self._compared([cast(Sequence[Rollout], examples)], cast(Any, objective), off_policy)
            return self._finish(*self._rollouts(part, cast(Any, objective), off_policy))
        if wanted is Demonstration:
            return self._finish(*self._demonstrations(cast(Sequence[Demonstration], examples), cast(Any, objective)))
        return self._finish(*self._pairs(cast(Sequence[Preference], examples), objective))

    def updates(self, rollouts: Sequence[Rollout], objective: RolloutObjective, parts: int) -> Iterator[StepReport]:
        """An optimiser step on each of `parts` parts of a batch; what is compared is compared over the whole batch."""
        for part in self._compared(self.minibatches(rollouts, parts), objective, off_policy=True):
            yield self._finish(*self._rollouts(part, objective, off_policy=True))

    def minibatches(self, rollouts: Sequence[Rollout], parts: int) -> list[list[Rollout]]:
        """Whole groups dealt into `parts` lists, their log-probs replaced by those of the model as it is now."""
        dealt: list[list[Rollout]] = [[] for _ in range(parts)]
        order = {g: i for i, g in enumerate(dict.fromkeys(r.group for r in rollouts))}
        for r in self._relabelled(rollouts):
            dealt[order[r.group] % parts].append(r)
        return [part for part in dealt if part]

    def state(self) -> dict[str, Any]:
        """Everything that continuing bit for bit needs: a view to be written before the next step, not a copy."""
        return {
            "masters": dict(zip(self.names, (m.detach() for m in self.masters), strict=True)),
            "adam": self.adam.state_dict(),
            "step": self.step_count,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Put back what `state` gave."""
        with torch.no_grad():
            for name, master in zip(self.names, self.masters, strict=True):
                master.copy_(state["masters"][name])
        # A copy, or the moments would go on living in the file, or in the learner, that the state came from.
        self.adam.load_state_dict(copy.deepcopy(state["adam"]))
        self.step_count = state["step"]
        self._round()

    def _compared(
        self, parts: Sequence[Sequence[Rollout]], objective: RolloutObjective, off_policy: bool
    ) -> list[_Compared]:
        """The parts of a batch without what the objective drops, their advantages being over the whole batch."""
        refs = [self._reference_logp(_rows(part)) for part in parts] if objective.needs_ref else []
        if objective.needs_ref and self.temperature != 1 and not off_policy:
            # A sampler's log-probs are at temperature 1; a distance from the reference needs both at the same.
            parts = [self._relabelled(part) for part in parts]
        rollouts = [r for part in parts for r in part]
        ref = _stacked(refs) if refs else None
        keep = objective.keep(step_batch(rollouts, ref))
        kept = [r for r, wanted in zip(rollouts, keep.tolist(), strict=True) if wanted]
        if not kept:
            return [_Compared([], torch.zeros(0), None) for _ in parts]
        ref = None if ref is None else ref[keep, : _width(kept)]
        advantage = objective.advantages(step_batch(kept, ref))
        found, start = [], 0
        for flags in torch.split(keep, [len(part) for part in parts]):
            rows = slice(start, start := start + int(flags.sum()))
            width = _width(kept[rows])
            found.append(
                _Compared(
                    kept[rows], advantage[rows] if advantage.ndim == 1 else advantage[rows, :width],
                    None if ref is None else ref[rows, :width],
                )
            )  # fmt: skip
        return found

    def _rollouts(
        self, part: _Compared, objective: RolloutObjective, off_policy: bool
    ) -> tuple[float, int, dict[str, float]]:
        rollouts, advantage, ref = part.rollouts, part.advantage, part.ref
        if not rollouts:
            return 0.0, 0, {}
        rows = _rows(rollouts)
        step = step_batch(rollouts, ref)
        total = objective.count(step.mask, step.truncated)
        old = cast(Tensor, step.old_logp)
        trained = objective.trained(step.mask, step.truncated).any(1)
        if not objective.beta:
            trained &= advantage.abs().view(len(rollouts), -1).amax(1) > 0
        useful = trained.nonzero().flatten().tolist()
        if total == 0 or not useful:
            return 0.0, 0, {}

        drift = [0.0, 0.0]

        def losses(piece: Rows, logp: Tensor, entropy: Tensor, mask: Tensor) -> Loss:
            width = logp.shape[1]
            sampled = old[piece.index, :width]
            drift[0] += float((logp.detach() - sampled)[mask].abs().sum())
            drift[1] += float(mask.sum())
            return objective(
                TokenBatch(
                    logp=logp, mask=mask, entropy=entropy, old_logp=sampled if off_policy else None,
                    ref_logp=None if ref is None else ref[piece.index, :width],
                    advantage=advantage[piece.index] if advantage.ndim == 1 else advantage[piece.index, :width],
                    truncated=step.truncated[piece.index],
                )
            )  # fmt: skip

        loss, tokens, metrics = self._accumulate(rows, useful, total, losses)
        if drift[1] and not off_policy and self.temperature == 1:
            # How far the sampler's log-probs are from the trainer's for the same weights: only rounding, or a bug.
            metrics["mismatch"] = drift[0] / drift[1]
        return loss, tokens, metrics

    def _demonstrations(
        self, shown: Sequence[Demonstration], objective: Supervised
    ) -> tuple[float, int, dict[str, float]]:
        # Noise is for those that have it: an objective need not know of inputs that differ from its labels.
        inputs = self._noisy(shown, objective) if getattr(objective, "noise", 0) else [d.ids for d in shown]
        rows: list[Row] = [(d.prompt, read, d.ids) for d, read in zip(shown, inputs, strict=True)]
        masks = [d.mask or (True,) * len(d.ids) for d in shown]
        total = objective.count(pad(masks).bool())
        if total == 0:
            return 0.0, 0, {}

        def losses(piece: Rows, logp: Tensor, entropy: Tensor, mask: Tensor) -> Loss:
            mask = pad([masks[i] for i in piece.index], logp.shape[1]).bool()
            return objective(TokenBatch(logp=logp, mask=mask, entropy=entropy))

        return self._accumulate(rows, range(len(rows)), total, losses, temperature=1.0)

    def _noisy(self, shown: Sequence[Demonstration], objective: Supervised) -> list[tuple[int, ...]]:
        """What the model reads in place of each demonstration: noise drawn from the step's number, so that it
        resumes.
        """
        labels = pad([d.ids for d in shown]).long()
        # The end-of-sequence token is never read, and untrained tokens are context that stays as it is.
        kept = [[not t for t in (d.mask or (True,) * len(d.ids))] for d in shown]
        protected = pad(kept, labels.shape[1]).bool()
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.step_count)
        read = objective.inputs(labels, protected, vocab_size=self.model.c.vocab, generator=generator).tolist()
        return [tuple(row[: len(d.ids)]) for row, d in zip(read, shown, strict=True)]

    def _pairs(self, pairs: Sequence[Preference], objective: Objective[Any]) -> tuple[float, int, dict[str, float]]:
        rows: list[Row] = [
            row for p in pairs for row in ((p.context, p.chosen, p.chosen), (p.context, p.rejected, p.rejected))
        ]
        ref = self._reference_logp(rows) if objective.needs_ref else None
        total = objective.count(pad([p.chosen_mask or (True,) * len(p.chosen) for p in pairs]).bool())

        def losses(piece: Rows, logp: Tensor, entropy: Tensor, mask: Tensor) -> Loss:
            sides: list[Tensor | None] = [None, None]
            if ref is not None:
                sides = [ref[[2 * i + side for i in piece.index], : logp.shape[1]] for side in (0, 1)]
            return objective(pair_batch([pairs[i] for i in piece.index], logp[0::2], logp[1::2], *sides))

        return self._accumulate(rows, range(len(pairs)), total, losses, unit=2)

    def _accumulate(
        self,
        rows: Sequence[Row],
        units: Iterable[int],
        total: float,
        losses: Callable[[Rows, Tensor, Tensor, Tensor], Loss],
        unit: int = 1,
        temperature: float | None = None,
    ) -> tuple[float, int, dict[str, float]]:
        """Add up the gradient of the step's loss over micro-batches; returns loss, trained tokens and mean metrics."""
        temperature = self.temperature if temperature is None else temperature
        loss_sum, tokens = 0.0, 0
        sums: dict[str, tuple[float, float]] = {}
        with self._collecting():
            for piece in microbatches(rows, self.max_tokens, units, unit):
                logp, entropy, mask = completion_logprobs(
                    self.model, piece.prompts, piece.inputs, targets=piece.targets, temperature=temperature
                )
                loss = losses(piece, logp, entropy, mask)
                if loss.sum.requires_grad:
                    (loss.sum / total).backward()  # type: ignore[no-untyped-call]
                loss_sum += float(loss.sum.detach())
                tokens += int(mask.sum())
                for name, (value, count) in loss.metrics.items():
                    before = sums.get(name, (0.0, 0.0))
                    sums[name] = (before[0] + value, before[1] + count)
        return loss_sum / total, tokens, {k: v / n for k, (v, n) in sums.items() if n}

    @contextmanager
    def _collecting(self) -> Iterator[None]:
        """While this lasts, gradients of the computing type go to the float32 masters as they come."""
        with ExitStack() as stack:
            for master, p in zip(self.masters, self._params, strict=True) if self.mixed else ():
                if master.grad is None:  # made here, and not among activations, which would leave holes behind
                    master.grad = torch.zeros_like(master)
                hook = p.register_post_accumulate_grad_hook(functools.partial(_collect, master))  # type: ignore[no-untyped-call]
                stack.callback(hook.remove)
            yield

    @torch.no_grad()
    def _logp(self, model: Decoder, rows: Sequence[Row]) -> Tensor:
        """Float[B,T] log-probs of all rows under a model, without gradient."""
        out = torch.zeros(len(rows), max(len(t) for _, _, t in rows))
        for piece in microbatches(rows, self.max_tokens, range(len(rows))):
            logp, _, _ = completion_logprobs(
                model, piece.prompts, piece.inputs, targets=piece.targets, temperature=self.temperature
            )
            out[piece.index, : logp.shape[1]] = logp
        return out

    def _relabelled(self, rollouts: Sequence[Rollout]) -> list[Rollout]:
        """The rollouts with the log-probs of the model as it is now, at the learner's temperature."""
        logp = self._logp(self.model, _rows(rollouts)).tolist()
        return [replace(r, logprobs=tuple(row[: len(r.ids)])) for r, row in zip(rollouts, logp, strict=True)]

    def _reference_logp(self, rows: Sequence[Row]) -> Tensor:
        if self.reference is None:
            raise RunError("this objective compares with a reference model, but the learner was given none")
        return self._logp(self.reference, rows)

    def _finish(self, loss: float, tokens: int, metrics: dict[str, float]) -> StepReport:
        """Clip, step, round the masters back into the computing model."""
        lr = self.optimiser.lr_at(self.step_count)
        self.step_count += 1
        if tokens == 0:
            return StepReport(loss, 0.0, lr, 0, metrics)
        for group in self.adam.param_groups:
            group["lr"] = lr
        norm = float(torch.nn.utils.clip_grad_norm_(self.masters, self.optimiser.grad_clip or math.inf))
        if not math.isfinite(norm):
            self._forget()
            raise RunError(
                f"the gradient of step {self.step_count} is not finite; the weights of the step before are kept."
                " Try a lower --lr, or number type fp32: --policy NAME:dtype=fp32"
            )
        self.adam.step()
        # Fused AdamW writes without leaving the mark that tells the engine of new weights.
        torch.autograd.graph.increment_version(self.masters)
        self._forget()
        self._round()
        return StepReport(loss, norm, lr, tokens, metrics)

    def _forget(self) -> None:
        """Back to no gradient.  Masters keep theirs as zeros: fresh memory costs more than the sums that go into it."""
        self.adam.zero_grad(set_to_none=not self.mixed)

    @torch.no_grad()
    def _round(self) -> None:
        if self.mixed:
            for master, p in zip(self.masters, self._params, strict=True):
                p.copy_(master)


def _rows(rollouts: Sequence[Rollout]) -> list[Row]:
    return [(r.prompt, r.ids, r.ids) for r in rollouts]


def _width(rollouts: Sequence[Rollout]) -> int:
    return max((len(r.ids) for r in rollouts), default=0)


def _stacked(parts: Sequence[Tensor]) -> Tensor:
    """Float[B,T] of the parts of a batch, 0 on the right."""
    width = max(part.shape[1] for part in parts)
    return torch.cat([F.pad(part, (0, width - part.shape[1])) for part in parts])


@torch.no_grad()
def _collect(master: Tensor, p: Tensor) -> None:
    """Move a gradient of the computing type into its float32 master: many small ones must not round away.

    As soon as it is complete, so that only one exists at a time; and in slices that stay in the processor's cache,
    since adding two types makes a copy of one of them; on a GPU, where it makes none, in one piece.
    """
    total, grad = cast(Tensor, master.grad), cast(Tensor, p.grad)
    size = SLICE if total.device.type == "cpu" else total.numel()
    for sums, part in zip(torch.split(total.view(-1), size), torch.split(grad.view(-1), size), strict=True):
        sums.add_(part)
    p.grad = None


def fit(
    learner: Learner, stream: Iterable[Sequence[Example]], objective: Objective[Any], *, updates: int = 1
) -> Iterator[list[StepReport]]:
    """Take an optimiser step for every batch of the stream, or `updates` of them on equal parts of a rollout batch.

    Yields the reports of each batch.  The stream is pulled lazily, after the step before: a stream that samples with
    the learner's model is on-policy.  With `updates` > 1 the parts after the first are off-policy, so the log-probs of
    the policy before the first are computed and ratios leave 1.  An empty batch is no step.
    """
    for examples in stream:
        if not examples:
            yield []
        elif updates > 1 and isinstance(examples[0], Rollout):
            yield list(learner.updates(cast(Sequence[Rollout], examples), cast(Any, objective), updates))
        else:
            yield [learner.step(examples, objective)]
