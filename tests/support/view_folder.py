"""A small folder of everything that `trivium view` shows, made by the store's classes and by methods on scripts."""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from synthetic_run import SETTINGS, events, make_run, result

from trivium.policies.scripted import Script, Scripted, Turn, sums
from trivium.search import method
from trivium.search.driver import solve
from trivium.store import Run
from trivium.store.cells import Cells
from trivium.store.files import json_line
from trivium.store.traces import trace_line
from trivium.tasks import task
from trivium.types import Message, Problem, Question, Sampling, Segment, Task, Trace, Usage, Verdict

ROOT = Path(__file__).parents[2]
HOSTILE = (
    "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>"
    "<svg onload=window.hacked=3></svg>[click](javascript:window.hacked=4) "
    "<a href='javascript:window.hacked=5'>here</a>"
    "</script><style>body{display:none}</style>\u202egnp.exe\x1b[31m"
)
"""What a model might write to a page that believes it."""
PROGRAM = """\
def count_by_property(items, wanted):
    # Step 1: see which have it
    matching = [item for item in items if has_property(item, wanted)]
    # Step 2: count them
    return {"matching": matching, "answer": len(matching)}

>>> count_by_property(["cat", "wren", "owl"], "can fly")

### Output"""
_RL_STEPS = 60


def make_folder(root: Path, big: int = 10_000) -> None:
    """Runs, a comparison, a file of traces and a ledger below `root`; one trace has `big` nodes."""
    runs = root / "runs"
    _learned(runs)
    _stopped(runs)
    _methods(runs, big)
    _comparison(root / "compare" / "sums-tiny")
    _saved(root / "saved" / "mcts.jsonl")
    (root / "results").mkdir()
    shutil.copy(ROOT / "results" / "ledger.jsonl", root / "results" / "ledger.jsonl")


@contextmanager
def running(root: Path, name: str = "going-on") -> Iterator[Run]:
    """A run whose lock is held while the block runs, with twenty of sixty steps done."""
    run = Run.create(root, name, SETTINGS | {"lr": 3e-5, "objective": "rloo"})
    for row in events():
        if row.get("phase") == "rl" and row["step"] > 20:
            break
        run.metrics(row)
    try:
        yield run
    finally:
        run.close()


def sampled(n: int, p: float, seed: int = 0) -> tuple[list[Trace], list[Problem]]:
    """What a policy that is right with probability `p` says to `n` sums."""
    built = task("sums:terms=3,digits=2,ops=+-")
    problems = built.problems("train", n, seed)
    return solve(method("vote:n=1"), problems, Scripted(sums(p)), task=built, seed=seed), problems


def big_tree(nodes: int, seed: int = 0) -> Trace:
    """A search tree of any size, with visits and values as a search leaves them."""
    rng = random.Random(seed)
    trace = Trace("big", [], usage=Usage(prompt_tokens=30, sampled_tokens=14 * nodes, calls=nodes))
    trace.add(-1, Segment("prompt", tuple(range(30)), (), "user: Reach 24 from 3, 7, 9 and 12.\nassistant: "))
    depth = [0]
    while len(trace.nodes) < nodes:
        parent = rng.choice((rng.randrange(len(trace.nodes)), max(0, len(trace.nodes) - 1 - rng.randrange(40))))
        if depth[parent] > 14:
            continue
        a, b = rng.randint(2, 99), rng.randint(2, 99)
        at = trace.add(parent, Segment("model", tuple(range(14)), tuple([-0.4] * 14), f"{a} + {b} = {a + b}\n"))
        trace.nodes[at].value = round(rng.betavariate(2, 3), 3)
        depth.append(depth[parent] + 1)
    for i in range(nodes - 1, -1, -1):
        node = trace.nodes[i]
        node.visits += 1 + rng.randrange(4)
        if node.parent >= 0:
            trace.nodes[node.parent].visits += node.visits
    deepest = max(range(nodes), key=depth.__getitem__)
    trace.answer_node, trace.answer, trace.response, trace.verdict = deepest, "24", "Answer: 24", Verdict.right("24")
    return trace


def hostile() -> tuple[Trace, Problem]:
    """A sample in which everything that can be text is an attack."""
    question = Question(f"q{HOSTILE}", (Message("user", f"What is 1 + 1? {HOSTILE}"),), "number")
    ids = tuple(HOSTILE.encode())
    trace = Trace(
        question.id, answer=HOSTILE, response=HOSTILE, answer_node=1, usage=Usage(5, 0, len(ids), 1), error=HOSTILE
    )
    trace.add(-1, Segment("prompt", tuple(b"user: 1 + 1"), (), f"user: {HOSTILE}"))
    trace.add(0, Segment("model", ids, tuple([-0.5] * len(ids)), HOSTILE), note=HOSTILE)
    trace.verdict = Verdict.wrong(HOSTILE, detail=HOSTILE)
    return trace, Problem(question, "2", HOSTILE, "hostile", "test", "made up")


def _learned(runs: Path) -> None:
    """A finished run of reinforcement learning with traces of every stage."""
    run = make_run(runs, "sums-smollm2-grpo-1", finished=False)
    run.traces("before", 0, *sampled(40, 0.1))
    for step in range(1, _RL_STEPS + 1):
        run.traces("rl", step, *sampled(4, 0.1 + 0.8 * step / _RL_STEPS, step))
    run.traces("after", _RL_STEPS, *sampled(40, 0.9))
    run.finish(result(run.path))
    run.close()


def _stopped(runs: Path) -> None:
    run = Run.create(
        runs,
        "countdown-tiny-rloo-1",
        SETTINGS | {"task": "countdown", "policy": "tiny:5M", "objective": "rloo", "lr": 5e-4},
    )
    for row in events(40):
        if row.get("phase") == "rl" and row["step"] > 31:
            break
        run.metrics(row)
    run.close()


def _methods(runs: Path, big: int) -> None:
    """A run whose traces are those of many methods."""
    run = Run.create(runs, "methods", SETTINGS | {"task": "sums:terms=5"})
    built = task("sums:terms=5,digits=2,ops=+-")
    problems = built.problems("train", 3)
    for spec, p in (
        ("mcts:n=24", 0.6),
        ("beam", 0.5),
        ("debate:n=3,rounds=3,until_agreed=false", 0.4),
        ("round-table", 0.4),
    ):
        run.traces("solved", 1, solve(method(spec), problems, Scripted(sums(p)), task=built), problems)
    run.traces("solved", 2, *_acted())
    run.traces("solved", 2, *_programs())
    made, problem = hostile()
    run.traces("solved", 2, [made], [problem])
    tree = big_tree(big)
    asked = Question("big", (Message("user", "Reach 24 from 3, 7, 9 and 12."),), "number")
    run.traces("solved", 2, [tree], [Problem(asked, "24", "Answer: 24", "big", "train", "made up", 4)])
    run.close()


def _saved(file: Path) -> None:
    """What `trivium solve --save-traces` writes of a search."""
    built = task("sums:terms=5,digits=2,ops=+-")
    problems = built.problems("test", 4)
    traces = solve(method("mcts:n=12"), problems, Scripted(sums(0.6)), task=built)
    file.parent.mkdir()
    file.write_bytes(b"".join(json_line(trace_line("solve", 0, t, p)) for t, p in zip(traces, problems, strict=True)))


def _acted() -> tuple[list[Trace], list[Problem]]:
    """Walks through a house, with thoughts."""
    built = task("text-graph")
    problems = built.problems("train", 2)

    def script(turn: Turn) -> str:
        if not turn.said.endswith("Action:"):
            return " I have not been everywhere yet; the door that is new may lead on.\n"
        doors = re.findall(r"Doors lead to: (.*)\.", turn.said)
        return " go " + turn.rng.choice(doors[-1].split(", ") if doors else ["hall"]) + "\n"

    return _solved("act:temperature=1", script, built, problems)


def _programs() -> tuple[list[Trace], list[Problem]]:
    question = Question("fly", (Message("user", "How many of a cat, a wren and an owl can fly?"),), "number")
    problem = Problem(question, "2", "Answer: 2", "fly", "train", "made up")

    def script(turn: Turn) -> str:
        called = turn.question.rpartition("What does")[2]
        return str("cat" not in called) if "is not written" in turn.question else PROGRAM

    traces = solve(method("emulate:mode=hybrid,max_tokens=600"), [problem], Scripted(script))
    for trace in traces:
        trace.verdict = Verdict.right(trace.answer)
    return traces, [problem]


def _solved(spec: str, script: Script, built: Task, problems: Sequence[Problem]) -> tuple[list[Trace], list[Problem]]:
    return solve(method(spec), problems, Scripted(script), task=built, sampling=Sampling(max_tokens=60)), list(problems)


def _comparison(folder: Path) -> None:
    """The comparison of the repository, with a few cells of traces beside it."""
    shutil.copytree(ROOT / "results" / "compare" / "sums-tiny", folder)
    found: dict[str, Any] = json.loads((folder / "comparison.json").read_text(encoding="utf-8"))
    with Cells(folder, found["settings"]) as cells:
        for spec, p in (("greedy", 0.5), ("vote:n=none", 0.6)):
            traces, problems = sampled(12, p)
            cells.save(spec, 32, 0, [replace(t) for t in traces], problems, 1.5)
