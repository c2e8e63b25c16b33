"""The nouns of Trivium.  Standard library only: every other module may import this one, and it imports none of them.

A `Task` deals `Problem`s.  A method sees only the `Question` inside.  A `Policy` answers `Request`s with `Completion`s.
What was sampled is kept as `Segment`s in a `Trace`; the task turns an answer into a `Verdict`; `Usage` counts what it
cost and `Budget` caps it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, Protocol, runtime_checkable

Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = ("train", "dev", "test")
Status = Literal["correct", "wrong", "unparseable", "error"]
Source = Literal["prompt", "model", "tool", "environment"]
Finish = Literal["stop", "length", "budget", "error"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation.  `role` is `system`, `user` or `assistant`."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Question:
    """All that a method may see of a problem.

    `answer_format` names a parser of `trivium.verify` (such as `number`, `line`, `choice`, `program`, `sql`), so that
    voting can compare answers without ever touching a verifier.
    """

    id: str
    messages: tuple[Message, ...]
    answer_format: str = "text"


@dataclass(frozen=True, slots=True)
class Problem:
    """A question and what only a verifier may see.

    `reference` is whatever the task's `verify` needs (JSON-serialisable).  `gold` is a complete response that must be
    judged `correct`; `solution` is a program-written worked response for supervised warm-up, or `None` where the task
    has none.  `key` identifies the problem across seeds: equal keys are equal problems, and the key alone decides the
    split.
    """

    question: Question
    reference: Any
    gold: str
    key: str
    split: Split
    source: str
    level: int = 0
    solution: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verifier says of one response.

    `score` is in [0, 1], or `None` when nothing can be said (`error`): a broken verifier is neither a wrong answer nor
    a paid one.  `parts` holds named partial scores in [0, 1] (such as `format`, `steps`); `answer` is what was parsed.
    """

    status: Status
    score: float | None
    parts: Mapping[str, float] = field(default_factory=dict)
    answer: str | None = None
    detail: str = ""

    def __post_init__(self) -> None:
        if self.status == "error":
            if self.score is not None:
                raise ValueError("an error verdict has no score; expected score=None")
        elif self.score is None or not 0.0 <= self.score <= 1.0:
            raise ValueError(f"verdict score {self.score!r} is outside [0, 1]")

    @property
    def correct(self) -> bool:
        return self.status == "correct"

    @classmethod
    def right(cls, answer: str | None = None, **parts: float) -> Verdict:
        return cls("correct", 1.0, parts, answer)

    @classmethod
    def wrong(cls, answer: str | None = None, score: float = 0.0, detail: str = "", **parts: float) -> Verdict:
        return cls("wrong", score, parts, answer, detail)

    @classmethod
    def unparseable(cls, detail: str = "", **parts: float) -> Verdict:
        return cls("unparseable", 0.0, parts, None, detail)

    @classmethod
    def error(cls, detail: str) -> Verdict:
        return cls("error", None, {}, None, detail)


@dataclass(frozen=True, slots=True)
class Usage:
    """What something cost.  Tokens are counted by the policy that processed them; seconds are wall-clock."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    sampled_tokens: int = 0
    calls: int = 0
    tool_steps: int = 0
    judge_calls: int = 0
    oracle_calls: int = 0
    seconds: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @property
    def total_tokens(self) -> int:
        """Prompt and sampled tokens; `cached_tokens` is the share of the prompt that was not recomputed."""
        return self.prompt_tokens + self.sampled_tokens


@dataclass(frozen=True, slots=True)
class Budget:
    """A hard allowance for one attempt at one question, in any of these units; `None` is unlimited.

    Only `calls` may end above its limit, by the last one granted, where a policy needs several requests to answer it.
    """

    sampled_tokens: int | None = None
    total_tokens: int | None = None
    calls: int | None = None
    tool_steps: int | None = None
    oracle_calls: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if value is not None and value <= 0:
                raise ValueError(f"budget {f.name}={value}: expected a positive number, or None for no limit")

    def left(self, used: Usage) -> Mapping[str, float]:
        """What remains of every limited unit, never below 0; unlimited units are `inf`."""
        limits = {f.name: getattr(self, f.name) for f in fields(self)}
        return {k: math.inf if v is None else max(0, v - getattr(used, k)) for k, v in limits.items()}


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to draw tokens.  `temperature=0` is greedy; `top_k=0` and `top_p=1` switch those filters off."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    max_tokens: int = 256
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.temperature < 0:
            raise ValueError(f"temperature={self.temperature}: expected 0 (greedy) or more")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p={self.top_p}: expected a number above 0 and at most 1")
        if self.top_k < 0:
            raise ValueError(f"top_k={self.top_k}: expected 0 (off) or more")
        if self.max_tokens < 1:
            raise ValueError(f"max_tokens={self.max_tokens}: expected at least 1")
        if any(not s for s in self.stop):
            raise ValueError("stop: an empty stop string would end every sample at once")

    def but(self, **changes: Any) -> Sampling:
        return replace(self, **changes)


GREEDY = Sampling(temperature=0.0)


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of tokens from one source.  `ids` are the truth and `text` is a view of them (an endpoint that gives no
    ids leaves `ids` empty and sets `text`).  `logprobs[t]` is the log-probability, under the sampling distribution's
    untruncated, temperature-1 model, of `ids[t]`; empty where unknown.  An endpoint may give log-probs for tokens whose
    ids it does not tell.  `version` names the weights that sampled it.
    """

    source: Source
    ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    text: str = ""
    version: str = ""

    def __post_init__(self) -> None:
        if self.ids and self.logprobs and len(self.logprobs) != len(self.ids):
            raise ValueError(f"segment has {len(self.ids)} ids but {len(self.logprobs)} log-probs")


@dataclass(frozen=True, slots=True)
class Request:
    """Ask a policy for `n` continuations of a conversation.

    `prefix` holds what already follows the last message (earlier model steps, tool results): the policy continues
    exactly there, on the same token ids.  `seed` fixes all randomness: sample `i` depends on (`seed`, `i`) alone,
    never on what else is in the batch.
    """

    messages: tuple[Message, ...]
    sampling: Sampling = Sampling()
    n: int = 1
    seed: int = 0
    prefix: tuple[Segment, ...] = ()


@dataclass(frozen=True, slots=True)
class Completion:
    """One continuation.  `prompt` is the segment the policy conditioned on (its ids are shared by the whole group);
    `finish` says why it ended; `usage` is this sample's share, the prompt being charged to the first of a group.
    """

    prompt: Segment
    segment: Segment
    finish: Finish
    usage: Usage

    @property
    def text(self) -> str:
        return self.segment.text


@dataclass(slots=True)
class Node:
    """One node of a trace.  Statistics are filled by whoever searches; the segment never changes."""

    parent: int
    segment: Segment
    visits: int = 0
    value: float | None = None
    score: float | None = None
    note: str = ""


@dataclass(slots=True)
class Trace:
    """An append-only tree of segments: what one attempt at one question did, cost and answered.

    Node 0 is the root and holds the prompt.  `answer_node` is the leaf the answer was read from.  A plain sample is a
    path of two nodes; votes, beams, trees, debates and agents are other shapes of the same tree.
    """

    question_id: str
    nodes: list[Node] = field(default_factory=list)
    answer: str | None = None
    response: str = ""
    answer_node: int | None = None
    finish: Finish = "stop"
    usage: Usage = Usage()
    verdict: Verdict | None = None
    error: str = ""

    def add(self, parent: int, segment: Segment, note: str = "") -> int:
        """Append a node and return its index.  The root has parent -1; any other parent must exist already."""
        if not (parent == -1 and not self.nodes) and not 0 <= parent < len(self.nodes):
            raise ValueError(f"trace has no node {parent} to attach to (it has {len(self.nodes)})")
        self.nodes.append(Node(parent, segment, note=note))
        return len(self.nodes) - 1

    def path(self, node: int) -> list[Segment]:
        """The segments from the root to `node`, in order."""
        out: list[Segment] = []
        while node != -1:
            out.append(self.nodes[node].segment)
            node = self.nodes[node].parent
        return out[::-1]

    def leaves(self) -> Iterator[int]:
        parents = {node.parent for node in self.nodes}
        return (i for i in range(len(self.nodes)) if i not in parents)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a method returns: the parsed `value` (`None` abstains), the full `response` text it was read from, the
    trace node that holds it, and the method's own confidence in [0, 1] where it has one.
    """

    value: str | None
    response: str
    node: int | None = None
    confidence: float | None = None


@runtime_checkable
class Task(Protocol):
    """A family of problems and the verifier that knows them.  Deterministic: equal arguments, equal problems."""

    @property
    def name(self) -> str:
        """The spec that builds this very task again, such as `sums:terms=3`."""

    @property
    def summary(self) -> str: ...

    @property
    def max_tokens(self) -> int:
        """A generous cap for a response, in tokens of a common tokenizer."""

    def problems(self, split: Split, n: int, seed: int = 0) -> list[Problem]:
        """`n` different problems.  No problem (by `key`) is ever dealt in two splits, whatever the seeds.

        Raises `TooFewProblems` when there are not so many, and to ask for as many as it says brings them all.
        """

    def verify(self, problem: Problem, response: str) -> Verdict:
        """Judge a full response text.  Raises nothing: its own failures are `Verdict.error`."""


@runtime_checkable
class Policy(Protocol):
    """What can sample.  `version` changes whenever the weights do."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def capabilities(self) -> frozenset[str]:
        """Of `logprobs`, `ids`, `seed`, `top_k`, `prefix`, `score`, `weights`: what this policy honours."""

    async def sample(self, request: Request) -> list[Completion]:
        """`request.n` completions, in order.  Calls made concurrently share a batch where the policy can."""

    async def score(self, request: Request, continuations: Sequence[Segment]) -> list[tuple[float, ...]]:
        """Log-probabilities (temperature 1) of each continuation's ids after the request's prompt and prefix."""

    async def close(self) -> None: ...


@runtime_checkable
class Environment(Protocol):
    """A world that answers actions with observations, all text.  Deterministic: equal actions, equal observations."""

    def reset(self) -> str:
        """Begin an episode, and say what is seen first."""

    def step(self, action: str) -> tuple[str, bool]:
        """Do an action: what is seen then, and whether the episode is over.  An action that makes no sense is answered
        in words, never by an exception.
        """


@runtime_checkable
class Interactive(Protocol):
    """What a task has beside the rest if methods can act in it.  Its `verify` replays the actions of a response."""

    def environment(self, problem: Problem) -> Environment:
        """A new environment for one attempt at a problem."""
