"""What a request asks for: its fields checked against what the chosen policy and method can do.

What cannot be honoured is refused here, by the field's name, before anything is sampled.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from trivium.errors import UnknownName, UserError
from trivium.policies.pieces import Streams
from trivium.search.driver import Method
from trivium.serve.errors import bad, unsupported
from trivium.serve.models import Models, Served
from trivium.serve.wire import MOST_CHOICES, MOST_STOPS, BudgetFields, ChatMessage, ChatRequest, Common, TextRequest
from trivium.types import Budget, Message, Policy, Problem, Question, Request, Sampling
from trivium.verify import PARSERS

TEXT_TOKENS = 16
"""What `/v1/completions` documents where a request does not say."""


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds where a request does not say: tokens of a chat completion, and how answers are read."""

    max_tokens: int = 1024
    answer_format: str = "line"

    def __post_init__(self) -> None:
        if self.answer_format not in PARSERS:
            raise UnknownName("answer format", self.answer_format, PARSERS)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that can be answered.

    Plain sampling has `requests`, one a prompt and all with `n` samples; a method has `problems`, one a choice, each
    with the whole `budget`.  `given` are the fields that the client set.
    """

    served: Served
    model: str
    chat: bool
    n: int
    seed: int
    sampling: Sampling
    requests: tuple[Request, ...] = ()
    method: Method | None = None
    problems: tuple[Problem, ...] = ()
    budget: Budget | None = None
    logprobs: bool = False
    token_ids: bool = False
    as_json: bool = False
    stream: bool = False
    include_usage: bool = False
    given: frozenset[str] = field(default_factory=frozenset)
    id: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def prompt_field(self) -> str:
        return "messages" if self.chat else "prompt"

    def most_tokens(self) -> int | None:
        """The most that can be read and sampled; `None` where only the method knows."""
        if self.method is not None:
            total = None if self.budget is None else self.budget.total_tokens
            return None if total is None else total * self.n
        prompts = sum(most_read(self.served.policy, request) for request in self.requests)
        return prompts + len(self.requests) * self.n * self.sampling.max_tokens

    def within(self, tokens: int) -> Asked:
        """The same with a method's budget lowered to `tokens` in all."""
        budget = replace(self.budget or Budget(), total_tokens=max(1, tokens // self.n))
        return replace(self, budget=budget)


def of_chat(body: ChatRequest, models: Models, defaults: Defaults) -> Asked:
    """Raises ApiError for a field that cannot be as it is."""
    served = models.find(body.model)
    _check_common(body, served)
    _check_chat(body, served)
    most = body.max_completion_tokens or body.max_tokens or defaults.max_tokens
    if body.max_tokens and body.max_completion_tokens and body.max_tokens != body.max_completion_tokens:
        raise bad("max_tokens", "max_completion_tokens says something else; give one of them")
    messages = tuple(_message(i, m) for i, m in enumerate(body.messages))
    _check_template(messages, served)
    asked = _asked(body, served, most, chat=True)
    if served.spec is None:
        sampling = _capped(asked.sampling, body.budget, asked.n, served.policy, messages)
        request = Request(messages, sampling, asked.n, asked.seed)
        as_json = body.response_format is not None and body.response_format.type == "json_object"
        if as_json and not any("json" in message.content.lower() for message in messages):
            raise bad("messages", "to get a json_object, ask for JSON by that word in one of them")
        return replace(asked, sampling=sampling, requests=(request,), logprobs=bool(body.logprobs), as_json=as_json)
    answer_format = body.answer_format or defaults.answer_format
    problems = tuple(
        Problem(Question(f"choice-{i}", messages, answer_format), None, "", f"choice-{i}", "test", "serve")
        for i in range(asked.n)
    )
    fields = {} if body.budget is None else body.budget.model_dump(exclude_none=True)
    if "total_tokens" in fields and not counts(served.policy):
        raise unsupported("budget.total_tokens", f"{served.policy_name} cannot count a prompt before it is sent; limit "
                          "budget.sampled_tokens or budget.calls")  # fmt: skip
    # Its own temperature goes to the method; what it samples at the run's is at 1, as everywhere.
    return replace(
        asked, method=served.method(body.temperature), problems=problems, budget=Budget(**fields) if fields else None,
        sampling=asked.sampling.but(temperature=1.0),
    )  # fmt: skip


def of_text(body: TextRequest, models: Models) -> Asked:
    """Raises ApiError for a field that cannot be as it is."""
    served = models.find(body.model)
    _check_common(body, served)
    if served.spec is not None:
        raise unsupported("model", "a method needs a conversation; use /v1/chat/completions")
    policy = served.policy
    if not isinstance(policy, Streams):
        raise unsupported("model", f"{served.policy_name} cannot go on from raw text; use /v1/chat/completions")
    if body.logprobs:
        raise unsupported("logprobs", "only the sampled tokens' own are known here; ask for 0")
    if body.echo:
        raise unsupported("echo", "only what is sampled is returned")
    if body.suffix:
        raise unsupported("suffix", "text can be gone on from, not filled in")
    if body.best_of is not None and body.best_of != (body.n or 1):
        raise unsupported("best_of", "every sample is returned; choose with a method such as best-of-n in a chat")
    asked = _asked(body, served, body.max_tokens or TEXT_TOKENS, chat=False)
    prompts = _prompts(body.prompt)
    if len(prompts) * asked.n > MOST_CHOICES:
        raise bad("prompt", f"{len(prompts)} prompts times n={asked.n} are more than {MOST_CHOICES} choices")
    for prompt in prompts:
        if isinstance(prompt, str):
            _check_text("prompt", prompt)
    try:
        raw = [policy.raw(prompt) for prompt in prompts]
    except UserError as error:
        raise bad("prompt", str(error)) from error
    requests = tuple(Request((), asked.sampling, asked.n, asked.seed + i, (segment,)) for i, segment in enumerate(raw))
    return replace(asked, requests=requests, logprobs=body.logprobs is not None)


def prompt_tokens(policy: Policy, request: Request) -> int:
    """How long a prompt is; of a policy that cannot tell, as many as it has bytes."""
    ids = prompt_ids(policy, request)
    if ids is None:
        return sum(len(m.content.encode()) for m in request.messages) + 8 * len(request.messages)
    return len(ids)


def most_read(policy: Policy, request: Request) -> int:
    """The most that can be read for a request: its prompt, or one a sample where an upstream may be asked for each."""
    return prompt_tokens(policy, request) * (1 if counts(policy) else request.n)


def counts(policy: Policy) -> bool:
    """Whether a policy can tell how long a prompt is before it is read."""
    return getattr(policy, "encode", None) is not None


def prompt_ids(policy: Policy, request: Request) -> tuple[int, ...] | None:
    """The token ids that samples go on from; `None` of a policy that cannot tell."""
    encode = getattr(policy, "encode", None)
    if encode is None:
        return None
    return (*encode(request.messages), *(i for s in request.prefix for i in s.ids))


def _asked(body: Common, served: Served, max_tokens: int, *, chat: bool) -> Asked:
    sampling = Sampling(
        temperature=1.0 if body.temperature is None else body.temperature,
        top_p=1.0 if body.top_p is None else body.top_p, top_k=body.top_k or 0, max_tokens=max_tokens,
        stop=_stops(body.stop),
    )  # fmt: skip
    return Asked(
        served, body.model, chat, body.n or 1, random.getrandbits(62) if body.seed is None else body.seed, sampling,
        token_ids=bool(body.return_token_ids), stream=bool(body.stream),
        include_usage=bool(body.stream_options and body.stream_options.include_usage),
        given=frozenset(body.model_fields_set),
    )  # fmt: skip


def _check_common(body: Common, served: Served) -> None:
    for penalty in ("frequency_penalty", "presence_penalty"):
        if getattr(body, penalty):
            raise unsupported(penalty, "samples are drawn from the model's own distribution; expected 0")
    if body.logit_bias:
        raise unsupported("logit_bias", "samples are drawn from the model's own distribution; expected none")
    if body.stream_options is not None and not body.stream:
        raise bad("stream_options", "only a request with stream=true may have them")
    honoured = served.policy.capabilities
    if body.top_k and "top_k" not in honoured:
        raise unsupported("top_k", f"{served.policy_name} does not honour it")
    if body.seed is not None and "seed" not in honoured:
        raise unsupported("seed", f"{served.policy_name} does not honour it")
    if body.return_token_ids and served.spec is not None:
        raise unsupported("return_token_ids", "the answer of a method is no single sample")
    if body.return_token_ids and not ("ids" in honoured and hasattr(served.policy, "encode")):
        raise unsupported("return_token_ids", f"{served.policy_name} does not tell its tokens")


def _check_chat(body: ChatRequest, served: Served) -> None:
    """What only a chat can have."""
    if body.logprobs and served.spec is not None:
        raise unsupported("logprobs", "the answer of a method is no single sample")
    if body.logprobs and not isinstance(served.policy, Streams):
        raise unsupported("logprobs", f"{served.policy_name} does not tell its tokens")
    if body.top_logprobs is not None and not body.logprobs:
        raise bad("top_logprobs", "only a request with logprobs=true may have it")
    if body.top_logprobs:
        raise unsupported("top_logprobs", "only the sampled tokens' own are known here; expected 0")
    _check_format(body, served)
    if body.tools:
        raise unsupported("tools", "no policy here is told of tools")
    if body.tool_choice not in (None, "none", "auto"):
        raise bad("tool_choice", "only a request with tools may have it")
    if body.parallel_tool_calls is not None:
        raise bad("parallel_tool_calls", "only a request with tools may have it")
    if body.store:
        raise unsupported("store", "nothing is stored")
    if body.metadata:
        raise unsupported("metadata", "nothing is stored")
    if body.answer_format is not None and served.spec is None:
        raise bad("answer_format", "only a method reads answers")
    if body.answer_format is not None and body.answer_format not in PARSERS:
        raise bad("answer_format", str(UnknownName("answer format", body.answer_format, PARSERS)))


def _check_format(body: ChatRequest, served: Served) -> None:
    form = body.response_format
    if form is None or form.type == "text":
        return
    if form.type == "json_schema":
        raise unsupported("response_format", "samples are not held to a schema; expected text or json_object")
    if form.json_schema is not None:
        raise bad("response_format.json_schema", "only the type json_schema has one")
    if served.spec is not None:
        raise unsupported("response_format", "a method writes as it needs to; expected text")
    if not isinstance(served.policy, Streams):
        raise unsupported("response_format", f"{served.policy_name} cannot be held to JSON; expected text")


def _message(i: int, message: ChatMessage) -> Message:
    said = message.content if isinstance(message.content, str) else "".join(part.text for part in message.content)
    _check_text(f"messages.{i}.content", said)
    return Message("system" if message.role == "developer" else message.role, said)


def _check_template(messages: tuple[Message, ...], served: Served) -> None:
    """Some templates refuse some orders of roles, each in words of its own."""
    encode = getattr(served.policy, "encode", None)
    try:
        if encode is not None:
            encode(messages)
    except Exception as error:
        if not type(error).__module__.startswith("jinja2"):
            raise
        raise bad("messages", f"the chat template of {served.policy_name} refuses them: {error}") from error


def _check_text(param: str, text: str) -> None:
    """Half of a surrogate pair is no text, and no tokenizer reads it."""
    if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
        raise bad(param, "it holds half of a surrogate pair, which is no text")


def _stops(stop: str | list[str] | None) -> tuple[str, ...]:
    stops = (stop,) if isinstance(stop, str) else tuple(stop or ())
    if len(stops) > MOST_STOPS:
        raise bad("stop", f"{len(stops)} stop strings; expected at most {MOST_STOPS}")
    if not all(stops):
        raise bad("stop", "an empty stop string would end every sample at once")
    for text in stops:
        _check_text("stop", text)
    return stops


def _prompts(prompt: str | list[str] | list[int] | list[list[int]]) -> Sequence[str | list[int]]:
    if isinstance(prompt, str):
        return [prompt]
    prompts: list[Any] = [prompt] if prompt and isinstance(prompt[0], int) else list(prompt)
    if not prompts:
        raise bad("prompt", "expected at least one")
    return prompts


def _capped(
    sampling: Sampling, budget: BudgetFields | None, n: int, policy: Policy, messages: tuple[Message, ...]
) -> Sampling:
    """The budget of plain sampling, kept by shorter samples: it is one call and no tool step."""
    if budget is None:
        return sampling
    if budget.seconds is not None:
        raise unsupported("budget.seconds", "only a method can end early with an answer")
    room = sampling.max_tokens * n
    if budget.sampled_tokens is not None:
        room = min(room, budget.sampled_tokens)
    if budget.total_tokens is not None:
        room = min(room, budget.total_tokens - most_read(policy, Request(messages, sampling, n)))
    if room < n:
        raise bad("budget", f"it leaves {max(0, room)} tokens for {n} samples; expected one each at least")
    return sampling.but(max_tokens=room // n)
