"""The two sides of the tree race: what they may sample, and that they mean the same by it."""

from __future__ import annotations

import asyncio
import io
import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from benchmarks.bench_reasoners_mcts import paces, repeated, search, spent_equally
from benchmarks.ours import local
from benchmarks.worker import Turns

from trivium.errors import RunError
from trivium.tasks import task
from trivium.types import Request, Segment

SPEC = "tiny:30k"


def test_budgets_are_the_numbers_of_a_share_over_and_over() -> None:
    assert repeated([5, 7], 5) == [5, 7, 5, 7, 5]


def test_unequal_amounts_do_not_compare() -> None:
    assert spent_equally({"sampled": [98, 100]}, {"sampled": [100]}) == (99, 100)
    for mine in (94, 106):
        with pytest.raises(RunError, match=f"ours sampled {mine} tokens a problem and the rival 100"):
            spent_equally({"sampled": [mine]}, {"sampled": [90, 110]})


@pytest.mark.parametrize(("mine", "counted"), [(100, 20.0), (96, 19.2), (104, 20.0)])
def test_a_problem_has_as_many_tokens_on_both_sides(mine: int, counted: float) -> None:
    ours, theirs = {"sampled": [mine, mine], "seconds": 6.0}, {"sampled": [100], "seconds": 15.0}
    assert paces(ours, theirs) == (pytest.approx(counted), 4.0)


def test_ours_samples_at_most_what_each_problem_is_allowed() -> None:
    answers = io.StringIO()
    turns = Turns(io.StringIO('{"budgets": [150, 40]}\n{"budgets": [30]}\n'), answers)
    search(turns, spec=SPEC, problems=2, branch=2, depth=3, max_tokens=48, temperature=1.0)
    first, second = (json.loads(line) for line in answers.getvalue().splitlines())
    assert 150 >= first["sampled"][0] > 40 >= first["sampled"][1]
    assert len(second["sampled"]) == 1
    assert second["sampled"][0] <= 30
    student, dealt = local(SPEC), task("sums:terms=7").problems("test", 2)
    assert first["prompts"] == [list(student.encode(p.question.messages)) for p in dealt]


@pytest.fixture
def theirs() -> Any:
    """The rival's side, where the rival is installed (`make bench` does that)."""
    pytest.importorskip("reasoners")
    from benchmarks import theirs_reasoners

    return theirs_reasoners


def test_their_search_grows_a_response_by_its_likeliest_lines(theirs: Any) -> None:
    model = Scripted([("a\n", -0.1), ("a \n", -0.2), ("b\n", -2.0)], [("c\n", -0.2), ("d", -0.1), ("d\n", -3.0)])
    reasoner = theirs.Reasoner(
        theirs.Growing(8), theirs.NextLines(model, 3, 8, 0.7), theirs.MCTS(depth_limit=6, n_iters=2)
    )
    found = reasoner("1+2: ")
    assert model.asked == [("1+2: ", 8, 3, 0.7), ("1+2: a\n", 6, 3, 0.7)], "an ended response is not gone on from"
    assert found.terminal_state == ("a\nd", 3, True)
    assert found.cum_reward == pytest.approx(2 * math.exp(-0.1))
    assert [child.action.text for child in found.tree_state.children] == ["a\n", "b\n"]


def test_their_response_ends_when_its_tokens_do(theirs: Any) -> None:
    state, _ = theirs.Growing(4).step(theirs.Response("a\n", 2), theirs.Line("b\n", 2, False, 0.5))
    assert state == ("a\nb\n", 4, True)


def test_their_sampler_stops_at_line_breaks_and_says_our_log_probs(theirs: Any, tmp_path: Path) -> None:
    student, problem = local(SPEC), task("sums").problems("test", 1)[0]
    student.save(tmp_path)
    tokenizer = theirs.AutoTokenizer.from_pretrained(tmp_path, padding_side="left")
    sampler = theirs.Sampler(theirs.AutoModelForCausalLM.from_pretrained(tmp_path).eval(), tokenizer, None)
    drawn: list[torch.Tensor] = []
    generate = sampler.model.generate

    def keep(**options: Any) -> Any:
        made = generate(**options)
        drawn.append(made.sequences[:, options["input_ids"].shape[1] :])
        return made

    sampler.model.generate = keep
    torch.manual_seed(0)
    prompt = tokenizer.decode(student.encode(problem.question.messages))
    made = sampler.generate([prompt], max_new_tokens=64, temperature=0.9, num_return_sequences=32)
    lengths = [len(logp) for logp in made.log_prob]
    assert any(text.endswith("\n") for text in made.text)
    assert not any("\n" in text[:-1] for text in made.text)
    assert min(n for n, text in zip(lengths, made.text, strict=True) if "\n" in text) > 1, "no line is empty"
    assert (sampler.calls, sampler.steps, sampler.sampled) == (1, max(lengths), sum(lengths))
    said = [Segment("model", tuple(row[:n].tolist())) for row, n in zip(drawn[0], lengths, strict=True)]
    ours = asyncio.run(student.score(Request(problem.question.messages, n=len(said)), said))
    for mine, other in zip(ours, made.log_prob, strict=True):
        assert other == pytest.approx(np.array(mine), abs=1e-4)


class Made(NamedTuple):
    text: list[str]
    log_prob: list[np.ndarray]


class Scripted:
    """Says what it was given, one call after the other: texts of one token a character, with each token's log-prob."""

    def __init__(self, *calls: list[tuple[str, float]]) -> None:
        self.calls, self.asked = iter(calls), list[tuple[str, int, int, float]]()

    def generate(
        self, inputs: list[str], *, max_new_tokens: int, temperature: float, num_return_sequences: int
    ) -> Made:
        self.asked.append((inputs[0], max_new_tokens, num_return_sequences, temperature))
        lines = next(self.calls)
        return Made([text for text, _ in lines], [np.full(len(text), logp) for text, logp in lines])
