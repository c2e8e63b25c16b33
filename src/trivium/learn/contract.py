"""The contract every objective keeps, as a function that anyone can run on their own.

    problems = check_objective(my_objective)        # [] or sentences

It builds small float64 batches of the objective's kind and checks: the gradient against finite differences; that zero
advantage (or zero weight) gives zero gradient; that padding, row order and micro-batches change neither loss nor
gradient nor metrics; that `count` knows the denominator in advance; and for policy gradients that they have all that
the loop asks for, and that groups of one or of equal rewards have advantage 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from trivium.learn.types import Loss, Objective, PairBatch, StepBatch, TokenBatch

Batch = TokenBatch | PairBatch
_EXACT = 1e-10  # two float64 sums of the same few numbers in another order
_NUMERIC = 1e-6  # central differences with a step of 1e-6


def check_objective(objective: Objective[Any], *, seed: int = 0) -> list[str]:
    """Every promise of the contract that `objective` breaks, one sentence each; empty when it keeps them all."""
    batch = _pairs(seed) if objective.kind == "preference" else _tokens(seed)
    checks = [_declarations, _gradient, _silence, _padding, _order, _micro_batches]
    if objective.kind == "policy-gradient":
        checks += [_rollouts, _advantages]
    problems: list[str] = []
    for check in checks:
        try:
            problems += check(objective, batch)
        except Exception as error:
            problems.append(f"{check.__name__.strip('_')}: raised {type(error).__name__}: {error}")
    return problems


def _declarations(objective: Objective[Any], batch: Batch) -> Iterator[str]:
    loss, _ = _run(objective, batch)
    if loss.sum.ndim != 0 or not loss.sum.isfinite():
        yield f"sum is {loss.sum}; expected a finite scalar"
    if not loss.count > 0:
        yield f"count is {loss.count}; expected a positive number"
    needs = {"ref_logp": objective.needs_ref, "old_logp": objective.needs_old}
    spare = [f.name for f in fields(batch) for key, needed in needs.items() if f.name.endswith(key) and not needed]
    _run(objective, _with(batch, dict.fromkeys(spare)))


def _gradient(objective: Objective[Any], batch: Batch) -> Iterator[str]:
    """Central differences, with the sampler's log-probs held, or moved along so that a detached ratio stands still."""
    _, gradient = _run(objective, batch)
    if not any(g.abs().max() > 0 for g in gradient.values()):
        yield "the gradient is zero on a batch with signal"
    for name, exact in gradient.items():
        held = _differences(objective, batch, (name,))
        if torch.allclose(held, exact, atol=_NUMERIC, rtol=_NUMERIC):
            continue
        moved = _differences(objective, batch, (name, "old_logp")) if name == "logp" else held
        if not torch.allclose(moved, exact, atol=_NUMERIC, rtol=_NUMERIC):
            yield f"the gradient of {name} is off from finite differences by up to {(held - exact).abs().max():.2e}"


def _silence(objective: Objective[Any], batch: Batch) -> Iterator[str]:
    if objective.kind == "policy-gradient" and isinstance(batch, TokenBatch):
        # a KL penalty is at its minimum where policy and reference agree
        quiet: Batch = replace(batch, advantage=torch.zeros_like(batch.logp), ref_logp=batch.logp)
        cause = "advantage"
    else:
        weighed = batch.logp if isinstance(batch, TokenBatch) else batch.weight
        quiet, cause = replace(batch, weight=torch.zeros_like(weighed)), "weight"
    _, gradient = _run(objective, quiet)
    if worst := max(float(g.abs().max()) for g in gradient.values()):
        yield f"zero {cause} leaves a gradient of {worst:.2e}; expected none"


def _padding(objective: Objective[Any], batch: Batch) -> Iterator[str]:
    yield from _compare("padding that holds NaN", _total(objective, batch), _total(objective, _pad(batch, 2)))


def _order(objective: Objective[Any], batch: Batch) -> Iterator[str]:
    backwards = list(range(_rows(batch)))[::-1]
    yield from _compare("reversing the rows", _total(objective, batch), _total(objective, batch, [backwards]))


def _micro_batches(objective: Objective[Any], batch: Batch) -> Iterator[str]:
    whole = _total(objective, batch)
    for blocks in _partitions(list(range(_rows(batch)))):
        yield from _compare(f"cutting the rows into {blocks}", whole, _total(objective, batch, blocks))


def _rollouts(objective: Any, batch: Batch) -> Iterator[str]:
    """What `RolloutObjective` has and no other check calls."""
    step = _step()
    for name, found in (("keep", objective.keep(step)), ("trained", objective.trained(step.mask, step.truncated))):
        shape = step.group.shape if name == "keep" else step.mask.shape
        if found.dtype != torch.bool or found.shape != shape:
            yield f"{name} gives {found.dtype} of shape {tuple(found.shape)}; expected Bool of shape {tuple(shape)}"
    if not objective.beta >= 0:
        yield f"beta is {objective.beta}; expected a number of at least 0"


def _advantages(objective: Any, batch: Batch) -> Iterator[str]:
    step = _step()
    advantage = objective.advantages(step)
    if advantage.shape not in (step.reward.shape, step.mask.shape) or advantage.requires_grad:
        yield f"advantages have shape {tuple(advantage.shape)}; expected Float[B] or Float[B,T] without gradient"
        return
    advantage = _per_token(advantage, step.mask)
    if not advantage.isfinite().all() or not advantage.abs().max() > 0:
        yield "advantages are not finite, or all zero on a step with signal"
    if getattr(objective, "grouped", True):
        if advantage[:3].any():
            yield f"a group of equal rewards has advantage {advantage[:3].tolist()}; expected 0"
        if advantage[3].any():
            yield f"a group of one has advantage {advantage[3].tolist()}; expected 0"
    level = replace(step, reward=torch.full_like(step.reward, 0.1))
    if objective.advantages(level).any():
        yield "a step of equal rewards has non-zero advantages"
    padded = _per_token(objective.advantages(_pad(step, 2)), _pad(step, 2).mask)[:, : step.mask.shape[1]]
    if not torch.allclose(padded, advantage, atol=_EXACT):
        yield "padding changes the advantages"
    order = list(range(len(step.reward)))[::-1]
    if not torch.allclose(_per_token(objective.advantages(_take(step, order)), step.mask[order])[order], advantage):
        yield "the order of the rows changes the advantages"


@dataclass(frozen=True)
class _Total:
    """Loss, denominator, gradients and metrics of a step, put together from its micro-batches."""

    loss: float
    count: float
    gradient: dict[str, Tensor]
    metrics: dict[str, tuple[float, float]]


def _total(objective: Objective[Any], batch: Any, blocks: list[list[int]] | None = None) -> _Total:
    """The step in one piece, or in micro-batches of these rows, each as narrow as its longest row."""
    parts = [_trim(_take(batch, rows)) for rows in blocks] if blocks else [batch]
    gradient = {name: torch.zeros_like(getattr(batch, name)) for name in _leaves(batch)}
    ahead = total = count = 0.0
    metrics: dict[str, tuple[float, float]] = {}
    for rows, part in zip(blocks or [list(range(_rows(batch)))], parts, strict=True):
        loss, gradients = _run(objective, part)
        ahead, total, count = ahead + objective.count(*_masks(part)), total + float(loss.sum), count + loss.count
        for name, g in gradients.items():
            gradient[name][rows, : g.shape[1]] = g
        for key, (value, n) in loss.metrics.items():
            before = metrics.get(key, (0.0, 0.0))
            metrics[key] = (before[0] + value, before[1] + n)
    if not abs(ahead - count) <= _EXACT:
        raise ValueError(f"count() promised {ahead} and the losses reported {count}")
    return _Total(total / count, count, {name: g / count for name, g in gradient.items()}, metrics)


def _compare(what: str, a: _Total, b: _Total) -> Iterator[str]:
    if not (abs(a.loss - b.loss) <= _EXACT and abs(a.count - b.count) <= _EXACT):  # so that NaN is a change too
        yield f"{what} changes the loss from {a.loss} (count {a.count}) to {b.loss} (count {b.count})"
    for name, left in a.gradient.items():
        right = b.gradient[name]
        width = max(left.shape[1], right.shape[1])
        left, right = (torch.nn.functional.pad(g, (0, width - g.shape[1])) for g in (left, right))
        if not torch.allclose(left, right, atol=_EXACT, rtol=_EXACT):
            yield f"{what} changes the gradient of {name} by up to {(left - right).abs().max():.2e}"
    for key, pair in a.metrics.items():
        if not all(abs(x - y) <= 1e-4 * (1 + abs(x)) for x, y in zip(pair, b.metrics[key], strict=True)):
            yield f"{what} changes the metric {key} from {pair} to {b.metrics[key]}"


def _run(objective: Objective[Any], batch: Any) -> tuple[Loss, dict[str, Tensor]]:
    names = _leaves(batch)
    leaves = {k: getattr(batch, k).detach().clone().requires_grad_() for k in names}
    loss = objective(_with(batch, leaves))
    gradient = torch.autograd.grad(loss.sum, list(leaves.values()))
    return replace(loss, sum=loss.sum.detach()), dict(zip(names, gradient, strict=True))


def _differences(objective: Objective[Any], batch: Batch, names: tuple[str, ...], step: float = 1e-6) -> Tensor:
    """d sum / d name[0] by central differences, moving all of `names` together."""
    out = torch.zeros_like(getattr(batch, names[0]))
    for i in range(out.numel()):
        shift = torch.zeros_like(out).view(-1)
        shift[i] = step
        up, down = (
            float(objective(_with(batch, {k: getattr(batch, k) + s * shift.view_as(out) for k in names})).sum)
            for s in (1, -1)
        )
        out.view(-1)[i] = (up - down) / (2 * step)
    return out


def _with(batch: Any, changes: Mapping[str, Tensor | None]) -> Any:
    return replace(batch, **changes)


def _partitions(rows: list[int]) -> Iterator[list[list[int]]]:
    """Every way of cutting rows into blocks."""
    if not rows:
        yield []
        return
    for blocks in _partitions(rows[1:]):
        yield [rows[:1], *blocks]
        for i, block in enumerate(blocks):
            yield [*blocks[:i], [rows[0], *block], *blocks[i + 1 :]]


def _leaves(batch: Batch) -> tuple[str, ...]:
    return ("logp",) if isinstance(batch, TokenBatch) else ("chosen_logp", "rejected_logp")


def _rows(batch: Batch) -> int:
    return len(getattr(batch, _leaves(batch)[0]))


def _masks(batch: Batch) -> tuple[Tensor, Tensor | None]:
    return (batch.mask, batch.truncated) if isinstance(batch, TokenBatch) else (batch.chosen_mask, None)


def _per_token(advantage: Tensor, mask: Tensor) -> Tensor:
    return (advantage if advantage.ndim == 2 else advantage[:, None].expand(mask.shape)).masked_fill(~mask, 0.0)


def _take(batch: Any, rows: list[int]) -> Any:
    return replace(batch, **{f.name: v[rows] for f in fields(batch) if (v := getattr(batch, f.name)) is not None})


def _resize(batch: Any, columns: Any) -> Any:
    """Apply `columns(tensor, mask)` to every Float or Bool[B,T], with the mask of its own width."""
    out = {}
    for f in fields(batch):
        value = getattr(batch, f.name)
        if value is not None and value.ndim == 2:
            side = f.name.partition("_")[0] + "_mask" if isinstance(batch, PairBatch) else "mask"
            out[f.name] = columns(value, getattr(batch, side))
    return replace(batch, **out)


def _pad(batch: Any, n: int) -> Any:
    def more(value: Tensor, mask: Tensor) -> Tensor:
        fill = float("nan") if value.is_floating_point() else False
        return torch.cat([value, value.new_full((len(value), n), fill)], -1)

    return _resize(batch, more)


def _trim(batch: Any) -> Any:
    return _resize(batch, lambda value, mask: value[:, : int(mask.any(0).nonzero().max()) + 1])


def _tokens(seed: int) -> TokenBatch:
    """Five ragged sequences whose ratios lie inside and outside every published clip range."""
    g = torch.Generator().manual_seed(seed)
    lengths = torch.tensor([4, 1, 3, 2, 4])
    logp = -torch.rand(5, 4, generator=g, dtype=torch.float64) - 0.1
    spread = torch.tensor([0.5, 1e-4, 0.5, 1e-4, 2.0], dtype=torch.float64)[:, None]
    return TokenBatch(
        logp=logp,
        mask=torch.arange(4) < lengths[:, None],
        old_logp=logp + spread * torch.randn(5, 4, generator=g, dtype=torch.float64),
        ref_logp=logp + 0.3 * torch.randn(5, 4, generator=g, dtype=torch.float64),
        advantage=torch.tensor([1.0, -0.5, -1.5, 0.7, 0.4], dtype=torch.float64),
        truncated=torch.tensor([False, False, False, True, False]),
        weight=0.5 + torch.rand(5, 4, generator=g, dtype=torch.float64),
        entropy=torch.rand(5, 4, generator=g, dtype=torch.float64),
    )


def _pairs(seed: int) -> PairBatch:
    """Four pairs of ragged responses."""
    g = torch.Generator().manual_seed(seed)
    chosen, rejected = (-torch.rand(4, t, generator=g, dtype=torch.float64) - 0.1 for t in (4, 5))
    return PairBatch(
        chosen_logp=chosen,
        rejected_logp=rejected,
        chosen_mask=torch.arange(4) < torch.tensor([[4], [2], [3], [4]]),
        rejected_mask=torch.arange(5) < torch.tensor([[2], [5], [3], [4]]),
        start=torch.tensor([0, 1, 2, 1]),
        weight=torch.tensor([1.0, 0.5, 2.0, 1.0], dtype=torch.float64),
        margin=torch.tensor([0.0, 0.2, 0.0, 0.5], dtype=torch.float64),
        smoothing=torch.tensor([0.0, 0.1, 0.3, 0.0], dtype=torch.float64),
        chosen_ref_logp=chosen + 0.3 * torch.randn(4, 4, generator=g, dtype=torch.float64),
        rejected_ref_logp=rejected + 0.3 * torch.randn(4, 5, generator=g, dtype=torch.float64),
    )


def _step() -> StepBatch:
    """A group of three equal rewards, a group of one, and a mixed group of four."""
    mask = torch.arange(3) < torch.tensor([[3], [2], [1], [3], [2], [3], [1], [2]])
    old = -torch.linspace(0.1, 2.4, 24, dtype=torch.float64).view(8, 3)
    return StepBatch(
        reward=torch.tensor([0.1, 0.1, 0.1, 0.7, 1.0, 0.0, 0.0, 0.3], dtype=torch.float64),
        group=torch.tensor([5, 5, 5, 2, 9, 9, 9, 9]),
        mask=mask,
        truncated=torch.zeros(8, dtype=torch.bool),
        correct=torch.tensor([False, False, False, True, True, False, False, False]),
        old_logp=old,
        ref_logp=old.clone(),
    )
