"""What both sides of a training race are given: prompts, demonstrations, rewards and the optimiser's numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from trivium.tasks import task
from trivium.types import Problem

Pay = Literal["dense", "sparse"]
BETA2, GRAD_CLIP, TEMPERATURE = 0.95, 1.0, 1.0


@dataclass(frozen=True)
class Lesson:
    """`steps` optimiser steps on different problems: `prompts` a step, for GRPO with `samples` answers each."""

    steps: int
    prompts: int
    samples: int = 1
    max_tokens: int = 64
    lr: float = 1e-6
    task: str = "sums"

    @cached_property
    def problems(self) -> list[Problem]:
        """All problems of all steps, in order."""
        return task(self.task).problems("train", self.steps * self.prompts, 0)

    def of(self, step: int) -> list[Problem]:
        """The problems of one step."""
        return self.problems[step * self.prompts : (step + 1) * self.prompts]


def rewards(texts: Sequence[str], place: Sequence[int], pay: Pay) -> list[float]:
    """The share of digits in each text: cheap, graded, and different inside almost every group.

    `place` is the number of each text's prompt.  `sparse` pays for one prompt in four only, the others get 0: a step of
    a real run, where most groups are all right or all wrong.
    """
    return [digits(t) if pay == "dense" or p % 4 == 0 else 0.0 for t, p in zip(texts, place, strict=True)]


def digits(text: str) -> float:
    """The share of characters that are digits; 0 for an empty text."""
    return sum(c.isdigit() for c in text) / len(text) if text else 0.0


def turns_of(problem: Problem) -> list[dict[str, Any]]:
    """A problem's prompt as the messages that chat templates take."""
    return [{"role": m.role, "content": m.content} for m in problem.question.messages]
