"""Names of models to policies and methods: `smollm2`, `smollm2+vote:n=8`, `demo+mcts`."""

from __future__ import annotations

import functools
import inspect
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from trivium.errors import UnknownName, UserError
from trivium.registry import check_options, parse_spec
from trivium.search import METHODS, method
from trivium.search.driver import Method
from trivium.serve.aside import Aside
from trivium.serve.errors import ApiError, unsupported
from trivium.types import Policy

MOST_COUNTED = 1024
"""The largest number that a client may write into a method's options."""

_WORD = re.compile(r"[\w.+-]*")
_NAMED = re.compile(r"([A-Za-z0-9_.-]+)=(.+)")


@dataclass(frozen=True, slots=True)
class Served:
    """What a name stands for; without a method, plain sampling."""

    name: str
    policy: Policy
    policy_name: str
    spec: str | None = None

    def method(self, temperature: float | None) -> Method:
        """The method, at a request's own temperature where it has one to set.

        Raises ApiError, naming `temperature`, where it has not, and naming `model` for options it does not have.
        """
        assert self.spec is not None
        try:
            name, _, options = parse_spec(self.spec)
            made = method(self.spec)
        except UserError as error:
            raise ApiError(400, str(error), param="model", code="invalid_value") from error
        if temperature is None:
            return made
        if "temperature" in options:
            raise unsupported("temperature", f"the model's name already says temperature={options['temperature']}")
        if "temperature" not in inspect.signature(METHODS.factory(name)).parameters:
            raise unsupported("temperature", f"the method {name} has none to set; leave it out")
        return functools.partial(cast(Any, made), temperature=temperature)


@dataclass(frozen=True)
class Models:
    """All that is served.  `methods` are the specs that are listed; clients may name others within limits."""

    policies: Mapping[str, Policy]
    methods: tuple[str, ...] = ()
    voices: Mapping[str, Policy] = field(default_factory=dict)

    def listed(self) -> list[Served]:
        """Every policy by itself and with each listed method."""
        return [
            Served(name if spec is None else f"{name}+{spec}", policy, name, spec)
            for name, policy in self.policies.items()
            for spec in (None, *self.methods)
        ]

    def find(self, name: str) -> Served:
        """What a client's name stands for.

        Raises ApiError: 404 for a policy or method that does not exist, 400 for options a client may not set.
        """
        for policy_name in sorted(self.policies, key=len, reverse=True):
            if name == policy_name:
                return Served(name, self.policies[name], name)
            if name.startswith(f"{policy_name}+"):
                spec = name[len(policy_name) + 1 :]
                if spec not in self.methods:
                    check_foreign(spec)
                return Served(name, self.policies[policy_name], policy_name, spec)
        raise missing(UnknownName("model", name, [served.name for served in self.listed()], "See: /v1/models"))


def missing(error: UnknownName) -> ApiError:
    """There is no such model."""
    return ApiError(404, str(error), param="model", code="model_not_found")


def check_foreign(spec: str) -> None:
    """Raises ApiError for a method that a client may not name.

    An option such as `by` can hold the address of a function, which would be imported and called; a count can be so
    large that the queue alone fills the memory.  What the server's owner lists is not checked.
    """
    try:
        name, args, options = parse_spec(spec)
        factory = METHODS.factory(name)
        _, made = check_options(f"method {name}", factory, args, options, exclude={"question": None, "lm": None})
    except UnknownName as error:
        raise (missing(error) if error.kind == "method" else _bad(str(error))) from error
    except UserError as error:
        raise _bad(str(error)) from error
    for option, value in made.items():
        if isinstance(value, str) and not _WORD.fullmatch(value):
            raise _bad(f"{option}={value}: only a method that the server lists may have such an option")
        if isinstance(value, int | float) and not (math.isfinite(value) and abs(value) <= MOST_COUNTED):
            raise _bad(f"{option}={value}: expected a number of at most {MOST_COUNTED}")


def _bad(message: str) -> ApiError:
    return ApiError(400, message, param="model", code="invalid_value")


def load(specs: Sequence[str], methods: Sequence[str], voices: Mapping[str, str] = {}) -> Models:
    """Build what is to be served: policies as `SPEC` or `NAME=SPEC`, methods by their specs.

    Raises UserError for two policies of one name, and for a method that does not exist.
    """
    found: dict[str, Policy] = {}
    for given in specs:
        name, spec = named(given)
        if name in found:
            raise UserError(f"--policy {given}: there is already a policy {name!r}; name it with --policy NAME={spec}")
        found[name] = _policy(spec)
    for spec in methods:
        method(spec)
    return Models(found, tuple(methods), {name: _policy(spec) for name, spec in voices.items()})


def _policy(spec: str) -> Policy:
    """The policy of a spec: able to stream where the fast engine runs it, in a thread where transformers does."""
    from trivium import policies

    made = policies.policy(spec)
    if "top_k" not in made.capabilities or "ids" not in made.capabilities:
        return made  # it has no model here
    from trivium.policies.fallback import FallbackPolicy  # which loads torch, as the policy has done by now
    from trivium.policies.streaming import streaming

    return Aside(made) if isinstance(made, FallbackPolicy) else streaming(made)


def named(given: str) -> tuple[str, str]:
    """The name and the spec of a policy: `a=tiny:1M` is `a`, `runs/demo/model` is `demo`, else the spec is the name."""
    match = _NAMED.fullmatch(given)
    if match:
        return match[1], match[2]
    spec, folder = given, Path(given.partition(",")[0].removeprefix("hf:"))
    if folder.is_dir():
        folder = folder.resolve()
        return (folder.parent.name if folder.name == "model" else folder.name), spec
    if spec.startswith("openai:"):
        return spec.removeprefix("openai:").rpartition("@")[0] or spec, spec
    return spec, spec
