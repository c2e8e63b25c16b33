"""Tasks to act in: an episode with a step limit, and a verifier that plays the actions of a response over again.

An episode ends when the world says so or when its steps are used up.  Its last observation ends with `Solved.`, or with
`Failed: ` and why: that is all that somebody who acts ever learns about success, and no other observation has the word.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

from trivium.tasks.base import Described, guarded
from trivium.types import Problem, Verdict
from trivium.verify.parse import action_lines, plain_action

SOLVED = "Solved."
FORMAT = "Write one action a line, as in `Action: {}`."
TOKENS_PER_ACTION = 12


class Episode(ABC):
    """A world to act in (`trivium.types.Environment`) for at most `limit` steps.

    A world says what `begin` shows, what an action in plain words does and shows (`do`; `None` if it makes no sense),
    what can be typed (`choices`), whether it has `ended` by itself, and how well (`score`, 1 if solved).
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.reset()

    @abstractmethod
    def begin(self) -> str: ...

    @abstractmethod
    def do(self, action: str) -> str | None: ...

    @abstractmethod
    def choices(self) -> str: ...

    @abstractmethod
    def ended(self) -> bool: ...

    @abstractmethod
    def score(self) -> float: ...

    @property
    def over(self) -> bool:
        return self.steps >= self.limit or self.ended()

    def reset(self) -> str:
        """Begin again, with all steps to do."""
        self.steps = self.understood = 0
        return self.begin()

    def step(self, action: str) -> tuple[str, bool]:
        """Do an action.  One that makes no sense changes nothing, is answered by what can be typed, and counts."""
        if self.over:
            return "The episode is over.", True
        self.steps += 1
        seen = self.do(plain_action(action))
        if seen is None:
            seen = f"That cannot be done. You can type: {self.choices()}."
        else:
            self.understood += 1
        if self.over:
            reason = "that was not it" if self.ended() else "no steps are left"
            seen += f" {SOLVED}" if self.score() == 1.0 else f" Failed: {reason}."
        return seen, self.over


class World(Described, ABC):
    """A task with an environment.  A response is judged by the lines `Action: ...` in it, whatever else it says.

    Verdict parts: `format` (share of the actions done that made sense) and `reward`, which is also the score.
    """

    __slots__ = ()

    @abstractmethod
    def environment(self, problem: Problem) -> Episode:
        """A new episode for one attempt at a problem."""

    @guarded
    def verify(self, problem: Problem, response: str) -> Verdict:
        episode = self.environment(problem)
        actions = action_lines(response)
        if not actions:
            return Verdict.unparseable("no line `Action: ...` found", format=0.0, reward=0.0)
        play(episode, actions)
        reward = episode.score()
        parts = {"format": episode.understood / episode.steps, "reward": reward}
        said = "; ".join(actions)
        if reward == 1.0:
            return Verdict.right(said, **parts)
        ending = "ended" if episode.ended() else "not ended"
        return Verdict.wrong(said, reward, f"{ending} after {episode.steps} of {episode.limit} steps", **parts)


def play(episode: Episode, actions: Iterable[str]) -> None:
    """Do actions until the episode is over."""
    for action in actions:
        if episode.step(action)[1]:
            return


def written(actions: Iterable[str]) -> str:
    """Actions as a response that a verifier reads."""
    return "\n".join(f"Action: {action}" for action in actions)
