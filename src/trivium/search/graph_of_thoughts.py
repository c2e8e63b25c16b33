"""`graph-of-thoughts`: a question unfolds into a graph of thoughts, and a hard thought into a graph of its own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from trivium.search import check_counts
from trivium.search.lm import LM, Chain, reworded
from trivium.search.reply import adopted, if_room
from trivium.search.tree import each
from trivium.types import Answer, Message, Question

FIRST = (
    "Do not answer this yet. Write up to {n} short questions whose answers would help, one on each line. Write nothing "
    "else."
)
NEXT = (
    "Do not answer this yet. With these results, write up to {n} more short questions whose answers would help, one on "
    "each line, each beginning with the numbers of the results it needs in square brackets, such as [1,2]. If one more "
    "is enough to answer, write only that one, beginning with FINAL."
)
HARD = "Does answering this take several steps? Reply with one word, yes or no, and nothing else."
_BULLET = re.compile(r"^[\s>*_`-]*(?:(?:q(?:uestion)?\s*)?\d{1,2}\s*[.):](?!\d)\s*)?", re.IGNORECASE)
_FINAL = re.compile(r"^[\s*_]*final\b[\s*_:.-]*", re.IGNORECASE)
_NEEDS = re.compile(r"^\[([\d,;\s]*)\]\s*")


@dataclass(frozen=True, slots=True)
class Idea:
    """A proposed thought: its title, the earlier thoughts it builds on, and whether it was said to be the last."""

    title: str
    needs: tuple[int, ...]
    final: bool = False


@dataclass(frozen=True, slots=True)
class Thought:
    """An answered thought of a graph; `needs` are places of earlier ones, so no graph has a cycle."""

    title: str
    answer: str
    needs: tuple[int, ...]


async def graph_of_thoughts(
    question: Question,
    lm: LM,
    *,
    width: int = 3,
    layers: int = 3,
    depth: int = 1,
    temperature: float = 0.7,
    thought_tokens: int = 64,
) -> Answer:
    """Unfold the question into layers of thoughts, and every thought that is hard into a graph of its own.

    AGoT (Pandey et al. 2025, arXiv:2502.05078): up to `width` thoughts a layer, each built on earlier ones, each either
    answered in one call or, if the policy calls it hard and fewer than `depth` graphs are around it, by a graph of its
    own; no layer opens before the last is answered; after a thought flagged final, or `layers` layers, the graph is put
    together into one answer.  The caps are of the paper's order; its prompts and JSON schemas are replaced by lines of
    plain text that small models can write.  A thought may only name earlier thoughts; one that names none builds on
    all.  Departs from the paper in that the question is first answered directly: that answer is kept from the graph,
    and stands where the policy proposes nothing, the graph leads to no answer or the budget ends.  Gives no confidence.
    """
    check_counts("graph-of-thoughts", width=width, layers=layers, thought_tokens=thought_tokens)
    [direct] = await lm.sample(question, temperature=0.0)
    first = direct.answering(lm.answer(direct))
    lm.offer(first)

    async def unfold(asked: Question, level: int) -> Chain | None:
        """The answer of a graph at this question; `None` where nothing was proposed or it cannot go on."""
        graph: list[Thought] = []
        for layer in range(layers):
            prompt = (NEXT if layer else FIRST).format(n=width)
            plan = await _say(asked, lm, f"{_told(graph)}{prompt}", temperature, thought_tokens * width)
            ideas = read_ideas(plan.response, len(graph))[:width] if plan else []
            ideas = [idea for idea in ideas if all(idea.title != thought.title for thought in graph)]
            if final := [idea for idea in ideas if idea.final]:
                ideas = final[:1]
            results = await each(lm, lambda idea: solve(asked, idea, graph, level), ideas)  # noqa: B023
            graph += [thought for thought in results if thought is not None]
            if final or not ideas or None in results:
                break
        return await _say(asked, lm, _told(graph), temperature, lm.sampling.max_tokens) if graph else None

    async def solve(asked: Question, idea: Idea, graph: Sequence[Thought], level: int) -> Thought | None:
        context = [graph[i] for i in idea.needs] if idea.needs else graph
        inner = replace(asked, messages=(Message("user", f"{_told(context)}{idea.title}"),))
        chain: Chain | None = None
        if level < depth:
            hard = await _say(inner, lm, HARD, 0.0, 8)
            if hard is not None and hard.response.strip().lower().startswith("yes"):
                chain = await unfold(inner, level + 1)
        chain = chain or await _say(inner, lm, "", temperature, lm.sampling.max_tokens)
        if chain is None:
            return None
        lm.note(chain, note=f"thought: {idea.title}")
        return Thought(idea.title, " ".join(chain.response.split()), idea.needs)

    return adopted(lm, first.value, await unfold(question, 0)) or first


def read_ideas(text: str, known: int) -> list[Idea]:
    """The thoughts in a plan, one a line, bullets and numbers apart; of `known` earlier ones those it needs.

    Lines without a letter are none, and neither are repetitions.
    """
    ideas: dict[str, Idea] = {}
    for line in text.splitlines():
        line = _BULLET.sub("", line)
        final = _FINAL.match(line)
        line = line[final.end() :] if final else line
        needs: tuple[int, ...] = ()
        if named := _NEEDS.match(line):
            numbers = (int(n) - 1 for n in re.findall(r"\d{1,4}", named[1]))
            needs = tuple(dict.fromkeys(n for n in numbers if 0 <= n < known))
            line = line[named.end() :]
        title = line.strip(" \t*_`\"'")
        if any(ch.isalpha() for ch in title):
            ideas.setdefault(title, Idea(title, needs, bool(final)))
    return list(ideas.values())


async def _say(question: Question, lm: LM, more: str, temperature: float, max_tokens: int) -> Chain | None:
    """One reply to the question with more text after it, where there is room."""
    asked = reworded(question, "", f"\n\n{more}") if more else question
    most = min(max_tokens, lm.sampling.max_tokens)
    return await if_room(lm.sample(asked, temperature=temperature, max_tokens=most))


def _told(thoughts: Sequence[Thought]) -> str:
    """The results so far, numbered from 1, with an empty line after them."""
    if not thoughts:
        return ""
    lines = (f"{i}. {thought.title} {thought.answer}" for i, thought in enumerate(thoughts, start=1))
    return "Results so far:\n" + "\n".join(lines) + "\n\n"
