"""What wrappers of a policy have in common: they are it, but for what they say themselves."""

from __future__ import annotations

from typing import Any

from trivium.types import Policy


class Around:
    """Passes on what a policy is called, what it can do, and what not every policy has; calls are for who inherits."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def __getattr__(self, name: str) -> Any:
        # What not every policy has, such as `encode`, is there if the policy has it.
        return getattr(self._policy, name)

    @property
    def name(self) -> str:
        return self._policy.name

    @property
    def version(self) -> str:
        return self._policy.version

    @property
    def capabilities(self) -> frozenset[str]:
        return self._policy.capabilities
