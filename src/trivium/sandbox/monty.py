"""The default back end: Monty, a Python subset, in pooled worker processes.

A program that meets a name nobody defined is suspended.  A suspended program is plain bytes: it holds no worker, so
thousands may wait at once, and it may be resumed several times with different answers, which makes it a branching
point for a search.
"""

from __future__ import annotations

import atexit
import datetime
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from trivium.errors import Unsupported
from trivium.sandbox.outcome import DEFAULT_LIMITS, Limits, Outcome, Status, shortened, too_large


@dataclass(frozen=True, slots=True)
class Suspended:
    """A program waiting for the value of an undefined `name`: of the call `name(*args, **kwargs)` if `is_call`, of the
    bare name otherwise.  `args` and `kwargs` are plain data within the output limit.
    """

    name: str
    is_call: bool
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    stdout: str
    limits: Limits
    state: bytes = field(repr=False)

    def resume(self, value: Any) -> Outcome | Suspended:
        """Go on as if the name had that value (plain data); the allowance of time starts afresh."""
        if self.is_call:
            return self._go_on(lambda snapshot: snapshot.resume({"return_value": value}))
        return self._go_on(lambda snapshot: snapshot.resume(value=value))

    def undefined(self) -> Outcome | Suspended:
        """Go on with the `NameError` that Python would raise."""
        if self.is_call:
            fault = {"exc_type": "NameError", "message": f"name {self.name!r} is not defined"}
            return self._go_on(lambda snapshot: snapshot.resume(fault))
        return self._go_on(lambda snapshot: snapshot.resume())

    def _go_on(self, answer: Callable[[Any], Any]) -> Outcome | Suspended:
        printed = _Printed(self.limits.output_bytes, self.stdout)
        return _drive(
            lambda session: answer(session.load_snapshot(self.state, print_callback=printed)), printed, self.limits
        )


def start_program(code: str, *, inputs: Mapping[str, Any] = {}, limits: Limits = DEFAULT_LIMITS) -> Outcome | Suspended:
    """Run `code` until it ends or meets an undefined name.  The clock, random numbers and sleep are the sandbox's own:
    equal programs give equal outcomes.
    """
    printed = _Printed(limits.output_bytes)
    return _drive(
        lambda session: session.feed_start(code, inputs=dict(inputs), print_callback=printed), printed, limits
    )


class _Printed:
    """Collects printed text and stops the program when there is too much of it."""

    def __init__(self, limit: int, text: str = "") -> None:
        self.parts, self.size, self.limit = [text], len(text), limit

    def __call__(self, stream: str, text: str) -> None:
        if self.size <= self.limit:
            self.parts.append(text[: self.limit - self.size])
        self.size += len(text)
        if self.full:
            raise RuntimeError("output limit")

    @property
    def full(self) -> bool:
        return self.size > self.limit

    @property
    def text(self) -> str:
        return "".join(self.parts)


def _drive(begin: Callable[[Any], Any], printed: _Printed, limits: Limits) -> Outcome | Suspended:
    """Take a session to its end or to the first name for the caller to answer."""
    import pydantic_monty as monty

    allowance = {
        "max_feed_duration_secs": limits.seconds,
        "max_memory": limits.memory_mb << 20,
        "max_recursion_depth": limits.recursion,
    }
    try:
        with _pool().checkout(limits=allowance, os_policy=_POLICY) as session:
            snapshot = begin(session)
            while isinstance(snapshot, monty.FunctionSnapshot) and snapshot.function_name == "import":
                snapshot = snapshot.resume_not_handled()
            if isinstance(snapshot, monty.MontyComplete):
                if too_large(snapshot.output, limits.output_bytes):
                    return Outcome("output-limit", None, printed.text, message="the value is too large")
                return Outcome("ok", snapshot.output, printed.text)
            return _suspension(snapshot, printed, limits)
    except monty.MontyError as error:
        return _failure(error, printed, limits)


def _suspension(snapshot: Any, printed: _Printed, limits: Limits) -> Outcome | Suspended:
    import pydantic_monty as monty

    if isinstance(snapshot, monty.NameLookupSnapshot):
        return Suspended(snapshot.variable_name, False, (), {}, printed.text, limits, snapshot.dump())
    if not isinstance(snapshot, monty.FunctionSnapshot):
        return Outcome("refused", None, printed.text, message="the program awaits what nobody will answer")
    if too_large([snapshot.args, snapshot.kwargs], limits.output_bytes):
        return Outcome("output-limit", None, printed.text, message=f"arguments of {snapshot.function_name} too large")
    if snapshot.is_os_function:
        shown = ", ".join(repr(str(arg)) for arg in snapshot.args)
        return Outcome("refused", None, printed.text, message=shortened(f"{snapshot.function_name}({shown})"))
    return Suspended(
        snapshot.function_name, True, snapshot.args, snapshot.kwargs, printed.text, limits, snapshot.dump()
    )


def _failure(error: Any, printed: _Printed, limits: Limits) -> Outcome:
    """The outcome behind an exception of the sandbox."""
    import pydantic_monty as monty

    if printed.full:
        return Outcome("output-limit", None, printed.text, message=f"printed more than {limits.output_bytes} bytes")
    if isinstance(error, monty.MontyCrashedError):
        # The watchdog stops a worker that does not stop itself; any other death is the program's doing.
        crash: Status = "timeout" if error.timed_out else "memory"
        return Outcome(crash, None, printed.text, message=shortened(str(error)))
    raised = error.exception()
    message = shortened(str(raised))
    if isinstance(raised, TimeoutError) and "time limit exceeded" in message:
        return Outcome("timeout", None, printed.text, message=f"still running after {limits.seconds:g} s")
    if isinstance(raised, MemoryError):
        return Outcome("memory", None, printed.text, message=f"needs more than {limits.memory_mb} MiB")
    frames = error.traceback() if isinstance(error, (monty.MontyRuntimeError, monty.MontySyntaxError)) else []
    kind = "SyntaxError" if isinstance(error, monty.MontySyntaxError) else type(raised).__name__
    return Outcome("error", None, printed.text, kind, message, frames[-1].line if frames else None)


# A frozen clock, seeded random numbers and no waiting: a verdict must not depend on when it was asked for.
_POLICY = {
    "datetime": datetime.datetime(2000, 1, 1),
    "sleep": "zero",
    "random_start": {"seed": 0},
    "process_time": "zero",
}

_started: list[Any] = []
_lost: list[Any] = []
_starting = threading.Lock()


def _pool() -> Any:
    """The worker pool of this process, started when first needed and closed at exit."""
    if _lost:
        raise Unsupported(
            "this process was forked from one that had run sandboxed programs, and Monty does not survive a fork; "
            "start it afresh instead: multiprocessing.get_context('spawn')"
        )
    with _starting:
        if not _started:
            import pydantic_monty as monty

            pool = monty.Monty(min_processes=1, max_processes=os.cpu_count() or 1)
            _started.append(pool.__enter__())
            atexit.register(_close)
        return _started[0]


def _close() -> None:
    while _started:
        _started.pop().__exit__(None, None, None)


def _lose() -> None:
    """In a forked child: the pool's threads are gone, so that using it, or even dropping it, would wait for ever."""
    while _started:
        _lost.append(_started.pop())


os.register_at_fork(after_in_child=_lose)
