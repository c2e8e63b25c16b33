"""Hostile and broken programs in the default sandbox, and programs that wait for an answer."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivium.errors import UnknownName, Unsupported
from trivium.sandbox import Limits, Outcome, Suspended, run_program, start_program
from trivium.sandbox.outcome import MAX_DEPTH, too_large

QUICK = Limits(seconds=0.3, memory_mb=16, output_bytes=5_000)
PATIENT = replace(QUICK, seconds=60)  # for what must end by itself, on however busy a machine


def suspended(state: Outcome | Suspended) -> Suspended:
    assert isinstance(state, Suspended)
    return state


def test_a_program_gives_its_last_value_and_what_it_printed() -> None:
    outcome = run_program("print('hi', x)\ny = [v * 2 for v in x]\n{'y': y, 't': (1, None)}", inputs={"x": [1, 2]})
    assert outcome == Outcome("ok", {"y": [2, 4], "t": (1, None)}, "hi [1, 2]\n")


@pytest.mark.parametrize(
    ("code", "status", "says"),
    [
        ("while True: pass", "timeout", "0.3 s"),
        ("while True:\n  try:\n    while True: pass\n  except BaseException: pass", "timeout", "0.3 s"),
        ("a = [0]\nwhile True: a = a + a", "memory", "16 MiB"),
        ("'a' * 10**10", "memory", "16 MiB"),
        ("10 ** 10 ** 9", "memory", "16 MiB"),
        ("for _ in range(1000): print('x' * 100)", "output-limit", "5000"),
        ("a = ['x'] * 10\nfor _ in range(9): a = [a] * 10\na", "output-limit", "too large"),
        ("a = []\nfor _ in range(5000): a = [a]\na", "output-limit", "too large"),
        ("'a' * 6000", "output-limit", "too large"),
        ("def f(n): return f(n + 1)\nf(0)", "error", "RecursionError"),
        ("open('/etc/passwd').read()", "refused", "open('/etc/passwd'"),
        ("open('/tmp/x', 'w').write('a')", "refused", "open('/tmp/x'"),
        ("import os\nos.getenv('HOME')", "refused", "getenv"),
        ("import os\nos.fork()", "error", "no attribute 'fork'"),
        ("import os\nos.system('ls')", "error", "no attribute 'system'"),
        ("import socket", "error", "ModuleNotFoundError"),
        ("import subprocess", "error", "ModuleNotFoundError"),
        ("().__class__.__bases__", "error", "AttributeError"),
        ("__import__('os')", "error", "NameError"),
        ("x = = 1", "error", "SyntaxError"),
        ("", "ok", "ok"),
        ("'\ud800'", "error", "surrogates"),
        ("raise TimeoutError('mine')", "error", "TimeoutError: mine"),
        ("raise ValueError('x' * 100000)", "error", "..."),
    ],
)
def test_hostile_programs_end_in_a_named_way(code: str, status: str, says: str) -> None:
    outcome = run_program(code, limits=QUICK if status == "timeout" else PATIENT)
    assert outcome.status == status
    assert says in outcome.reason
    assert len(outcome.reason) < 700
    assert len(outcome.stdout) <= QUICK.output_bytes
    assert run_program("1 + 1").value == 2, "the next program is not affected"


def test_an_error_names_the_line() -> None:
    assert run_program("x = 1\ndef g():\n    return [][1]\ng()").line == 3


def test_a_program_is_deterministic_and_does_not_wait() -> None:
    code = "import random, time, datetime\ntime.sleep(60)\n[random.random(), time.time(), str(datetime.datetime.now())]"
    begun = time.monotonic()
    assert run_program(code) == run_program(code)
    assert time.monotonic() - begun < 30


def test_an_undefined_name_is_a_name_error_that_the_program_may_catch() -> None:
    assert run_program("helper(3)").reason == "NameError: name 'helper' is not defined (line 1)"
    assert run_program("try:\n    helper(3)\nexcept NameError as e:\n    said = str(e)\nsaid").ok
    endless = run_program("while True:\n    try:\n        helper(3)\n    except NameError:\n        pass")
    assert endless.status == "error"
    assert "'helper' is not defined" in endless.message


def test_a_suspended_program_is_resumed_with_an_answer() -> None:
    state = suspended(start_program("print('on it')\nx = ask('capital', of='Peru')\nprint(x)\n[x, later]"))
    assert (state.name, state.is_call, state.args, dict(state.kwargs)) == ("ask", True, ("capital",), {"of": "Peru"})
    assert state.stdout == "on it\n"
    bare = suspended(state.resume("Lima"))
    assert (bare.name, bare.is_call) == ("later", False)
    assert bare.resume(7) == Outcome("ok", ["Lima", 7], "on it\nLima\n")
    assert bare.undefined() == Outcome("error", None, "on it\nLima\n", "NameError", "name 'later' is not defined", 4)


def test_a_suspended_program_branches_and_holds_no_worker() -> None:
    states = [suspended(start_program(f"leaf({i}) + leaf(0)")) for i in range(50)]
    for i, state in enumerate(states):
        assert state.args == (i,)
        assert [suspended(state.resume(v)).resume(1) for v in (10, 20)] == [Outcome("ok", 11), Outcome("ok", 21)]


def test_resuming_keeps_the_limits() -> None:
    loop = suspended(start_program("ask()\nwhile True: pass", limits=QUICK))
    assert loop.resume(1).status == "timeout"  # type: ignore[union-attr]
    shout = suspended(start_program("print('x' * 4000)\nask()\nprint('x' * 4000)", limits=PATIENT))
    assert shout.resume(1).status == "output-limit"  # type: ignore[union-attr]
    assert start_program("ask('a' * 6000)", limits=PATIENT).status == "output-limit"  # type: ignore[union-attr]


def test_many_threads_share_the_pool() -> None:
    results: list[Any] = []
    threads = [threading.Thread(target=lambda i=i: results.append(run_program(f"{i} * 2").value)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [i * 2 for i in range(8)]


def test_a_forked_child_is_told_to_start_afresh() -> None:
    assert run_program("1").value == 1
    child = os.fork()
    if child == 0:
        try:
            run_program("2 + 2")
        except Unsupported as error:
            os._exit(0 if "spawn" in str(error) else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert run_program("3").value == 3


def test_bad_settings_say_what_is_expected() -> None:
    with pytest.raises(UnknownName, match="Did you mean bubblewrap"):
        run_program("1", backend="bubblewarp")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"seconds=0.*positive"):
        Limits(seconds=0)


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=20,
)


@settings(max_examples=60, deadline=None)
@given(plain)
def test_plain_data_crosses_unchanged(value: Any) -> None:
    assert run_program("x", inputs={"x": value}) == Outcome("ok", value)


@settings(deadline=None)
@given(plain)
def test_size_is_bounded_by_what_the_value_takes_written_out(value: Any) -> None:
    assert not too_large(value, 20 + 8 * len(repr(value)))
    assert too_large([value, "x" * 100], 100)


def test_depth_counts_as_size() -> None:
    nested: list[Any] = []
    for _ in range(MAX_DEPTH + 1):
        nested = [nested]
    assert too_large(nested, 10**9)
