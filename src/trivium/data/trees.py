"""Trees of traces with what the verifier says of their ends, and the token ids along their branches.

Only training problems are ever judged here: choosing what to learn from by the verifier is supervision, and on a
held-out problem it would be cheating.

A branch is read as the policy read it.  Ids are those that were sampled, never text encoded again: a token
may go on after the stop string that it ended a step with, where the text does not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trivium.errors import UserError
from trivium.policies.chat import Chat
from trivium.search.driver import Judge
from trivium.types import Node, Problem, Trace


@dataclass(frozen=True, slots=True)
class Path:
    """What was said from a prompt to a node.

    `mask` is True where the model sampled; the other ids (a tool's, the environment's, a forced prefix) are context.
    `logprobs` belong to the sampled ids, in order, and are empty where unknown.
    """

    prompt: tuple[int, ...]
    ids: tuple[int, ...]
    mask: tuple[bool, ...]
    logprobs: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Tree:
    """A trace, and whether each node that ends a response is `correct`.

    Ends that say nothing are not in it: those that were cut off, steps that nobody went on from, notes that a method
    made for itself, and the `broken` ones, on which the verifier failed.
    """

    trace: Trace
    correct: Mapping[int, bool]
    broken: int = 0


def path_to(trace: Trace, node: int) -> Path:
    """The ids from the nearest prompt above a node to its end.

    Raises UserError where a part has text but no ids: an endpoint's words cannot be trained on.
    """
    segments = []
    while not begins(trace.nodes[node]):
        segments.append(trace.nodes[node].segment)
        node = trace.nodes[node].parent
    segments.reverse()
    prompt = trace.nodes[node].segment
    if any(s.text and not s.ids for s in (prompt, *segments)):
        raise UserError(
            f"the trace of {trace.question_id} has text without token ids, which cannot be trained on; "
            "sample with --policy tiny, smollm2 or hf:FOLDER"
        )
    said = [s for s in segments if s.source == "model"]
    known = all(len(s.logprobs) == len(s.ids) for s in said)
    return Path(
        prompt.ids,
        tuple(i for s in segments for i in s.ids),
        tuple(s.source == "model" for s in segments for _ in s.ids),
        tuple(p for s in said for p in s.logprobs) if known else (),
    )


def begins(node: Node) -> bool:
    """Whether a context begins at a node: the root, or the prompt of a question that a method asked beside it.

    A prompt names the weights that read it; text that a method puts into a response does not.
    """
    return node.parent == -1 or (node.segment.source == "prompt" and bool(node.segment.version))


def grow(judge: Judge, policy: Chat, problems: Sequence[Problem], traces: Sequence[Trace]) -> list[Tree]:
    """Judge every end of every trace by the task's verifier; `traces[i]` is an attempt at `problems[i]`.

    An end is a leaf below the question's own prompt whose last id ends a response, or the node of the method's answer
    if the method ended by itself (that has its verdict already).  Raises UserError for a problem that is not a
    training problem.
    """

    async def every() -> list[Tree]:
        pairs = zip(problems, traces, strict=True)
        return [await _judged(judge, p, t, policy.encode(p.question.messages), policy) for p, t in pairs]

    return asyncio.run(every())


async def _judged(judge: Judge, problem: Problem, trace: Trace, prompt: tuple[int, ...], policy: Chat) -> Tree:
    if problem.split != "train":
        raise UserError(
            f"problem {problem.question.id} is of the {problem.split} split; the verifier chooses what to learn from "
            "on train problems only"
        )
    correct: dict[int, bool] = {}
    said: dict[str, bool | None] = {}
    broken = 0
    for node in trace.leaves():
        segment = trace.nodes[node].segment
        if segment.source != "model" or not segment.ids or segment.ids[-1] not in policy.eos:
            continue
        path = path_to(trace, node)
        if path.prompt != prompt:
            continue
        response = policy.decode(path.ids)
        if response not in said:
            verdict = await judge(problem, response)
            said[response] = None if verdict.status == "error" else verdict.correct
        if (right := said[response]) is None:
            broken += 1
        else:
            correct[node] = right
    answer, verdict_of_it = trace.answer_node, trace.verdict
    if answer is not None and verdict_of_it is not None and verdict_of_it.status != "error":
        by_itself = trace.finish == "stop" and trace.nodes[answer].segment.source == "model"
        if by_itself and answer not in correct:
            correct[answer] = verdict_of_it.correct
    return Tree(trace, correct, broken)


def responses(trees: Sequence[Tree]) -> dict[str, list[tuple[Path, bool]]]:
    """Every question's judged responses, in the order they were sampled; equal ids after equal prompts count once."""
    found: dict[str, dict[tuple[tuple[int, ...], tuple[int, ...]], tuple[Path, bool]]] = {}
    for tree in trees:
        mine = found.setdefault(tree.trace.question_id, {})
        for node, right in sorted(tree.correct.items()):
            path = path_to(tree.trace, node)
            mine.setdefault((path.prompt, path.ids), (path, right))
    return {question: list(mine.values()) for question, mine in found.items()}
