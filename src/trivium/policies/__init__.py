"""The policies by name.  Importing this loads none of them: each module is imported when it is first asked for."""

from __future__ import annotations

from pathlib import Path

from trivium.errors import UserError
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
    return POLICIES.build(whole(spec))


def whole(spec: str) -> str:
    """The spec with the name of its policy, which a folder may be given without."""
    folder = spec.partition(",")[0]
    if (name := spec.partition(":")[0]) not in POLICIES.where and folder:
        if Path(folder).is_dir():
            return f"hf:{spec}"
        if "/" in name:
            raise UserError(_missing(Path(folder)))
    return spec


def _missing(folder: Path) -> str:
    """What to type in place of a folder that is not there."""
    beside = sorted(folder.parent.parent.glob(f"*/{folder.name}"))[-3:]
    there = f" There is {', '.join(map(str, beside))}." if beside else ""
    return (
        f"no folder {folder}; expected that of a model, such as runs/NAME/model.{there}"
        f" A model of the Hub is hf:OWNER/NAME, and the other policies are in: trivium list policies"
    )
