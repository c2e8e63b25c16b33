"""Learning: pure objectives on log-probabilities, and one loop that steps them.

An objective maps a batch to `Loss(sum, count, metrics)`; the loop divides once, by the count of the whole step.
Five axes make the policy-gradient family: `advantage` x `ratio` x `surrogate` x `kl` x `aggregate`, each a file of
named pure functions; `policy_gradient` assembles the published methods from them.  `sft` and `preference` hold the
other two kinds, and `contract.check_objective` tests any of them, yours included.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trivium.registry import Registry

if TYPE_CHECKING:
    from trivium.learn.types import Objective

OBJECTIVES: Registry[Objective[Any]] = Registry(
    "objective",
    {
        "grpo": "trivium.learn.policy_gradient:grpo",
        "dr-grpo": "trivium.learn.policy_gradient:dr_grpo",
        "dapo": "trivium.learn.policy_gradient:dapo",
        "rloo": "trivium.learn.policy_gradient:rloo",
        "reinforce++": "trivium.learn.policy_gradient:reinforce_pp",
        "reinforce++-baseline": "trivium.learn.policy_gradient:reinforce_pp_baseline",
        "gspo": "trivium.learn.policy_gradient:gspo",
        "cispo": "trivium.learn.policy_gradient:cispo",
        "signed-reinforce": "trivium.learn.token_credit:signed_reinforce",
        "soft-bellman": "trivium.learn.soft_bellman:soft_bellman",
        "sft": "trivium.learn.sft:sft",
        "dpo": "trivium.learn.preference:dpo",
        "dpo-nll": "trivium.learn.preference:dpo_nll",
        "ipo": "trivium.learn.preference:ipo",
        "simpo": "trivium.learn.preference:simpo",
        "step-dpo": "trivium.learn.preference:step_dpo",
    },
)

__all__ = ["OBJECTIVES"]
