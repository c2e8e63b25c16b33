"""What a learning run has shown so far, gathered from its events for any display."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Event = Mapping[str, Any]
STAGES = {
    "before": "Untrained",
    "after_warmup": "After warm-up",
    "after": "After RL",
    "vote_before": "Untrained, vote",
}


@dataclass(slots=True)
class State:
    """`done` of `total` in the current stage; the rows of each phase; the newest evaluations and sample."""

    title: str
    started: float = field(default_factory=time.monotonic)
    stage: str = ""
    message: str = "Starting"
    stage_started: float = 0.0
    done: int = 0
    total: int | None = None
    left: float | None = None
    rl: list[Event] = field(default_factory=list)
    warmup: list[Event] = field(default_factory=list)
    search: list[Event] = field(default_factory=list)
    fit: list[Event] = field(default_factory=list)
    evaluations: dict[str, Event] = field(default_factory=dict)
    sample: Event | None = None
    note: str = ""

    def take(self, event: Event) -> None:
        """Bring the state up to date with one event."""
        phase = event["phase"]
        if phase == "stage":
            self.stage, self.message = event["stage"], event["message"]
            self.done, self.total, self.left = 0, event.get("total"), None
            self.stage_started = time.monotonic()
        elif phase == "eval":
            self.evaluations[event["stage"]] = event
            if event["stage"] != "progress":  # which interrupts a stage, and is not one itself
                self._advance(event["done"], event["total"])
        elif phase == "progress":
            self._advance(event["done"], event["total"])
        elif phase == "search":
            self.search.append(event)
            self.fit.clear()
        elif phase in ("warmup", "rl", "fit"):
            {"warmup": self.warmup, "rl": self.rl, "fit": self.fit}[phase].append(event)
            self._advance(event["step"], event["steps"], event.get("seconds_left"))
        elif phase == "sample":
            self.sample = event
        elif phase == "note":
            self.note = event["message"]

    @property
    def step(self) -> int:
        """The last finished step of reinforcement learning."""
        return int(self.rl[-1]["step"]) if self.rl else 0

    @property
    def where(self) -> str:
        """How far the run is, for a person who stopped it."""
        if self.search:
            last = self.search[-1]
            return f"in round {last['round']} of the {last['arm']} arm"
        if self.warmup and not self.rl:
            return f"at step {self.warmup[-1]['step']} of the warm-up"
        return f"at step {self.step}" if self.rl else "before the first step"

    def _advance(self, done: int, total: int, left: float | None = None) -> None:
        self.done, self.total, self.left = done, total, left
        if left is None and done:
            self.left = (time.monotonic() - self.stage_started) / done * (total - done)


def labelled(state: State) -> dict[str, Event]:
    """The evaluations that a person should see, by what they are called, in their order."""
    known = {label: state.evaluations[stage] for stage, label in STAGES.items() if stage in state.evaluations}
    named = {event["label"]: event for event in state.evaluations.values() if event.get("label")}
    return named or known


def search_line(event: Event) -> str:
    """What a round of search found, in one line."""
    each, ends = event["sampled_tokens"] / max(1, event["problems"]), max(1, event["ends"])
    return (
        f"{event['problems']} problems, {each:,.0f} tokens each: {event['ends']} responses, "
        f"{100 * event['right'] / ends:.0f}% right; {event['examples']} examples"
    )


def time_shares(rows: list[Event]) -> dict[str, float]:
    """Shares of the time spent generating, verifying and learning."""
    seconds = {name: sum(row[f"seconds_{name}"] or 0 for row in rows) for name in ("generate", "verify", "learn")}
    return {name: spent / (sum(seconds.values()) or 1) for name, spent in seconds.items()}


def rates(rows: list[Event]) -> tuple[float, float]:
    """Tokens a second of generation and of learning over the last rows."""
    near = rows[-8:]
    made, learnt = (sum(row[key] for row in near) for key in ("tokens_sampled", "tokens_trained"))
    return (
        made / (sum(row["seconds_generate"] for row in near) or 1),
        learnt / (sum(row["seconds_learn"] for row in near) or 1),
    )
