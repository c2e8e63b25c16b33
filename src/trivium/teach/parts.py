"""The parts of a run that its settings name: the policy to teach and the objective it learns by."""

from __future__ import annotations

import inspect
from typing import Any

from trivium.errors import Unsupported
from trivium.learn import OBJECTIVES
from trivium.learn.types import Objective
from trivium.policies import POLICIES
from trivium.policies import policy as make_policy
from trivium.policies.local import LocalPolicy
from trivium.registry import format_spec, parse_spec
from trivium.teach.settings import RunSettings


def local_policy(settings: RunSettings, dtype: str = "") -> LocalPolicy:
    """The policy to teach, its random weights (if any) following the run's seed, in `dtype` if one is named.

    Raises Unsupported for a policy whose weights are not here.
    """
    name, args, options = parse_spec(settings.policy)
    if dtype:
        if name not in POLICIES.where:  # a folder
            name, args, options = parse_spec(f"hf:{settings.policy}")
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
