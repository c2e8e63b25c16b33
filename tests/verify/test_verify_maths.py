"""Mathematical equality in a child process: what is equal, and that nothing hangs or is shared by mistake."""

from __future__ import annotations

import os
from typing import Any

import pytest

from trivium.verify import maths, verifier


@pytest.mark.parametrize(
    ("response", "reference", "status"),
    [
        ("\\boxed{\\frac{1}{2}}", "0.5", "correct"),
        ("Answer: 1/2", 0.5, "correct"),
        ("thus $(x+1)^2$", "$x^2+2x+1$", "correct"),
        ("Answer: sqrt(2)/2", "\\frac{1}{\\sqrt{2}}", "correct"),
        ("Answer: 2*pi", "2\\pi", "correct"),
        ("Answer: \\{1,2\\}", "\\{2,1\\}", "correct"),
        ("so 93", "the work #### 93", "correct"),
        ("\\boxed{2516_8}", "2516_9", "wrong"),
        ("\\boxed{2516_{9}}", "2516_9", "correct"),
        ("\\boxed{2516_{\\text{9}}}", "2516_9", "correct"),
        ("\\boxed{2516}", "2516_9", "correct"),  # in the base that was asked for
        ("\\boxed{2517}", "2516_9", "wrong"),
        ("\\boxed{1010_2}", "10", "correct"),
        ("\\boxed{10_2}", "10", "wrong"),
        ("\\boxed{12_2}", "5", "wrong"),
        ("\\boxed{a3_{16}}", "A3_{16}", "correct"),
        ("\\boxed{x_1}", "x_2", "wrong"),
        ("Answer: x+1", "x+2", "wrong"),
        ("Answer: 3", "4", "wrong"),
        ("Answer: ((", "x", "wrong"),
        ("Answer: " + "x+" * 2000 + "x", "x", "wrong"),
        ("no idea", "x", "unparseable"),
        ("Answer: x", "???", "error"),
        ("\\boxed{1/2.5}", "1/2", "wrong"),
        ("\\boxed{1/2.5}", "0.4", "correct"),
        ("\\boxed{1/0}", "2/0", "wrong"),
        ("\\boxed{5=7}", "7", "wrong"),
        ("\\boxed{(5=7)}", "7", "wrong"),
        ("\\boxed{x=5=7}", "7", "wrong"),
        ("\\boxed{2x=7}", "7", "wrong"),
        ("\\boxed{x-3=7}", "7", "wrong"),
        ("\\boxed{5=1,6=2}", "1,2", "wrong"),
        ("\\boxed{x=7}", "7", "correct"),
        ("\\boxed{3+4=7}", "7", "correct"),
        ("\\boxed{x=3+4=7}", "7", "correct"),
        ("\\boxed{AB=CD=7}", "7", "correct"),
        ("\\boxed{m+n=7}", "7", "correct"),
        ("\\boxed{f(2)=7}", "7", "correct"),
        ("\\boxed{P(X=3)=\\frac{1}{6}}", "\\frac{1}{6}", "correct"),
        ("\\boxed{f(x)=x^2+1}", "x^2+1", "correct"),
        ("\\boxed{x=1,x=2}", "1,2", "correct"),
        ("\\boxed{x_{1,2}=1,2}", "1,2", "correct"),
        ("\\boxed{y^2=1-x^2}", "x^2+y^2=1", "correct"),
        ("\\boxed{\\{1,2\\}}", "(1,2)", "wrong"),
        ("\\boxed{(1,2)}", "\\{1,2\\}", "wrong"),
        ("\\boxed{\\left\\{\\frac{1}{2},3\\right\\}}", "(\\frac{1}{2},3)", "wrong"),
        ("\\boxed{\\{\\{1,2\\},\\{3,4\\}\\}}", "(1,2),(3,4)", "wrong"),
        ("\\boxed{\\{(1,2),(3,4)\\}}", "(1,2),(3,4)", "correct"),
        ("\\boxed{\\left(0.5,3\\right)}", "(\\frac{1}{2},3)", "correct"),
        ("\\boxed{2,1}", "\\{1,2\\}", "correct"),
        ("\\boxed{3.142857}", "22/7", "wrong"),
        ("\\boxed{3.142857}", "\\frac{22}{7}", "wrong"),
        ("\\boxed{3.142857142857143}", "\\frac{22}{7}", "correct"),
        ("\\boxed{\\sqrt{2}}", "1.414214", "correct"),
    ],
)
def test_equality(response: str, reference: Any, status: str) -> None:
    verdict = verifier("maths")(response, reference)
    assert (verdict.status, verdict.detail if verdict.status != status else "") == (status, "")


def test_a_computation_without_end_is_an_error_and_the_next_one_works(monkeypatch: pytest.MonkeyPatch) -> None:
    assert verifier("maths")(
        "Answer: y+x", "x+y"
    ).correct  # the child is up, so the short limit meets only the question
    monkeypatch.setattr(maths, "TIMEOUT_S", 0.5)
    verdict = verifier("maths")("Answer: 9^{9^{9^{9}}}", "3x")
    assert verdict.status == "error"
    assert "0.5 s" in verdict.detail
    monkeypatch.undo()
    assert verifier("maths")("Answer: y+x", "x+y").correct


def test_a_forked_process_does_not_talk_to_its_parents_child() -> None:
    assert verifier("maths")("Answer: y+x", "x+y").correct
    parents = maths._CHILD._process
    pid = os.fork()
    if pid == 0:
        os._exit(0 if maths._CHILD._process is None else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert maths._CHILD._process is parents
