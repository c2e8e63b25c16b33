"""Program-of-thought, emulation and self-tests, on scripts whose right behaviour is known."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import attempts
import pytest
from attempts import in_any_concurrency, notes, score
from hypothesis import given, settings
from hypothesis import strategies as st

from trivium.errors import UserError
from trivium.policies.scripted import Script, Scripted, Turn, endless, rambling
from trivium.search import method
from trivium.search.driver import Method, solve
from trivium.search.emulate import Written, answer_in, emulate, read_programs, read_template, read_value
from trivium.search.programs import as_response, literal, with_value
from trivium.types import Budget, Message, Policy, Problem, Question, Trace, Verdict
from trivium.verify.parse import parse_answer

FENCE = "```"


def problem(answer_format: str = "number", text: str = "How many of these fly: cat, wren, owl?") -> Problem:
    return Problem(Question("q", (Message("user", text),), answer_format), None, "", "k", "test", "toy")


def saying(*replies: str) -> Scripted:
    """Says these in turn, whoever asks, and then nothing."""
    rest = iter(replies)
    return Scripted(lambda turn: next(rest, ""))


def ask(how: str | Method, model: Policy | Script, about: Problem | None = None, **options: Any) -> Trace:
    return attempts.ask(how, model, about=about or problem(), **options)


def fenced(code: str) -> str:
    return f"Here it is.\n{FENCE}python\n{code}\n{FENCE}\nI hope so."


# What a program's value is.


@pytest.mark.parametrize(
    ("code", "ending"),
    [
        ("ans = 3", "ans"),
        ("if 1:\n    ans = 3\nelse:\n    ans = 4", "ans"),
        ("x = 2\nx + 1", "x + 1"),
        ("ans = 3\nprint(ans)", "ans"),
        ("result: int = 3", "result"),
        ("def solver():\n    return 3", "solver()"),
        ("def f(x):\n    return x", "    return x"),
        ("print(3)", "print(3)"),
        ("def f():\n    ans = 3\nprint(f())", "print(f())"),
        ("this is no program", "this is no program"),
        ("", ""),
    ],
)
def test_the_answer_of_a_program_is_its_last_expression(code: str, ending: str) -> None:
    assert with_value(code).rpartition("\n")[2] == ending


@pytest.mark.parametrize(
    ("answer_format", "value", "response"),
    [
        ("number", 42, "Answer: 42"),
        ("number", 41.0, "Answer: 41"),
        ("number", 0.1 + 0.2, "Answer: 0.3"),
        ("number", "42 apples", "Answer: 42 apples"),
        ("number", "many", None),
        ("number", float("nan"), None),
        pytest.param("number", 10**5000, None, id="huge"),
        ("number", [4, 2], None),
        ("number", True, None),
        ("truth", True, "Answer: true"),
        ("choice", "B", "Answer: B"),
        ("expression", "(7-5)*2", "Answer: (7-5)*2"),
        ("path", ["H", "I", "B"], "Answer: ['H', 'I', 'B']"),
        ("line", "", None),
        ("text", "a b", "a b"),
        ("box", 7, "\\boxed{7}"),
        ("json", {"a": (1, 2)}, '```json\n{"a": [1, 2]}\n```'),
        ("json", {1, 2}, None),
        ("sql", "SELECT 1", "```sql\nSELECT 1\n```"),
        ("program", "def f(x):\n    return x", "```python\ndef f(x):\n    return x\n```"),
        ("number", None, None),
    ],
)
def test_a_value_is_said_in_the_format_of_the_question_or_not_at_all(
    answer_format: str, value: Any, response: str | None
) -> None:
    assert as_response(answer_format, value) == response
    assert response is None or parse_answer(answer_format, response) is not None


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=8), st.data())
def test_no_value_is_too_odd_to_be_said(value: Any, data: st.DataObject) -> None:
    answer_format = data.draw(st.sampled_from(["number", "line", "json", "text", "program", "choice", "final"]))
    response = as_response(answer_format, value)
    assert response is None or parse_answer(answer_format, response) is not None


# Program-of-thought.


def test_a_program_computes_the_answer() -> None:
    trace = ask("program-of-thought", saying(fenced("birds = ['wren', 'owl']\nans = len(birds)")))
    assert (trace.answer, trace.response) == ("2", "Answer: 2")
    assert (trace.usage.calls, trace.usage.tool_steps) == (1, 1)
    assert trace.answer_node is not None
    assert trace.path(trace.answer_node)[-1].source == "tool"


def test_a_failing_program_is_repaired_once_and_sees_why() -> None:
    seen: list[str] = []

    def script(turn: Turn) -> str:
        seen.append(turn.question)
        return fenced("ans = 1 / 0") if len(seen) == 1 else fenced("print('it is', 2)")

    trace = ask("program-of-thought", Scripted(script))
    assert trace.answer == "2"
    assert "ZeroDivisionError: division by zero (line 1)" in seen[1]
    assert notes(trace) == ["ZeroDivisionError: division by zero (line 1)"]


@pytest.mark.parametrize(
    "reply",
    [
        fenced("ans = 93 / 0"), fenced("ans = unknown(93)"), fenced("print('93' * 10 ** 5)"), fenced("x = 93"), "93",
        "",
        fenced("ans = 10 ** 5000"), fenced("import os\nans = os.getcwd()"), f"{FENCE}python\nans = 93\n#" + "." * 300,
    ],
)  # fmt: skip
def test_a_program_that_fails_is_no_answer_even_if_a_number_stands_in_it(reply: str) -> None:
    trace = ask("program-of-thought", Scripted(lambda turn: reply))
    assert (trace.answer, trace.response) == (None, ""), "and a verifier reads none out of it"
    assert trace.usage.calls == 2


def test_nothing_is_paid_for_explaining_the_program() -> None:
    trace = ask("program-of-thought", saying(f"{FENCE}python\nans = 2\n{FENCE}\n\nThis counts the birds. 93 93 93"))
    assert trace.answer == "2"
    assert trace.usage.sampled_tokens == len(f"{FENCE}python\nans = 2\n{FENCE}\n\n")


def test_repairs_are_as_many_as_asked_for() -> None:
    for repairs in (0, 1, 3):
        trace = ask(f"program-of-thought:repairs={repairs}", Scripted(lambda turn: fenced("1 / 0")))
        assert trace.usage.calls == repairs + 1


def test_a_question_for_a_program_is_answered_by_the_program() -> None:
    about = problem("program", "Write f(x) such that f(1) == 2.")
    trace = ask("program-of-thought", saying(fenced("def f(x) return x"), fenced("def f(x):\n    return x + 1")), about)
    assert trace.answer == "def f(x):\n    return x + 1"
    assert ask("program-of-thought", saying(fenced("f(x"), "no"), about).answer is None


def test_a_budget_that_ends_before_the_repair_leaves_an_abstention() -> None:
    trace = ask("program-of-thought", Scripted(lambda turn: fenced("1 / 0")), budget=Budget(calls=1))
    assert (trace.answer, trace.response, trace.finish) == (None, "", "budget")
    trace = ask("program-of-thought", saying(fenced("ans = 2")), budget=Budget(calls=1))
    assert (trace.answer, trace.finish) == ("2", "stop")


# Emulation.

PROGRAM = """\
def count_by_property(items, wanted):
    # Step 1: see which have it
    matching = [item for item in items if has_property(item, wanted)]
    # Step 2: count them
    return {"matching": matching, "answer": len(matching)}"""
ASSIGNS = "def f(x):\n    output = {'answer': 3}\n    return output"
CALL = '>>> count_by_property(["cat", "wren", "owl", "owl"], "flies")'
OUTPUT = '### Output\noutput = {"matching": ["wren", "ow{l"], "answer": 2}'


def test_a_program_is_written_called_and_emulated_in_one_reply() -> None:
    trace = ask("emulate:max_tokens=600", saying(f"{PROGRAM}\n\n{CALL}\n\n{OUTPUT}\n\n### Instruction\nmore"))
    assert (trace.answer, trace.response) == ("2", "Answer: 2")
    assert (trace.usage.calls, trace.usage.tool_steps) == (1, 0)


@pytest.mark.parametrize(
    ("reply", "written"),
    [
        (f"{PROGRAM}\n\n{CALL}\n\n{OUTPUT}", Written(PROGRAM, CALL[4:], OUTPUT)),
        (f"### Code\n{fenced(PROGRAM)}\n{CALL}\n{{'answer': 2}}", Written(PROGRAM, CALL[4:], "{'answer': 2}")),
        (f"Sure!\n{PROGRAM}\n>>> f(\n  {{'a': 1}})\n{OUTPUT}", Written(PROGRAM, "f(\n  {'a': 1})", OUTPUT)),
        (PROGRAM, Written(PROGRAM, None, "")),
        (ASSIGNS, Written(ASSIGNS, None, "")),
        ("I cannot.", Written(None, None, "")),
        ("", Written(None, None, "")),
    ],
)  # fmt: skip
def test_replies_are_read_by_the_template(reply: str, written: Written) -> None:
    assert read_template(reply) == written


@pytest.mark.parametrize(
    ("reply", "call"),
    [
        (f"{CALL}\n{OUTPUT}", CALL[4:]),
        (f"f(3)\n{OUTPUT}", "f(3)"),
        (f"{FENCE}\n>>> f(3)\n{FENCE}", "f(3)"),
        (OUTPUT, None),
        ("the answer is 3", None),
    ],
)
def test_of_a_given_program_only_the_call_is_read(reply: str, call: str | None) -> None:
    assert read_template(reply, PROGRAM).program == PROGRAM
    assert read_template(reply, PROGRAM).call == call


@pytest.mark.parametrize(
    ("output", "value"),
    [
        (OUTPUT, 2),
        ("{'a': '}\\'', 'answer': 'x'} {'answer': 'y'}", "x"),
        ('{"ok": true, "answer": null, "b": {"answer": 1}}', None),
        ('{"ok": true, "answer": 7}', 7),
        ("{'a': 1}", None),
        ("{'answer': len(x)}", None),
        ("{'answer': 2", None),
        ("{1, 2}", None),
        ("output = 42", None),
        ("", None),
    ],
)
def test_the_answer_is_in_the_first_dictionary(output: str, value: Any) -> None:
    assert answer_in(output) == value


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        ("True", True), ("true.", True), ("It is a bird.\nAnswer: 3", 3), ("`[1, 'a']`", [1, "a"]),
        (f"{FENCE}python\n{{'a': 1}}\n{FENCE}", {"a": 1}), ("'positive'", "positive"), ("positive.", "positive"),
        ("False, because cats do not fly", False), ("7 dogs", "7 dogs"), ("-2.5\nor so", -2.5), ("None", None),
    ],
)  # fmt: skip
def test_the_value_of_a_helper_is_a_literal_or_words(reply: str, value: Any) -> None:
    assert read_value(reply) == (True, value)


@given(st.text(alphabet="{}[]()'\"\\ \n>=#`:,-.aF1def output answer", max_size=80))
@settings(max_examples=300)
def test_any_reply_can_be_read(reply: str) -> None:
    for given_program in (None, PROGRAM):
        answer_in(read_template(reply, given_program).output)
    said, value = read_value(reply)
    assert said or value in (None, "")
    literal(reply)


def test_one_program_for_every_question_leaves_only_the_call_to_write() -> None:
    asked: list[str] = []

    def script(turn: Turn) -> str:
        asked.append(turn.question)
        return f"{CALL}\n\n{OUTPUT}"

    trace = ask(functools.partial(emulate, program=PROGRAM), Scripted(script))
    assert trace.answer == "2"
    assert asked[0].endswith(f"### Code\n{PROGRAM}\n")
    assert "cat, wren, owl?" in asked[0]


def test_a_model_that_was_tuned_for_the_template_is_shown_nothing_else() -> None:
    asked: list[str] = []

    def script(turn: Turn) -> str:
        asked.append(turn.question)
        return f"\n{CALL}\n\n{OUTPUT}" if len(asked) > 1 else f"{PROGRAM}\n\n{CALL}\n\n{OUTPUT}"

    model = Scripted(script)
    assert ask("emulate:shown=false,max_tokens=600", model).answer == "2"
    trace = ask(functools.partial(emulate, program=PROGRAM, shown=False, max_tokens=600), model)
    assert trace.answer == "2"
    assert asked == ["### Instruction\nHow many of these fly: cat, wren, owl?\n\n### Code\n"] * 2
    # The program stands before what the model writes, as a part of its own response.
    assert any(node.segment.text == f"{PROGRAM}\n" for node in trace.nodes)
    assert any(CALL in node.segment.text for node in trace.nodes)


def test_hybrid_runs_python_and_asks_once_for_each_call_of_a_helper() -> None:
    asked: list[str] = []

    def script(turn: Turn) -> str:
        if "is not written" not in turn.question:
            return f"{PROGRAM}\n\n{CALL}\n\n### Output"
        asked.append(turn.question)
        return str("cat" not in turn.question.rpartition("What does")[2])

    trace = ask("emulate:mode=hybrid,max_tokens=600", Scripted(script))
    assert (trace.answer, trace.response) == ("3", "Answer: 3")
    assert ["('wren', 'flies') return?" in question for question in asked] == [False, True, False]
    assert notes(trace) == [f"has_property('{x}', 'flies')" for x in ("cat", "wren", "owl")]
    assert (trace.usage.calls, trace.usage.tool_steps) == (4, 5), "the second owl is known, and still a step"


@pytest.mark.parametrize(
    ("program", "call", "leaf"),
    [
        (PROGRAM, "no call", "True"),
        (PROGRAM, "count_by_property(['a'])", "True"),  # a TypeError
        (PROGRAM, CALL, ""),  # the model says nothing
        ("def f(x):\n    return constant", "f(1)", "3"),  # no call: Python's own NameError
        ("def f(x):\n    while True:\n        g(x)", "f(1)", "3"),  # more stops than `leaves`
        ("def f(x):\n    return g('a' * 9000)", "f(1)", "3"),  # too long to show
        ("def f(x):\n    return {'a': 1}", "f(1)", "3"),
    ],
)
def test_a_hybrid_program_that_does_not_end_well_abstains(program: str, call: str, leaf: str) -> None:
    def script(turn: Turn) -> str:
        return leaf if "is not written" in turn.question else call

    trace = ask(functools.partial(emulate, program=program, mode="hybrid"), Scripted(script))
    assert (trace.answer, trace.response) == (None, "")
    assert trace.usage.calls <= 1 + 16


def test_several_programs_vote_and_abstentions_do_not(tmp_path: Path) -> None:
    file = tmp_path / "programs.py"
    file.write_text("".join(f"# --- program {i}: dev 0.5\ndef p{i}(x):\n    return {i}\n\n" for i in range(4)))
    outputs = {0: "nothing", 1: "{'answer': 5}", 2: "{'answer': 6}", 3: "{'answer': 6.0}"}

    def script(turn: Turn) -> str:
        which = next(i for i in outputs if f"def p{i}(" in turn.question)
        return f">>> p{which}(1)\n### Output\noutput = {outputs[which]}"

    trace = ask(f"emulate:program={file}", Scripted(script))
    assert trace.answer == "6"
    assert score(trace) == pytest.approx(2 / 3)
    # The budget ends after the second program: what it said so far is the answer.
    assert ask(f"emulate:program={file}", Scripted(script), budget=Budget(calls=2)).answer == "5"


def test_files_that_hold_no_program_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="trivium program"):
        ask(f"emulate:program={tmp_path / 'none.py'}", saying(""))
    (tmp_path / "prose.py").write_text("no function here")
    with pytest.raises(UserError, match="defines a function"):
        ask(f"emulate:program={tmp_path / 'prose.py'}", saying(""))
    assert read_programs("\ndef f(x):\n    return x\n") == ["def f(x):\n    return x"]


def test_a_question_for_a_program_is_answered_by_the_emulated_program() -> None:
    trace = ask("emulate", saying(f"{PROGRAM}\n\n{CALL}"), problem("program"))
    assert trace.answer == PROGRAM


# Self-tests.

GOOD, BAD = "def f(x):\n    return x + 1", "def f(x):\n    return x * 2"
ADD = problem("program", "Write f(x) such that f(1) == 2.")


def coding(programs: Sequence[str], tests: Sequence[str], revised: str = "") -> tuple[Script, list[str]]:
    """Says programs and tests in turn, and `revised` when shown a failure; and what it was asked."""
    code, checks, asked = iter(programs), iter(tests), []

    def script(turn: Turn) -> str:
        asked.append(turn.question)
        if "Write tests" in turn.question or "check(answer)" in turn.question:
            return next(checks)
        return revised if "fails its tests" in turn.question else next(code)

    return script, asked


def test_the_candidate_that_passes_most_test_sets_is_chosen() -> None:
    script, asked = coding(
        [fenced(BAD), fenced(BAD), fenced(GOOD)],
        ["assert f(1) == 2\nassert f(2) == 3", "```\nassert f(5) == 6\n```", "assert f(3) == 6", "assert f(0) == 1"],
    )
    trace = ask("self-test:candidates=3,tests=4,accept=3,rounds=1", Scripted(script), ADD)
    assert trace.answer == GOOD, "three sets of four, where the majority passes one"
    assert score(trace) == 3 / 4
    assert trace.usage.tool_steps == 2 * 4, "equal candidates are tested once"
    assert len(asked) == 3 + 4


def test_assertions_that_the_question_shows_and_empty_ones_are_no_tests() -> None:
    script, _ = coding([fenced(BAD), fenced(GOOD)], ["assert f( 1 )==2", "assert True", "no tests", "assert f(3 == 4"])
    trace = ask("self-test:candidates=2,tests=4,rounds=1", Scripted(script), ADD)
    assert trace.answer == BAD, "nothing tells them apart, so the first"
    assert trace.usage.tool_steps == 0
    assert score(trace) is None


@pytest.mark.parametrize(
    ("feedback", "seen"), [("full", "AssertionError: assert"), ("type", "tests: AssertionError.\n"), ("none", None)]
)
def test_a_round_that_fails_is_followed_by_a_revision(feedback: str, seen: str | None) -> None:
    script, asked = coding([fenced(BAD), fenced(GOOD)], ["assert f(3) == 4"] * 2, fenced(GOOD))
    how = f"self-test:candidates=1,tests=1,accept=1,rounds=4,feedback={feedback}"
    trace = ask(how, Scripted(script), ADD)
    assert trace.answer == GOOD
    assert len(asked) == 4, "two rounds, and the second is accepted"
    revisions = [question for question in asked if "fails its tests" in question]
    assert len(revisions) == (feedback != "none")
    assert not revisions or str(seen) in revisions[0]


def test_answers_are_tested_by_a_function_that_judges_them() -> None:
    about = problem("expression", "Make 24 from 3, 8 and 1.")
    check = fenced("def check(answer):\n    return eval(answer) == 24")
    script, _ = coding(["Answer: 8+3", "no idea", "Answer: 8*3"], [check, "def check(answer)", fenced("24"), check])
    trace = ask("self-test:candidates=3,tests=4,accept=2,rounds=1", Scripted(script), about)
    assert (trace.answer, trace.response) == ("8*3", "Answer: 8*3")
    assert score(trace) == 1.0


def test_when_nobody_answers_self_test_abstains() -> None:
    trace = ask("self-test:candidates=2,tests=1,rounds=2", Scripted(lambda turn: "hm"))
    assert (trace.answer, trace.response) == (None, "")


def test_a_budget_cut_leaves_the_best_candidate_so_far() -> None:
    script, _ = coding([fenced(BAD), fenced(GOOD)], ["assert f(3) == 4"] * 2)
    trace = ask("self-test:candidates=2,tests=2,rounds=1", Scripted(script), ADD, budget=Budget(tool_steps=3))
    assert (trace.answer, trace.finish) == (BAD, "budget")
    script, _ = coding([fenced(BAD), fenced(GOOD)], ["assert f(3) == 4"] * 2)
    trace = ask("self-test:candidates=2,tests=2,rounds=1", Scripted(script), ADD, budget=Budget(calls=1))
    assert (trace.answer, trace.finish) == (BAD, "budget")


# What holds for all of them.

METHODS = ["program-of-thought", "emulate", "emulate:mode=hybrid", "self-test:candidates=3,tests=2,rounds=2"]


class Counting:
    """Questions for a number, whose verifier reads the response alone."""

    name, summary, max_tokens = "counting", "", 60

    def problems(self, split: str, n: int, seed: int = 0) -> list[Problem]:
        return [
            replace(problem(), question=Question(f"c{i}", (Message("user", f"How long is {'a' * i}?"),), "number"))
            for i in range(n)
        ]

    def verify(self, problem: Problem, response: str) -> Verdict:
        answer = parse_answer("number", response)
        return Verdict.unparseable() if answer is None else Verdict.wrong(answer)


def fickle(turn: Turn) -> str:
    """Programs, calls, values and nonsense, at random."""
    number = turn.rng.randrange(4)
    return turn.rng.choice(
        [
            fenced(f"ans = {number}"), fenced(f"ans = helper({number})"), f"{PROGRAM}\n\n{CALL}\n\n{OUTPUT}",
            f"def f(x):\n    return {{'answer': g(x) + h(x)}}\n>>> f({number})\n{{'answer': {number}}}", f"{number}",
            fenced(f"def check(answer):\n    return int(answer) > {number}"), "hm", f"Answer: {number}",
        ]
    )  # fmt: skip


@pytest.mark.parametrize("how", METHODS)
def test_equal_seeds_give_equal_answers_whatever_the_concurrency(how: str) -> None:
    problems, model = Counting().problems("test", 20), Scripted(fickle, delay=0.002)
    traces = in_any_concurrency(how, problems, model, task=Counting(), seed=5)
    assert any(trace.answer is not None for trace in traces)


@pytest.mark.parametrize("how", METHODS)
@pytest.mark.parametrize("script", [rambling, endless, fickle, lambda turn: "", lambda turn: "```" * 50])
def test_nonsense_never_raises_and_what_is_not_answered_is_not_judged(how: str, script: Callable[[Turn], str]) -> None:
    for trace in solve(method(how), Counting().problems("test", 4), Scripted(script), task=Counting()):
        assert trace.error == ""
        assert trace.verdict is not None
        assert (trace.answer is None) == (trace.verdict.status == "unparseable")
        assert trace.answer == trace.verdict.answer
        sampled = sum(len(n.segment.ids) for n in trace.nodes if n.segment.source == "model")
        assert sampled == trace.usage.sampled_tokens, "the trace holds every token that was paid"
        if trace.answer is not None and trace.answer_node is not None:
            prompt, *said = trace.path(trace.answer_node)
            assert prompt is trace.nodes[0].segment
            assert "".join(s.text for s in said) == trace.response or "self-test" in how


@pytest.mark.parametrize("how", METHODS)
def test_no_budget_is_exceeded(how: str) -> None:
    rng = random.Random(how)
    for _ in range(12):
        budget = Budget(
            sampled_tokens=rng.choice([None, rng.randrange(1, 400)]),
            calls=rng.choice([None, rng.randrange(1, 6)]),
            tool_steps=rng.choice([None, rng.randrange(1, 6)]),
        )
        for trace in solve(method(how), Counting().problems("test", 3), Scripted(fickle), budget=budget):
            assert not trace.error
            for unit in ("sampled_tokens", "calls", "tool_steps"):
                assert getattr(trace.usage, unit) <= (getattr(budget, unit) or 10**9)
