"""A bonus for entropy inside a policy-gradient loss."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from trivium.errors import UserError
from trivium.learn.policy_gradient import PolicyGradient


def surprise(logp: Tensor, ref_logp: Tensor) -> Tensor:
    """(log pi)^2 / 2, whatever the reference says: the loss whose gradient is that of minus the entropy.

    Its gradient is log pi times that of log pi, and sum_a pi(a) log pi(a) grad log pi(a) = -grad H.  So it needs only
    the tokens that were sampled, and it is k2 (see `kl`) from the distribution to which all tokens are alike.  What a
    token does to the entropy of those after it is not in it, as in every bonus that is added up token by token.
    """
    return logp.square() / 2


def with_entropy(objective: PolicyGradient, bonus: float) -> PolicyGradient:
    """The objective, which must have no KL term in its loss, minus `bonus` times the entropy of every trained token.

    Tokens are added up as the objective adds them.  Rollouts without an advantage are trained on as well.  Williams and
    Peng 1991; Mnih et al. 2016, arXiv:1602.01783.
    """
    if bonus < 0 or objective.beta:
        raise UserError(f"entropy bonus {bonus}: expected at least 0, and an objective without a KL term in its loss")
    return replace(objective, kl=surprise, beta=bonus, refers=False) if bonus else objective
