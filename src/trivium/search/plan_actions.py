"""`plan-actions`: think about the problem or not, solve it in words or by a program, check it or not: twelve ways to go
about it, of which one is given, chosen by a planner, or searched for this very question.
"""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import dataclass, field, replace

from trivium.errors import BudgetExhausted, UnknownName
from trivium.search import check_counts
from trivium.search.lm import LM, Chain, Scorer, reworded
from trivium.search.programs import abstaining, concluding, plain, read_program, value_of, with_value
from trivium.search.reply import adopted, if_it_fits, reply
from trivium.types import Answer, Message, Question

PATHS = tuple(
    "+".join(filter(None, actions))
    for actions in itertools.product(("", "rewrite", "plan"), ("words", "program"), ("", "check"))
)
"""The twelve trajectories, by the names of their actions."""
KEPT = (8, 3)
"""How many paths the search keeps after its first and second round."""
MAX_SHOWN = 500
"""Characters of a program's result that the policy is shown."""

STEPS = {
    "rewrite": "Say in one sentence what is asked, and list the facts that are useful.",
    "plan": "Split the problem into smaller tasks, and mind the details.",
    "words": "Solve the problem in words, step by step. End with the final answer, in the form that was asked for.",
    "program": "Write a simple Python program that prints the answer (brute force is fine), between ```python and ```.",
}
PLANNER = (
    "\n\nDo not solve this problem yet. Which actions suit it? rewrite: state the question anew. plan: split it into "
    "tasks. words: solve it in words. program: solve it by a program. check: verify the answer. Say why in one "
    "sentence, and then 'Required action:' with the names of the actions."
)
CHECK = (
    "Assume that this answer is right. Ask another question that checks it, answer that, and look for a contradiction. "
    "End with one line that says correct or incorrect."
)
RESULT = "The program gives: {value}\nNow give the final answer to the problem, in the form that was asked for."
REPAIR = "The program does not work. {fault}\nWrite the whole program again, corrected."
AGAIN = "That is not right. Solve the problem again in words, step by step, without that mistake.\n\n{problem}"

_NAMES = {
    "analysis": {"rewrit": "rewrite", "plan": "plan", "decompos": "plan"},
    "solution": {"word": "words", "chain of thought": "words", "cot": "words", "program": "program", "code": "program"},
    "check": {"check": "check", "verif": "check"},
}


async def plan_actions(
    question: Question,
    lm: LM,
    *,
    path: str = "choose",
    planner: str | None = None,
    samples: int = 2,
    by: str | Scorer = "oracle",
    temperature: float | None = None,
) -> Answer:
    """Go one of twelve ways about a question: rewrite, plan or neither; words or a program; a check or none.

    DOTS, learning to reason dynamically by searching for optimal reasoning trajectories.  `path` is one of the twelve,
    such as `words` or `plan+program+check`, followed at temperature 0; or `choose`, and a planner (the policy, or the
    voice `planner`; greedy) names the actions, with `words` as default, and as way out where the chosen path brings no
    answer or does not fit into the context; or `search`, which is how the paper labels training questions: `samples`
    runs of all twelve at temperature 0.8, as many more of the best 8 and of the best 3, ranked by the mean of the
    values `by`, shorter paths first among equals.  by=oracle asks the verifier, as the paper does; at test time that is
    a bound, and by=self or another value in [0, 1] a method.

    A program that fails is repaired once; its result is shown to the policy, which gives the final answer, and is
    itself the answer where that reply has none.  A check whose last line says incorrect, and a program that never
    works, lead to one more solution in words.  Departs: headings without #, which mark answers here; no answer is asked
    for before the program has run, nor again after a check that found nothing; the paper's probe of ten more samples,
    which only drops questions that teach nothing, is left out.  The confidence is the mean value of a searched path.
    The trace notes the path of each answer.
    """
    check_counts("plan-actions", samples=samples)
    if path not in (*PATHS, "choose", "search"):
        raise UnknownName("path", path, (*PATHS, "choose", "search"))
    lm.begin(question)
    if path == "search":
        return await _search(question, lm, samples, by, 0.8 if temperature is None else temperature)
    temperature = temperature or 0.0
    chosen = path
    if path == "choose":
        speaker, asked = lm if planner is None else lm.voice(planner), reworded(question, "", PLANNER)
        plan = await if_it_fits(speaker.sample(asked, temperature=0.0, max_tokens=128))
        chosen = required(plan[0].text) if plan else "words"
        if chosen != "words":
            answer = await if_it_fits(follow(question, lm, chosen, temperature))
            if answer is not None and answer.value is not None:
                return answer
            chosen = "words"
    return await follow(question, lm, chosen, temperature)


async def follow(question: Question, lm: LM, path: str, temperature: float) -> Answer:
    """One run of a path.  Raises BudgetExhausted only where there is no room for its first reply."""
    actions = path.split("+")
    steps = [STEPS[action] for action in actions if action in STEPS]
    listed = "\n".join(f"Step {i}: {step}" for i, step in enumerate(steps, start=1))
    asked = question if steps == [STEPS["words"]] else reworded(question, "", f"\n\n{listed}")
    [draft] = await lm.sample(asked, temperature=temperature)
    talk = [Message("assistant", draft.response)]
    if "program" in actions:
        answer = await _by_program(question, lm, asked, draft, talk, temperature)
    else:
        answer = draft.answering(lm.answer(draft))
    if "check" in actions:
        if answer.value is not None:
            lm.count_judgement()
            talk.append(Message("user", CHECK))
            found = await reply(asked, lm, *talk, temperature=temperature)
            talk.append(Message("assistant", "" if found is None else found.response))
        if answer.value is None or doubts(talk[-1].content):
            again = Message("user", AGAIN.format(problem=question.messages[-1].content))
            solved = await reply(asked, lm, *talk, again, temperature=temperature)
            answer = adopted(lm, answer.value, solved) or answer
    if answer.node is not None:
        lm.note(answer.node, note=f"path: {path}")
    return answer


def required(text: str) -> str:
    """The path that a planner names: after its last `Required action:`, or else anywhere; by default `words`."""
    named = re.split(r"required actions?\W*", text.lower())[-1]
    chosen = []
    for names in _NAMES.values():
        at = {action: named.find(stem) for stem, action in names.items() if stem in named}
        chosen.append(min(at, key=lambda action: at[action], default=""))
    analysis, solution, check = chosen
    return "+".join(filter(None, (analysis, solution or "words", check)))


def doubts(text: str) -> bool:
    """Whether the last line of a check says incorrect; saying neither is no doubt."""
    last = text.strip().rpartition("\n")[2].lower()
    found = re.findall(r"\b(?:in|not )?correct\b", last)
    return bool(found) and found[-1] != "correct"


async def _by_program(
    question: Question, lm: LM, asked: Question, draft: Chain, talk: list[Message], temperature: float
) -> Answer:
    """Run the program in a draft, repair it once, and answer what it gives.  What is said is added to the talk."""
    chain, value, fault = draft, None, ""
    for attempt in range(2):
        if attempt:
            talk.append(Message("user", REPAIR.format(fault=fault)))
            repaired = await reply(asked, lm, *talk, temperature=temperature)
            if repaired is None:
                break
            chain = repaired
            talk.append(Message("assistant", chain.response))
        code, fault = read_program(chain), "There is no whole program in the reply."
        if code is not None:
            try:
                outcome = await lm.run(with_value(code))
            except BudgetExhausted:
                break
            value, fault = value_of(outcome), outcome.reason
        if value is not None:
            break
    shown = plain(value)
    if shown is None:
        return abstaining(chain)
    talk.append(Message("user", RESULT.format(value=shown[:MAX_SHOWN])))
    final = await reply(asked, lm, *talk, temperature=temperature)
    answer = adopted(lm, shown, final) or concluding(lm, question, value)
    if answer is None:
        return abstaining(chain)
    talk.append(Message("assistant", answer.response))
    return answer


@dataclass(slots=True)
class _Record:
    """What the runs of one path brought: their values, and the best answer."""

    path: str
    values: list[float] = field(default_factory=list)
    best: Answer | None = None
    best_rank: tuple[bool, float] = (False, -math.inf)

    def add(self, value: float, answer: Answer) -> None:
        self.values.append(value)
        rank = (answer.value is not None, value)
        if self.best is None or rank > self.best_rank:
            self.best, self.best_rank = answer, rank

    @property
    def mean(self) -> float:
        return sum(self.values) / len(self.values) if self.values else 0.0


async def _search(question: Question, lm: LM, samples: int, by: str | Scorer, temperature: float) -> Answer:
    """Drop the worse of the twelve paths twice, and answer by the best."""

    async def attempt(record: _Record) -> tuple[float, Answer] | None:
        try:
            answer = await if_it_fits(follow(question, lm, record.path, temperature))
        except BudgetExhausted:
            return None
        if answer is None:
            return 0.0, Answer(None, "", root.node)
        if answer.value is None or answer.node is None:
            return 0.0, answer
        try:
            value = await lm.value(Chain(answer.node, answer.response, answer.response, "stop", ()), by)
        except BudgetExhausted:
            return 0.0, answer
        lm.note(answer.node, value=value)
        return value, answer

    root, records = lm.begin(question), [_Record(path) for path in PATHS]
    for keep in (*KEPT, 1):
        runs = [record for record in records for _ in range(samples)]
        found = await lm.map(attempt, runs)
        for record, run in zip(runs, found, strict=True):
            if run is not None:
                record.add(*run)
        records = [record for record in records if record.best is not None]
        if not records:
            raise BudgetExhausted("the budget has no room for a run of any path")
        records = sorted(records, key=lambda record: (-record.mean, _length(record.path)))[:keep]
        lm.offer(_best(records[0]))
        if None in found:
            break
    return _best(records[0])


def _best(record: _Record) -> Answer:
    assert record.best is not None
    return replace(record.best, confidence=record.mean if 0 <= record.mean <= 1 else None)


def _length(path: str) -> int:
    """How many actions a path has."""
    return path.count("+") + 1
