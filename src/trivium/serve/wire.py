"""The shapes of requests and replies, as OpenAI documents them.

A field that is not here is refused by name, and so is a value that nothing here could honour.  Fields of our own, which
clients send as `extra_body`: `budget`, `answer_format`, `top_k`; and `return_token_ids`, as vLLM has it.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

MOST_CHOICES = 128
MOST_STOPS = 4
Text = Field(min_length=1)


class Shape(BaseModel):
    """Nothing but what is named, each of its own type: a number in quotes is no number."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class TextPart(Shape):
    type: Literal["text"]
    text: str


class ChatMessage(Shape):
    """A turn.  What a client sends back of an earlier answer may have its other fields, if they are empty."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]
    refusal: None = None
    tool_calls: None = None
    function_call: None = None
    audio: None = None
    annotations: list[None] | None = Field(None, max_length=0)
    reasoning_content: None = None


class StreamOptions(Shape):
    include_usage: bool | None = None


class ResponseFormat(Shape):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: dict[str, Any] | None = None


class BudgetFields(Shape):
    """A hard allowance for the whole method, in any of these units."""

    sampled_tokens: int | None = Field(None, ge=1, le=2**53)
    total_tokens: int | None = Field(None, ge=1, le=2**53)
    calls: int | None = Field(None, ge=1, le=2**53)
    tool_steps: int | None = Field(None, ge=1, le=2**53)
    seconds: float | None = Field(None, gt=0, le=1e9)


class Common(Shape):
    """What both kinds of request have."""

    model: str
    n: int | None = Field(None, ge=1, le=MOST_CHOICES)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=0, le=2**31)
    max_tokens: int | None = Field(None, ge=1, le=2**31)
    stop: str | list[str] | None = None
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    logit_bias: dict[str, float] | None = None
    user: str | None = None
    return_token_ids: bool | None = None


class ChatRequest(Common):
    """A conversation, to be gone on with by a policy or a method."""

    messages: list[ChatMessage] = Field(min_length=1)
    max_completion_tokens: int | None = Field(None, ge=1, le=2**31)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)
    response_format: ResponseFormat | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None
    budget: BudgetFields | None = None
    answer_format: str | None = None


class TextRequest(Common):
    """Raw text, or token ids, to be gone on from by a policy."""

    prompt: str | list[str] | list[int] | list[list[int]]
    logprobs: int | None = Field(None, ge=0, le=5)
    echo: bool | None = None
    suffix: str | None = None
    best_of: int | None = Field(None, ge=1, le=MOST_CHOICES)


FIELDS = frozenset(
    name
    for shape in (ChatRequest, TextRequest, ChatMessage, TextPart, StreamOptions, ResponseFormat, BudgetFields)
    for name in shape.model_fields
)


class Reply(BaseModel):
    """What is sent; for the description of the server, since replies are written as plain data."""


class PromptDetails(Reply):
    cached_tokens: int


class CompletionDetails(Reply):
    reasoning_tokens: int


class Spent(Reply):
    """What a method did besides reading and writing."""

    calls: int
    tool_steps: int
    judge_calls: int


class UsageReply(Reply):
    """All tokens that the request took; `reasoning_tokens` are those a method sampled and did not return."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails
    completion_tokens_details: CompletionDetails
    spent: Spent


class TokenReply(Reply):
    token: str
    logprob: float
    bytes: list[int] | None
    top_logprobs: list[Any]


class ChatLogprobs(Reply):
    content: list[TokenReply]
    refusal: None


class AnswerMessage(Reply):
    role: Literal["assistant"]
    content: str
    refusal: None


class ChatChoice(Reply):
    """`answer` is what a method read from its response, in the question's answer format.

    With `return_token_ids`, `token_ids` are all ids that were sampled, the one that ended the sample too, and
    `token_logprobs` theirs.
    """

    index: int
    message: AnswerMessage
    logprobs: ChatLogprobs | None
    finish_reason: Literal["stop", "length"]
    answer: str | None = None
    token_ids: list[int] | None = None
    token_logprobs: list[float] | None = None


class ChatReply(Reply):
    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatChoice]
    usage: UsageReply
    system_fingerprint: str
    prompt_token_ids: list[int] | None = None


class TextLogprobs(Reply):
    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: None
    text_offset: list[int]


class TextChoice(Reply):
    index: int
    text: str
    logprobs: TextLogprobs | None
    finish_reason: Literal["stop", "length"]
    prompt_token_ids: list[int] | None = None
    token_ids: list[int] | None = None
    token_logprobs: list[float] | None = None


class TextReply(Reply):
    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[TextChoice]
    usage: UsageReply
    system_fingerprint: str


class ModelReply(Reply):
    """`policy` and `method` are what the name stands for."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    policy: str
    method: str | None


class ModelsReply(Reply):
    object: Literal["list"]
    data: list[ModelReply]


class HealthReply(Reply):
    status: Literal["ok", "stopping"]


class ErrorFields(Reply):
    message: str
    type: str
    param: str | None
    code: str | None


class ErrorReply(Reply):
    error: ErrorFields
