"""What revising did to answers: right to wrong, wrong to right, counted after the fact from the notes of a trace.

A method that revises notes which node held its answer before and after, and knows no more; whether either was right is
asked of the task here, when all is over.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from trivium.types import Problem, Task, Trace

DRAFT = "draft"
"""The note of a node that holds a first answer which may be revised."""
_REVISION = re.compile(r"revision of (\d+)")


@dataclass(frozen=True, slots=True)
class Flips:
    """Numbers of first drafts, and of revisions by what was judged before and after them.

    No answer is a wrong one.  `unjudged` revisions had an error of the verifier on either side.
    """

    drafts: int
    right_to_wrong: int
    wrong_to_right: int
    right_to_right: int
    wrong_to_wrong: int
    unjudged: int

    @property
    def revisions(self) -> int:
        judged = self.right_to_wrong + self.wrong_to_right + self.right_to_right + self.wrong_to_wrong
        return judged + self.unjudged


def revision_of(node: int) -> str:
    """The note of a node whose answer replaces that of `node`."""
    return f"revision of {node}"


def flips(task: Task, problems: Sequence[Problem], traces: Sequence[Trace]) -> Flips | None:
    """The flips in traces, `traces[i]` being an attempt at `problems[i]`; `None` where no method noted a draft."""
    drafts, seen = 0, Counter[tuple[bool | None, bool | None]]()
    for problem, trace in zip(problems, traces, strict=True):
        drafts += sum(node.note == DRAFT for node in trace.nodes)
        revised = [(int(said[1]), i) for i, n in enumerate(trace.nodes) if (said := _REVISION.fullmatch(n.note))]
        judged = {node: _right(task, problem, trace, node) for pair in revised for node in pair}
        seen.update((judged[before], judged[after]) for before, after in revised)
    if not drafts:
        return None
    right_to_wrong, wrong_to_right = seen[True, False], seen[False, True]
    right_to_right, wrong_to_wrong = seen[True, True], seen[False, False]
    unjudged = seen.total() - right_to_wrong - wrong_to_right - right_to_right - wrong_to_wrong
    return Flips(drafts, right_to_wrong, wrong_to_right, right_to_right, wrong_to_wrong, unjudged)


def _right(task: Task, problem: Problem, trace: Trace, node: int) -> bool | None:
    """Whether the response that ends at a node is correct; `None` where the verifier cannot say."""
    said: list[str] = []
    for segment in trace.path(node):
        said = [] if segment.source == "prompt" else [*said, segment.text]
    verdict = task.verify(problem, "".join(said))
    return None if verdict.status == "error" else verdict.correct
