"""The policies by name.  Importing this loads none of them: each module is imported when it is first asked for."""

from __future__ import annotations

from pathlib import Path

from trivium.registry import Registry
from trivium.types import Policy

POLICIES: Registry[Policy] = Registry(
    "policy",
    {
        "tiny": "trivium.policies.tiny:tiny",
        "smollm2": "trivium.policies.smollm2:smollm2",
        "hf": "trivium.policies.hf:hf",
        "openai": "trivium.policies.endpoint:openai",
        "scripted": "trivium.policies.scripted:scripted",
    },
)


def policy(spec: str) -> Policy:
    """The policy a spec describes, such as `smollm2`, `tiny:1M` or `openai:qwen3@http://localhost:8000/v1`.

    An existing folder, with or without options after a comma, means `hf:<folder>`, unless it has the name of a policy.
    Raises `UserError` (`UnknownName` for a name or option that does not exist) with what to type instead.
    """
    folder = spec.partition(",")[0]
    if spec.partition(":")[0] not in POLICIES.where and folder and Path(folder).is_dir():
        return POLICIES.build(f"hf:{spec}")
    return POLICIES.build(spec)
