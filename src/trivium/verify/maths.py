"""Mathematical equality through math-verify (LaTeX and plain expressions, by sympy), in a process of its own.

Model-written mathematics can keep a computer algebra system busy for ever (`9^{9^{9}}`) inside one C call, where no
signal or thread can stop it.  So sympy runs in a child process with a memory limit, fed one line at a time; a child
that is late is killed and the verdict is an `error`.  Plain numbers, the common case, are compared exactly right here.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import select
import subprocess
import sys
import threading
from typing import Any

from trivium.types import Verdict
from trivium.verify.parse import final_answer, maths, number_value

TIMEOUT_S = 5.0
START_S = 30.0
MEMORY_BYTES = 4 << 30
_MOST_CHARACTERS = 2_000
# Decimal places in which a decimal has to agree: with an exact reference, all that a float is sure to print; with a
# reference that is a decimal itself, as many as those are usually given in.
_PLACES, _PLACES_OF_DECIMALS = 12, 6
_PLAIN_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?|-?[0-9]+/[0-9]+")
_IN_BASE = re.compile(r"(?P<digits>[A-Za-z]*[0-9][0-9A-Za-z]*)(?:_\{*(?P<base>[0-9]{1,2})\}*)?")
_EQUALS = re.compile(r"(?<![\\<>!:=])=(?!=)")
_RELATION = re.compile(r"[=<>]|\\(?:leq?|geq?|neq?|lt|gt|in|equiv)(?![A-Za-z])")
_LISTED = re.compile(r"[,;]|\\(?:text|mathrm)\s?\{\s*,?\s*(?:and|or)\s*\}|\b(?:and|or)\b")


def check_maths(response: str, reference: Any) -> Verdict:
    """The expression answered equals the reference mathematically (`1/2`, `0.5` and `\\frac{1}{2}` are equal).

    Plain numbers are compared exactly; elsewhere a decimal agrees with an exact reference to 12 places, and with a
    decimal reference to 6.  A number in a base (`2516_9`) is one in that base; its digits alone will do where the
    reference names the base, which then was asked for.  An equation answers for its value (`x=7`, `3+4=7` for 7) only
    where every side but a name has that value, and a list has the kind of bracket of the reference, if both have one.
    Raises `ValueError` for a reference that cannot be read.
    """
    if not isinstance(reference, str | int | float) or not str(reference).strip():
        raise ValueError(f"reference {reference!r} is not a mathematical expression")
    marked = final_answer(str(reference))
    wanted = (str(reference) if marked is None else marked).strip(" \n$")
    answer = maths(response)
    if answer is None:
        return Verdict.unparseable("no expression found")
    if answer == wanted:
        return Verdict.right(answer)
    if len(answer) > _MOST_CHARACTERS:
        return Verdict.wrong(answer[:_MOST_CHARACTERS], detail=f"longer than {_MOST_CHARACTERS} characters")
    if _is_number(answer) and _is_number(wanted):
        return Verdict.right(answer) if number_value(answer) == number_value(wanted) else Verdict.wrong(answer)
    if (same := _same_in_base(wanted, answer)) is not None:
        return Verdict.right(answer) if same else Verdict.wrong(answer)
    judged = _CHILD.ask(wanted, answer)
    if judged == "unreadable reference":
        raise ValueError(f"reference {reference!r} is not a mathematical expression")
    if judged not in ("equal", "different"):
        return Verdict.error(judged)
    return Verdict.right(answer) if judged == "equal" else Verdict.wrong(answer)


def _is_number(expression: str) -> bool:
    return bool(_PLAIN_NUMBER.fullmatch(expression)) and number_value(expression) is not None


def _same_in_base(wanted: str, answer: str) -> bool | None:
    """Whether two numbers are the same, where one of them names its base: math-verify would drop the base."""
    numbers = [_IN_BASE.fullmatch(re.sub(r"[\s$]|\\text(?=\{)", "", side)) for side in (wanted, answer)]
    if None in numbers or not any(number["base"] for number in numbers if number):
        return None
    (digits, base), (said, named) = ((number["digits"].upper(), number["base"]) for number in numbers if number)
    if base and not named:
        return digits == said
    try:
        return int(digits, int(base or 10)) == int(said, int(named))
    except ValueError:  # a digit that the base does not have, or a base that is none
        return False


class _Child:
    """The child process, started when first asked, and again after it had to be killed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None

    def ask(self, wanted: str, answer: str) -> str:
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                command = [sys.executable, "-c", "from trivium.verify.maths import serve; serve()"]
                self._process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8"
                )
                if self._line(self._process, START_S) != "ready":
                    self.stop()
                    return "the process that compares mathematics did not start"
            assert self._process.stdin is not None
            try:
                self._process.stdin.write(json.dumps([wanted, answer]) + "\n")
                self._process.stdin.flush()
                reply = self._line(self._process, TIMEOUT_S)
            except OSError:
                reply = None
            if reply is None:
                self.stop()
                return f"comparing took more than {TIMEOUT_S:g} s or {MEMORY_BYTES >> 30} GiB"
            return reply

    @staticmethod
    def _line(process: subprocess.Popen[str], seconds: float) -> str | None:
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], seconds)
        return process.stdout.readline().strip() or None if ready else None

    def forget(self) -> None:
        """After a fork: the child belongs to the parent; sharing its pipes would mix up verdicts."""
        self._lock, self._process = threading.Lock(), None

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


_CHILD = _Child()
atexit.register(_CHILD.stop)
os.register_at_fork(after_in_child=_CHILD.forget)


def serve() -> None:
    """The child's side: one JSON pair (reference, answer) a line in, one word a line out, until the input ends."""
    import logging
    import resource

    import math_verify  # noqa: F401 - imported before the parent's clock for an answer starts

    logging.disable(logging.CRITICAL)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    print("ready", flush=True)
    for request in sys.stdin:
        wanted, answer = json.loads(request)
        try:
            judged = _judge(wanted, answer)
        except Exception as error:
            judged = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        print(judged, flush=True)


def _judge(wanted: str, answer: str) -> str:
    """`equal`, `different` or `unreadable reference`; math-verify alone would pay `5=7` for 7, a set for a point."""
    import math_verify

    gold = math_verify.parse(f"${_latex(wanted)}$", parsing_timeout=None)
    if not any(not isinstance(value, str) for value in gold):
        return "unreadable reference"
    kinds, expected = _brackets(answer), _brackets(wanted)
    sides = [answer] if _RELATION.search(wanted) else _sides(answer)
    if not sides or (kinds and expected and not kinds & expected):
        return "different"
    places = _PLACES_OF_DECIMALS if re.search(r"\.[0-9]", wanted) else _PLACES
    for side in sides:
        given = math_verify.parse(f"${_latex(side)}$", parsing_timeout=None)
        if not math_verify.verify(gold, given, float_rounding=places, timeout_seconds=None):
            return "different"
    return "equal"


def _sides(answer: str) -> list[str]:
    """What has to equal a reference that is no relation: the answer, or the sides of its equation without the names in
    front (`x = 3+4 = 7` has `3+4` and `7`).  Empty for a list of equations with a left side that is no name.
    """
    bare = re.sub(r"(?<=[A-Za-z])\([^()]*=[^()]*\)", "", answer)  # the event of `P(X=3)` is no side
    if _LISTED.search(bare):
        lefts = [side[0] for item in _LISTED.split(_unindexed(bare)) if len(side := _EQUALS.split(item)) > 1]
        return [answer] if all(_is_name(left) for left in lefts) else []
    sides = _EQUALS.split(bare)
    if len(sides) == 1:
        return [answer]
    while len(sides) > 1 and _is_name(_unindexed(sides[0])):
        del sides[0]
    return sides


def _unindexed(expression: str) -> str:
    """Without subscripts and arguments, whose digits and commas are part of a name (`x_{1,2}`, `f(2)`)."""
    return re.sub(r"_(?:\{[^{}]*\}|\w)|(?<=[A-Za-z])'?\([^()]*\)", "", expression)


def _is_name(left: str) -> bool:
    """A left side of symbols alone, such as `x`, `\\angle ABC` or `m+n`: `5` or `2x` is a claim of its own."""
    return bool(re.search(r"[A-Za-z]", left)) and not re.search(r"[0-9]", left)


def _brackets(expression: str) -> set[str]:
    """The opening signs of the brackets that hold a list."""
    kinds, around = set(), [""]
    for sign in re.findall(r"[()\[\]{},]", expression.replace("{,}", "")):
        if sign in "([{":
            around.append(sign)
        elif sign == ",":
            kinds.add(around[-1])
        elif len(around) > 1:
            around.pop()
    return kinds - {""}


def _latex(expression: str) -> str:
    """Plain spellings that LaTeX would read as products of letters."""
    plain = re.sub(r"(?<!\\)\bsqrt\(([^()]*)\)", r"\\sqrt{\1}", expression.replace("**", "^"))
    return re.sub(r"(?<!\\)\bpi\b", r"\\pi ", plain)
