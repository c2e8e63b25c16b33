"""A policy that says what the program wrote solves what the program solved, in one line of thought or by children."""

from __future__ import annotations

import re
from functools import partial

import pytest

from trivium.data.countdown_search import joined, success
from trivium.data.threads import calls, fitting, longest
from trivium.lab.countdown_threads import FREE, Way, lessons, puzzle, serial, threads
from trivium.learn.batch import Demonstration
from trivium.policies.scripted import END, Scripted, Turn, decode, render
from trivium.search.driver import solve
from trivium.tasks import task
from trivium.tasks.base import ask
from trivium.types import Trace

COUNTDOWN = {n: task(f"countdown:numbers={n},largest=9,target=99,ops=+-*,use_all=true") for n in (3, 4)}
PROBLEMS = {n: puzzle(COUNTDOWN[n], FREE).problems("dev", 40) for n in COUNTDOWN}
each_size = pytest.mark.parametrize("n", COUNTDOWN)


class Pupil(Scripted):
    """Says what it was shown, whatever width it is asked for; a parent that has heard something, the path as it is."""

    def encode_response(self, text: str) -> tuple[int, ...]:
        return (*text.encode(), END)


def plain(text: str) -> str:
    """What is read, without the width if there is one."""
    asked, _, said = text.removeprefix("user: ").partition("\nassistant: ")
    return f"{asked.rpartition(':')[2]}/{said}"


def pupil(way: Way, n: int) -> tuple[Pupil, list[Demonstration]]:
    shown = lessons(Pupil(lambda turn: ""), PROBLEMS[n], way)  # type: ignore[arg-type]
    known = {plain(decode(d.prompt)): decode(d.ids) for d in shown}

    def script(turn: Turn) -> str:
        if turn.said:
            heard = turn.said.strip().rpartition("|")[2]
            return "none" if heard == "-" else joined(heard.split(":"))
        return known[f"{turn.question.rpartition(':')[2]}/"]

    return Pupil(script), shown


def right(traces: list[Trace]) -> list[float]:
    assert not any(trace.error for trace in traces), next(trace.error for trace in traces if trace.error)
    return [float(trace.verdict is not None and trace.verdict.correct) for trace in traces]


def tried(way: Way, n: int, cap: int = 9999, **options: bool) -> list[Trace]:
    return solve(partial(way, cap=cap, **options), PROBLEMS[n], pupil(way, n)[0], task=COUNTDOWN[n])


@each_size
def test_both_ways_solve_what_the_program_solves(n: int) -> None:
    one, many = tried(serial, n), tried(threads, n)
    solved = [not decode(d.ids).endswith("\nnone") for d in pupil(serial, n)[1]]
    assert right(one) == right(many) == [float(s) for s in solved]
    assert 10 < sum(solved) < 40
    assert [t.answer is None for t in one] == [t.answer is None for t in many] == [not s for s in solved]


@each_size
def test_every_call_is_a_lesson_and_children_read_only_where_their_search_begins(n: int) -> None:
    shown = {plain(decode(d.prompt)) for d in pupil(threads, n)[1]}
    for trace in tried(threads, n):
        made = calls(trace)
        children = [call for call in made if not call.own]
        assert (len(made) - len(children), 1 <= len(children) <= 9) == (2, True)
        assert all(plain(decode(call.read)) in shown for call in made[:-1])
        assert all(re.fullmatch(rf"\d+( \d+){{{n - 2}}}>\d+/", plain(decode(call.read))) for call in children)
        assert any(success(decode(call.said)) for call in children) == (trace.answer is not None)


def test_a_shorter_context_fails_where_it_is_too_short() -> None:
    one = tried(serial, 4)
    sizes = sorted(longest(calls(trace)) for trace in one)
    cap, template = sizes[len(sizes) // 2], len(render(ask("")))
    assert right(tried(serial, 4, cap - template + 2)) == fitting(right(one), [calls(trace) for trace in one], cap)


@each_size
def test_results_that_change_places_help_hardly_anybody(n: int) -> None:
    assert sum(right(tried(threads, n, crossed=True))) < sum(right(tried(threads, n))) / 2


@pytest.mark.parametrize("order", ["", "|", "1+1=2|", "no;never|", "9+2=11"])
def test_a_parent_that_orders_nothing_that_can_be_done_does_not_answer(order: str) -> None:
    [trace] = solve(partial(threads, cap=99), PROBLEMS[4][:1], Scripted(lambda turn: order), task=COUNTDOWN[4])
    assert (trace.error, trace.answer, len(calls(trace))) == ("", None, 1)


def test_what_a_child_claims_is_taken_at_its_word() -> None:
    numbers, target = (PROBLEMS[4][0].reference[key] for key in ("numbers", "target"))
    order = f"{numbers[1]}+{numbers[0]}=50"
    asked = []

    def script(turn: Turn) -> str:
        asked.append(turn.question)
        if ":" not in turn.question:
            return f"1+1=3:3+3={target}!"
        return f"({order})" if turn.said else f"{order};{order}|"

    [trace] = solve(partial(threads, cap=99), PROBLEMS[4][:1], Scripted(script), task=COUNTDOWN[4])
    assert trace.response == f"({order})"
    assert [q for q in asked if ":" not in q] == [f"{numbers[2]} {numbers[3]} 50>{target}"] * 2
    assert f"\n{order}:1+1=3:3+3={target}\n" in "\n" + "".join(
        node.segment.text for node in trace.nodes if node.segment.source == "tool"
    )
