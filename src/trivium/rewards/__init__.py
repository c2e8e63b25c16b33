"""Rewards: functions over all judged traces of one problem, and their weighted sum.  No torch here.

A reward maps a group of traces to one number per trace, or `None` where the verifier itself failed: such a trace is
never paid, and whoever makes a `StepBatch` drops it, so that it does not enter its group's mean either.
"""

from __future__ import annotations

from trivium.registry import Registry
from trivium.rewards.judged import Reward

REWARDS: Registry[Reward] = Registry(
    "reward",
    {
        "outcome": "trivium.rewards.outcome:outcome",
        "format": "trivium.rewards.outcome:well_formed",
        "partial": "trivium.rewards.outcome:partial",
        "agreement": "trivium.rewards.agreement:agreement",
        "random": "trivium.rewards.agreement:random_pay",
        "length": "trivium.rewards.length:length",
        "overlong": "trivium.rewards.length:overlong",
        "relative-length": "trivium.rewards.length:relative_length",
    },
)

__all__ = ["REWARDS", "Reward"]
