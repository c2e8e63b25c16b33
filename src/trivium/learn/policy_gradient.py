"""The policy-gradient family: seven published methods, each a choice on five axes.

    name          advantage               ratio     surrogate           aggregation            KL
    grpo          group z-score           token     clip 0.2            per sequence           beta k3 in the loss
    dr-grpo       group centre            token     clip 0.2            sum / generation cap   none
    dapo          group z-score           token     clip 0.2, 0.28      per token              none
    rloo          leave one out           -         reinforce           sequence sum           beta k1 in the reward
    reinforce++   whitened return-to-go   token     clip 0.2            per token              beta k1 in the reward
    gspo          group z-score           sequence  clip 3e-4, 4e-4     per sequence           none
    cispo         group z-score           token     capped weight 5     per token              none

Departure from the papers: `beta` is 0 unless given, so that no reference model has to be held and run.  Libraries
differ from the papers and from each other under the same names; each docstring says where.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

from torch import Tensor

from trivium.errors import UserError
from trivium.learn.advantage import (
    batch_whiten,
    everything,
    group_centre,
    group_centre_batch_whiten,
    group_zscore,
    leave_one_out,
    mixed_outcomes,
)
from trivium.learn.aggregate import (
    observed_tokens,
    seq_mean_token_mean,
    seq_sum_over_constant,
    sequence_sum,
    token_mean,
)
from trivium.learn.kl import k2, k3
from trivium.learn.ratio import sequence_ratio, token_ratio
from trivium.learn.surrogate import Surrogate, capped_weight, clipped, reinforce
from trivium.learn.types import Kind, Loss, StepBatch, TokenBatch, required


@dataclass(frozen=True, kw_only=True)
class PolicyGradient:
    """loss_it = -surrogate(log pi, ratio, A) + beta kl(log pi, log ref), aggregated.

    `keep` says which rollouts of a step are trained at all: the loop drops the others, and may sample more, before it
    asks for `advantages` and `count`.  `drop_truncated` takes rollouts that hit the length cap out of the loss, but not
    out of their group's statistics.  `refers` says that `kl` looks at the reference, and is not something else that is
    to stay small.  `grouped` promises that a group whose rewards are all equal has advantage 0, and
    `on_policy` says that no ratio corrects for rollouts which another policy sampled than the one that is updated.
    """

    advantage: Callable[[StepBatch], Tensor]
    ratio: Callable[[Tensor, Tensor, Tensor], Tensor]
    surrogate: Callable[[Tensor, Tensor, Tensor], Surrogate]
    aggregate: Callable[[Tensor, Tensor], tuple[Tensor, float]]
    kl: Callable[[Tensor, Tensor], Tensor] = k3
    beta: float = 0.0
    refers: bool = True
    keep: Callable[[StepBatch], Tensor] = everything
    drop_truncated: bool = False
    grouped: bool = True
    on_policy: bool = False
    needs_ref: bool = False
    needs_old: bool = True
    kind: ClassVar[Kind] = "policy-gradient"

    def advantages(self, step: StepBatch) -> Tensor:
        """Float[B] or Float[B,T], once for the whole step."""
        return self.advantage(step)

    def trained(self, mask: Tensor, truncated: Tensor | None) -> Tensor:
        """Bool[B,T]: the tokens that enter the loss."""
        if not self.drop_truncated:
            return mask
        return mask & ~required(truncated, "truncated", "this objective leaves truncated rollouts out")[:, None]

    def count(self, mask: Tensor, truncated: Tensor | None = None) -> float:
        """The denominator of these rows."""
        mask = self.trained(mask, truncated)
        return self.aggregate(mask.float(), mask)[1]

    def __call__(self, batch: TokenBatch) -> Loss:
        mask = self.trained(batch.mask, batch.truncated)
        logp = batch.logp.masked_fill(~mask, 0.0)
        old = logp.detach() if batch.old_logp is None else batch.old_logp.masked_fill(~mask, 0.0)
        advantage = required(batch.advantage, "advantage", "a policy gradient weighs tokens by it")
        advantage = (advantage if advantage.ndim == 2 else advantage[:, None].expand_as(logp)).masked_fill(~mask, 0.0)

        ratio = self.ratio(logp, old, mask)
        surrogate = self.surrogate(logp, ratio, advantage)
        loss = -surrogate.value
        if self.beta:
            ref = logp.detach()
            if self.refers:
                ref = required(batch.ref_logp, "ref_logp", "beta > 0 penalises the distance from the reference")
            loss = loss + self.beta * self.kl(logp, ref.masked_fill(~mask, 0.0))
        if batch.weight is not None:
            loss = loss * batch.weight.masked_fill(~mask, 0.0)

        observed = {
            "clip_low": surrogate.low,
            "clip_high": surrogate.high,
            "ratio": ratio,
            "kl_old": k3(old, logp),
            "kl_ref": None if batch.ref_logp is None else k3(logp, batch.ref_logp.masked_fill(~mask, 0.0)),
            "entropy": batch.entropy,
        }
        metrics = {k: observed_tokens(v, mask) for k, v in observed.items() if v is not None}
        return Loss(*self.aggregate(loss, mask), metrics)


def grpo(*, clip: float = 0.2, beta: float = 0.0, kl: Literal["k2", "k3"] = "k3", eps: float = 1e-4) -> PolicyGradient:
    """GRPO as published: group z-scores, clipped token ratios, mean over tokens and then over sequences.

    L = 1/N sum_i 1/T_i sum_t [ -min(rho A, clip(rho, 1 - clip, 1 + clip) A) + beta k3 ].
    Shao et al. 2024 (DeepSeekMath), arXiv:2402.03300, eq. 3; beta 0.04 there, 0.001 in DeepSeek-R1.  `kl=k2` gives the
    penalty the gradient of the KL itself, which k3 as a loss does not have.
    Elsewhere: "GRPO" of verl, OpenRLHF and TRL averages over all tokens of the batch by default.
    """
    _at_least_0("grpo", clip=clip, beta=beta, eps=eps)
    return PolicyGradient(
        advantage=partial(group_zscore, eps=eps),
        ratio=token_ratio,
        surrogate=partial(clipped, low=clip, high=clip),
        aggregate=seq_mean_token_mean,
        kl={"k2": k2, "k3": k3}[kl],
        beta=beta,
        needs_ref=beta > 0,
    )


def dr_grpo(*, clip: float = 0.2, max_tokens: int = 256) -> PolicyGradient:
    """Dr.GRPO: GRPO without the two divisions that favour long wrong answers and extreme difficulties.

    L = 1/N sum_i 1/L sum_t -min(rho A, clip(rho) A), A_i = R_i - mean_G, L = `max_tokens`, the generation cap.
    Liu et al. 2025, arXiv:2503.20783.  Elsewhere: verl divides by the padded width unless told otherwise; OpenRLHF
    drops the deviation only.
    """
    _at_least_0("dr-grpo", clip=clip)
    if max_tokens < 1:
        raise UserError(f"dr-grpo: max_tokens={max_tokens}; expected the generation cap, at least 1")
    return PolicyGradient(
        advantage=group_centre,
        ratio=token_ratio,
        surrogate=partial(clipped, low=clip, high=clip),
        aggregate=partial(seq_sum_over_constant, constant=max_tokens),
    )


def dapo(*, low: float = 0.2, high: float = 0.28, eps: float = 1e-4) -> PolicyGradient:
    """DAPO: token mean, a higher upper clip, only groups of mixed outcome, truncated rollouts left out.

    L = sum_it -min(rho A, clip(rho, 1 - low, 1 + high) A) / sum_i T_i.  Its soft length penalty is the reward
    `overlong`.  Yu et al. 2025, arXiv:2503.14476.  Elsewhere: TRL's "dapo" is the aggregation only; most filters look
    at the spread of the shaped reward, not at the outcome.
    """
    _at_least_0("dapo", low=low, high=high, eps=eps)
    return PolicyGradient(
        advantage=partial(group_zscore, eps=eps),
        ratio=token_ratio,
        surrogate=partial(clipped, low=low, high=high),
        aggregate=token_mean,
        keep=mixed_outcomes,
        drop_truncated=True,
    )


def rloo(*, beta: float = 0.0) -> PolicyGradient:
    """RLOO: REINFORCE on whole sequences, the other rollouts of the group being the baseline.  One update per rollout.

    L = -1/N sum_i A_i log pi(o_i), A_i = R'_i - mean_{j != i} R'_j, R'_i = R_i - beta sum_t k1_t.
    Ahmadian et al. 2024, arXiv:2402.14740.  Elsewhere: TRL clips exp(sum_t log rho) as in PPO; verl and OpenRLHF put
    the advantage under a token-level PPO loss.
    """
    _at_least_0("rloo", beta=beta)
    return PolicyGradient(
        advantage=partial(leave_one_out, beta=beta),
        ratio=token_ratio,
        surrogate=reinforce,
        aggregate=sequence_sum,
        on_policy=True,
        needs_ref=beta > 0,
        needs_old=beta > 0,
    )


def reinforce_pp(*, clip: float = 0.2, beta: float = 0.0) -> PolicyGradient:
    """REINFORCE++: no groups; returns-to-go with KL inside the reward, whitened over all tokens of the step.

    L = sum_it -min(rho A_t, clip(rho) A_t) / sum_i T_i, A = whiten(1[t = T] R - beta k1_t summed to the end).
    Hu et al. 2025, arXiv:2501.03262.
    """
    _at_least_0("reinforce++", clip=clip, beta=beta)
    return PolicyGradient(
        advantage=partial(batch_whiten, beta=beta),
        ratio=token_ratio,
        surrogate=partial(clipped, low=clip, high=clip),
        aggregate=token_mean,
        grouped=False,
        needs_ref=beta > 0,
    )


def reinforce_pp_baseline(*, clip: float = 0.2, beta: float = 0.0) -> PolicyGradient:
    """REINFORCE++-baseline: the group mean is subtracted first, then all tokens of the step are whitened.

    As `reinforce_pp` with R_i - mean_G in place of R_i.  Hu et al. 2025, arXiv:2501.03262.  A group without spread gets
    minus the token mean of the step, which is near 0 but not 0.
    """
    _at_least_0("reinforce++-baseline", clip=clip, beta=beta)
    return PolicyGradient(
        advantage=partial(group_centre_batch_whiten, beta=beta),
        ratio=token_ratio,
        surrogate=partial(clipped, low=clip, high=clip),
        aggregate=token_mean,
        grouped=False,
        needs_ref=beta > 0,
    )


def gspo(*, low: float = 3e-4, high: float = 4e-4, eps: float = 1e-4) -> PolicyGradient:
    """GSPO: one length-normalised ratio per sequence; whole sequences are clipped, in a thousand times narrower range.

    L = -1/N sum_i min(s_i A_i, clip(s_i, 1 - low, 1 + high) A_i).  Zheng et al. 2025, arXiv:2507.18071.
    Elsewhere: TRL with a token-sum loss re-weighs each sequence by its length.
    """
    _at_least_0("gspo", low=low, high=high, eps=eps)
    return PolicyGradient(
        advantage=partial(group_zscore, eps=eps),
        ratio=sequence_ratio,
        surrogate=partial(clipped, low=low, high=high),
        aggregate=seq_mean_token_mean,
    )


def cispo(*, cap: float = 5.0, eps: float = 1e-4) -> PolicyGradient:
    """CISPO: REINFORCE weighted by a capped ratio without gradient; every token keeps learning.

    L = -sum_it sg(min(rho, cap)) A log pi / sum_i T_i.  MiniMax 2025, arXiv:2506.13585; cap 5 is ScaleRL's.
    Elsewhere: verl also clips the weight below, and its number is added to 1.
    """
    _at_least_0("cispo", cap=cap, eps=eps)
    return PolicyGradient(
        advantage=partial(group_zscore, eps=eps),
        ratio=token_ratio,
        surrogate=partial(capped_weight, cap=cap),
        aggregate=token_mean,
    )


def _at_least_0(name: str, **options: float) -> None:
    for key, value in options.items():
        if not value >= 0:
            raise UserError(f"{name}: {key}={value}; expected a number of at least 0")
