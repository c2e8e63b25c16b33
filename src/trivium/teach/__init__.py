"""The runs behind `trivium learn` and `trivium improve`: measure, learn from verified answers, measure again, fairly.

`settings` is what a user chooses; `training` is what both share, and lets them continue after a kill at any moment.
`run` has the stages of `learn`, whose samples `rollout` draws and judges; `improve` has rounds of search and learning;
`look` looks before a long run leaps.  This module loads no torch until something is run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from trivium.teach.settings import ImproveSettings, LearnSettings

if TYPE_CHECKING:
    from trivium.store import Run

Listen = Callable[[Mapping[str, Any]], None]


def learn(settings: LearnSettings, run: Run, listen: Listen) -> dict[str, Any]:
    """Go through (or on with) the run in `run`'s folder and return what `result.json` holds.

    `listen` gets every event as it happens.  Raises RunError when nothing can be learnt, KeyboardInterrupt when
    stopped; in both cases a checkpoint of the last finished step is on disk.
    """
    from trivium.teach.run import Teaching

    return Teaching(settings, run, listen).go()


def check(settings: LearnSettings) -> None:
    """Refuse a task, an objective or a reward that there is not; loads no weights."""
    from trivium.tasks import task
    from trivium.teach.parts import lesson

    lesson(settings, settings.max_tokens or task(str(settings.task)).max_tokens)


def preflight(settings: LearnSettings) -> dict[str, Any]:
    """Sample a few answers as the run would, and say whether it can learn: `{"ok": bool, "checks": [...]}`."""
    from trivium.teach.look import look

    return look(settings)


__all__ = ["ImproveSettings", "LearnSettings", "check", "learn", "preflight"]
