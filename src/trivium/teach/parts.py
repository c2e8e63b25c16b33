"""The parts of a run that its settings name: the policy to teach, the objective it learns by and what is paid."""

from __future__ import annotations

import inspect
from typing import Any

from trivium.errors import Unsupported, UserError
from trivium.learn import OBJECTIVES
from trivium.learn.types import Objective
from trivium.policies import policy as make_policy
from trivium.policies import whole
from trivium.policies.local import LocalPolicy
from trivium.registry import format_spec, parse_spec
from trivium.rewards.composite import Composite, parse_rewards
from trivium.teach.settings import LearnSettings, RunSettings

IDLE = {
    "policy-gradient": (), "preference": ("reward", "updates"),
    "supervised": ("reward", "updates", "samples", "temperature", "refill"),
}  # fmt: skip
"""Options that change nothing of what objectives of a kind learn."""
WHY = {
    "reward": "only policy gradients learn from what answers are paid",
    "updates": "only rollouts are learnt from in parts",
}


def local_policy(settings: RunSettings, dtype: str = "") -> LocalPolicy:
    """The policy to teach, its random weights (if any) following the run's seed, in `dtype` if one is named.

    Raises Unsupported for a policy whose weights are not here.
    """
    name, args, options = parse_spec(whole(settings.policy))
    if dtype:
        # Loaded in the type that is fastest today and turned into this one, weights would keep the rounding of both.
        options["dtype"] = dtype
    if name == "tiny":
        options.setdefault("seed", str(settings.seed))
    made = make_policy(format_spec(name, options, args))
    if not isinstance(made, LocalPolicy):
        raise Unsupported(
            f"policy {settings.policy} cannot be taught: its weights are not in Trivium's own engine. Policies that"
            " can: tiny, smollm2, and hf with a Llama-, Qwen2-, Qwen3- or GPT-2-style model"
        )
    return made


def make_objective(spec: str, max_tokens: int) -> Objective[Any]:
    """The objective a spec describes; one that divides by the generation cap gets the run's unless the spec names
    one.
    """
    name, _, options = parse_spec(spec)
    capped = "max_tokens" in inspect.signature(OBJECTIVES.factory(name)).parameters and "max_tokens" not in options
    return OBJECTIVES.build(spec, **({"max_tokens": max_tokens} if capped else {}))


def refuse_idle(settings: LearnSettings, objective: Objective[Any]) -> None:
    """Raise UserError for an option that was given and would change nothing: whoever gives one trusts in it."""
    for name in IDLE[objective.kind]:
        value = getattr(settings, name)
        if value != settings.usual(name):
            why = WHY.get(name, f"{settings.objective} imitates written solutions and samples none")
            raise UserError(f"--{name} {value}: {why}; leave it out, or choose another --objective, such as grpo")
    if settings.updates > 1 and getattr(objective, "on_policy", False):
        raise UserError(
            f"--updates {settings.updates}: {settings.objective} has no ratio to correct for rollouts that were"
            " sampled before the first of them; leave it out, or choose another --objective"
        )


def lesson(settings: LearnSettings, max_tokens: int) -> tuple[Objective[Any], Composite]:
    """The objective and the reward of a run whose responses are at most `max_tokens` long.

    Raises UserError for what they cannot be built of, or for an option that is idle with the objective.
    """
    objective = make_objective(settings.objective, max_tokens)
    reward = parse_rewards(settings.reward, max_tokens=max_tokens)
    refuse_idle(settings, objective)
    return objective, reward
