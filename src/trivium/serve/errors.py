"""What a client is told when it gets no answer: a status, a sentence and the field that is to blame."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from trivium.errors import ContextFull, UserError

Place = Sequence[int | str]
"""Where a field stands in a request, such as `("messages", 0, "role")`."""


class ApiError(Exception):
    """An answer that is no completion.  `param` names the field, `code` says what is wrong for a program."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        kind: str = "invalid_request_error",
        headers: Mapping[str, str] = {},
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code, self.kind = status, message, param, code, kind
        self.headers = dict(headers)

    @property
    def body(self) -> dict[str, Any]:
        """The error as OpenAI's clients read it.  What a client sent may come back in it, and need not be text."""
        said, param = (None if s is None else s.encode(errors="replace").decode() for s in (self.message, self.param))
        return {"error": {"message": said, "type": self.kind, "param": param, "code": self.code}}


def bad(param: str, message: str, code: str = "invalid_value") -> ApiError:
    """A field that cannot be as it is."""
    return ApiError(400, f"{param}: {message}", param=param, code=code)


def unsupported(param: str, message: str) -> ApiError:
    """A field that means something, but not here."""
    return bad(param, message, "unsupported_parameter")


def of_user_error(error: UserError, prompt: str, given: Collection[str]) -> ApiError:
    """What the library refused to do: the fault of a field that its sentence names, else of the model.

    `prompt` is the field that holds the prompt, `given` are those the client set.
    """
    if isinstance(error, ContextFull):
        return bad(prompt, str(error), "context_length_exceeded")
    said = str(error)
    blamed = next((f for f in ("top_k", "top_p", "logprobs", "seed", "budget") if f in given and f in said), None)
    if "total_tokens" in said:
        blamed = "budget" if "budget" in given else "model"
        said += " (total_tokens is limited by the request's budget, or by what its key may take in a day)"
    if blamed is None:
        blamed = prompt if "prompt" in said else "model"
    return ApiError(400, said, param=blamed, code="unsupported_value")


def field_name(place: Place, known: frozenset[str]) -> str:
    """`messages.0.role` for the place that a validator names, without the names it gives to kinds of values."""
    return ".".join(str(part) for part in place if isinstance(part, int) or part in known)
