"""`openai:<model>@<url>`: any OpenAI-compatible chat endpoint, such as vLLM, llama.cpp, Ollama or a cloud.

What differs between servers is discovered from their answers: whether they give log-probs, several choices per request,
and which name the token limit has.  What a server cannot honour at all is an error, never ignored.  Usage is the
server's own count; where it gives none, tokens are bounded from above by bytes, with a warning.
"""

from __future__ import annotations

import asyncio
import email.utils
import itertools
import json
import os
import random
import re
import time
import warnings
from collections.abc import AsyncGenerator, Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from trivium.errors import ContextFull, RunError, UnknownName, Unsupported, UserError
from trivium.types import Completion, Finish, Policy, Request, Segment, Usage

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")
LOCAL = "tiny, smollm2 or hf:FOLDER"
LONGEST_WAIT = 300.0
"""A server that asks for a longer pause than this many seconds is not waited for."""

FULL = re.compile(
    r"context (length|size|window)|too long|too many tokens|longer than the maximum|must have less than \d+ tokens"
    r"|max_new_tokens` must be",
    re.IGNORECASE,
)
"""How servers say that a prompt does not fit: OpenAI and vLLM, llama.cpp, Anthropic's and Hugging Face's."""

_RETRIED = frozenset({408, 409, 425, 429})
_FINISH: Mapping[str, Finish] = {"stop": "stop", "length": "length", "content_filter": "error"}


def openai(
    target: str,
    *,
    key_env: str = "OPENAI_API_KEY",
    top_k: bool = False,
    prefix: bool = False,
    concurrency: int = 32,
    timeout: float = 300.0,
    retries: int = 6,
    backoff: float = 0.5,
) -> Policy:
    """Any OpenAI-compatible chat endpoint, written openai:MODEL@URL: vLLM, llama.cpp, Ollama or a cloud.

    `key_env` names the environment variable with the API key.  `top_k=true` says that the server takes `top_k`;
    `prefix=true` that it takes vLLM's `continue_final_message`.  A failed request is tried again up to `retries` times,
    after pauses that begin at `backoff` seconds and double.
    """
    model, at, url = target.rpartition("@")
    if not at or not model or "://" not in url:
        raise UserError(f"policy openai: cannot read {target!r}; write openai:MODEL@URL, for example "
                        "openai:qwen3:0.6b@http://localhost:11434/v1")  # fmt: skip
    key = os.environ.get(key_env, "")
    if not key and key_env != "OPENAI_API_KEY":
        raise UserError(
            f"policy openai: the environment variable {key_env} is not set; type: export {key_env}=YOUR_KEY"
        )
    if concurrency < 1 or retries < 0 or timeout <= 0 or backoff <= 0:
        raise UserError("policy openai: expected concurrency >= 1, retries >= 0, timeout > 0 and backoff > 0")
    url = url.rstrip("/").removesuffix("/chat/completions")
    return Endpoint(model, url, key, top_k, prefix, concurrency, timeout, retries, backoff)


@dataclass(slots=True)
class _Session:
    """What belongs to one event loop.  Closing `keeper` closes the client, and a loop that ends closes it by itself."""

    loop: asyncio.AbstractEventLoop
    client: httpx.AsyncClient
    slots: asyncio.Semaphore
    keeper: AsyncGenerator[None, None]


class Endpoint:
    """A chat endpoint as a policy; made by `openai`."""

    def __init__(
        self, model: str, url: str, key: str, top_k: bool, prefix: bool, concurrency: int, timeout: float, retries: int,
        backoff: float,
    ) -> None:  # fmt: skip
        self.model, self.url = model, url
        self._key, self._top_k, self._prefix = key, top_k, prefix
        self._concurrency, self._timeout, self._retries, self._backoff = concurrency, timeout, retries, backoff
        self._session: _Session | None = None
        self._answered = False
        # Found out on the way; None is "not known yet".
        self._gives_logprobs: bool | None = None
        self._gives_many = True
        self._limit = "max_tokens"
        self._warned = False

    @property
    def name(self) -> str:
        return f"openai:{self.model}@{self.url}"

    @property
    def version(self) -> str:
        return self.name

    @property
    def capabilities(self) -> frozenset[str]:
        known = {"seed": True, "logprobs": self._gives_logprobs, "top_k": self._top_k, "prefix": self._prefix}
        return frozenset(name for name, honoured in known.items() if honoured)

    async def sample(self, request: Request) -> list[Completion]:
        if request.sampling.top_k and not self._top_k:
            raise Unsupported(
                f"{self.name}: top_k is no standard field of this protocol. If the server takes it (vLLM, llama.cpp), "
                f"add ,top_k=true to the policy; otherwise leave it out or use --policy {LOCAL}"
            )
        if request.prefix and not self._prefix:
            raise Unsupported(
                f"{self.name}: continuing a started answer is no standard of this protocol. If the server is vLLM, add "
                f",prefix=true to the policy; otherwise use --policy {LOCAL}"
            )
        done = await self._ask(request, request.n if self._gives_many else 1, request.seed)
        if len(done) < request.n:
            self._gives_many = False
            seeds = [random.Random(f"{request.seed} {i}").getrandbits(31) for i in range(len(done), request.n)]
            for one in await _together([self._ask(request, 1, seed) for seed in seeds]):
                done += one
        return done[: request.n]

    async def score(self, request: Request, continuations: Sequence[Segment]) -> list[tuple[float, ...]]:
        raise Unsupported(f"{self.name}: a chat endpoint cannot score given tokens; use --policy {LOCAL}")

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None and session.loop is asyncio.get_running_loop():
            await session.keeper.aclose()

    async def _ask(self, request: Request, n: int, seed: int) -> list[Completion]:
        """One request, put again with fewer fields when the server says that it does not know one of them."""
        while True:
            body = self._body(request, n, seed)
            status, data = await self._post(body)
            if status == 200:
                return self._completions(request, data)
            message = _message(data)
            if status not in (400, 422):
                raise await self._refusal(status, message)
            if "logprobs" in message and "logprobs" in body:
                self._gives_logprobs = False
            elif "max_completion_tokens" in message and "max_tokens" in body:
                self._limit = "max_completion_tokens"
            elif n > 1 and re.search(r"\bn\b|choice", message):
                self._gives_many, n = False, 1
            else:
                raise await self._refusal(status, message)

    def _body(self, request: Request, n: int, seed: int) -> dict[str, Any]:
        s = request.sampling
        messages = [{"role": m.role, "content": m.content} for m in request.messages]
        body: dict[str, Any] = {"model": self.model, "messages": messages, "seed": seed & 0x7FFFFFFF}
        body |= {"temperature": s.temperature, "top_p": s.top_p, self._limit: s.max_tokens}
        if n > 1:
            body["n"] = n
        if s.stop:
            body["stop"] = list(s.stop)
        if s.top_k:
            body["top_k"] = s.top_k
        if request.prefix:
            messages.append({"role": "assistant", "content": "".join(p.text for p in request.prefix)})
            body |= {"continue_final_message": True, "add_generation_prompt": False}
        if self._gives_logprobs is not False:
            body["logprobs"] = True
        return body

    async def _post(self, body: Mapping[str, Any]) -> tuple[int, Any]:
        """Status and JSON of an answer that trying again would not change."""
        import httpx

        fault = ""
        for attempt in range(self._retries + 1):
            pause = min(30.0, self._backoff * 2**attempt) * random.uniform(0.5, 1.0)
            session = await self._open()
            try:
                async with session.slots, asyncio.timeout(self._timeout):
                    reply = await session.client.post(f"{self.url}/chat/completions", json=body)
                self._answered = True
                if reply.status_code not in _RETRIED and reply.status_code < 500:
                    data = _json(reply.text)
                    if reply.status_code != 200 or _well_formed(data):
                        return reply.status_code, data
                    fault = f"it answered with something that is no chat completion: {reply.text[:80]!r}"
                else:
                    fault = f"it answered {reply.status_code}: {_message(_json(reply.text))[:200]}"
                    pause = max(pause, _retry_after(reply.headers.get("retry-after", "")))
            except TimeoutError:
                fault = f"no answer within {self._timeout:g} s"
            except httpx.TransportError as error:
                if isinstance(error, httpx.ConnectError) and not self._answered:
                    raise UserError(
                        f"nothing answers at {self.url} ({error}). Start the server, or correct the address: "
                        f"--policy openai:{self.model}@http://HOST:PORT/v1"
                    ) from error
                fault = f"the connection broke ({type(error).__name__}: {error})"
            if attempt < self._retries:
                if pause > LONGEST_WAIT:
                    fault += f"; it asks to wait {pause:.0f} s"
                    break
                await asyncio.sleep(pause)
        raise RunError(f"{self.name} failed {attempt + 1} times; the last time {fault}")

    async def _open(self) -> _Session:
        loop = asyncio.get_running_loop()
        if self._session is None or self._session.loop is not loop:
            import httpx

            headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
            limits = httpx.Limits(max_connections=self._concurrency, max_keepalive_connections=self._concurrency)
            client = httpx.AsyncClient(headers=headers, limits=limits, timeout=httpx.Timeout(None, connect=20.0))
            keeper = _keep(client)
            await anext(keeper)
            self._session = _Session(loop, client, asyncio.Semaphore(self._concurrency), keeper)
        return self._session

    def _completions(self, request: Request, data: Any) -> list[Completion]:
        choices = sorted(data["choices"], key=lambda c: c.get("index") or 0)
        texts = [_text(c, request.sampling.stop) for c in choices]
        logprobs = [_logprobs(c) for c in choices]
        if any(texts):
            self._gives_logprobs = any(logprobs)
        weights = [len(p) or len(t.encode()) + 1 for p, t in zip(logprobs, texts, strict=True)]
        prompt_text = "".join(f"{m.role}: {m.content}\n" for m in request.messages)
        usage = data.get("usage") or {}
        sampled, prompt_tokens = usage.get("completion_tokens"), usage.get("prompt_tokens")
        if sampled is None or prompt_tokens is None:
            self._warn_of_no_usage()
            sampled = sum(min(w, request.sampling.max_tokens) for w in weights)
            prompt_tokens = len(prompt_text.encode()) + sum(len(p.text.encode()) for p in request.prefix)
        shares = _shares(sampled, weights)
        cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
        prompt = Segment("prompt", text=prompt_text, version=self.version)
        return [
            Completion(
                prompt,
                Segment("model", (), logprobs[i], texts[i], self.version),
                _FINISH.get(choices[i].get("finish_reason") or "stop", "stop"),
                Usage(0 if i else prompt_tokens, 0 if i else cached, shares[i], 0 if i else 1),
            )
            for i in range(len(choices))
        ]

    def _warn_of_no_usage(self) -> None:
        if not self._warned:
            self._warned = True
            warnings.warn(f"{self.name} counts no tokens; usage is an upper bound, from bytes", stacklevel=2)

    async def _refusal(self, status: int, message: str) -> UserError:
        """The error for an answer that trying again would not change."""
        said = f"{self.url} answered {status}: {message[:300]}"
        if status in (401, 403):
            if self._key:
                return UserError(f"{said}. Give a valid API key, or name the variable that holds it: "
                                 f"--policy {self.name},key_env=NAME")  # fmt: skip
            return UserError(f"{said}. It wants an API key; type: export OPENAI_API_KEY=YOUR_KEY")
        if status == 404 or "model" in message:
            models = await self._models()
            if models and self.model not in models:
                return UnknownName(f"model at {self.url}", self.model, models)
        if status == 404:
            return UserError(f"{said}. Expected the address of an OpenAI-compatible server; most end in /v1: "
                             f"--policy openai:{self.model}@http://HOST:PORT/v1")  # fmt: skip
        if FULL.search(message):
            return ContextFull(f"{said}. The prompt with max_tokens is longer than the model's context")
        return UserError(said)

    async def _models(self) -> list[str]:
        import httpx

        session = await self._open()
        try:
            data = _json((await session.client.get(f"{self.url}/models", timeout=10.0)).text)
            return [str(m["id"]) for m in data["data"]]
        except (httpx.HTTPError, KeyError, TypeError):
            return []


async def _keep(client: httpx.AsyncClient) -> AsyncGenerator[None, None]:
    """An event loop closes its asynchronous generators when it ends, and with this one the client."""
    try:
        yield
    finally:
        await client.aclose()


async def _together(calls: Sequence[Awaitable[T]]) -> list[T]:
    """Like `gather`, but when one fails the others are cancelled instead of going on unseen."""
    tasks = [asyncio.ensure_future(c) for c in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _well_formed(data: Any) -> bool:
    choices = data.get("choices") if isinstance(data, dict) else None
    if not isinstance(choices, list) or not choices:
        return False
    return all(isinstance(c, dict) and isinstance(c.get("message"), dict) for c in choices)


def _message(data: Any) -> str:
    """The message of an error in any of the shapes in use."""
    while isinstance(data, dict):
        data = data.get("error") or data.get("message") or data.get("detail") or ""
    return str(data).strip()


def _text(choice: Mapping[str, Any], stops: tuple[str, ...]) -> str:
    """What was said, with the stop string that ended it, as every policy keeps it.

    Servers leave it out.  vLLM says which it was; from a server that does not, no text ends with its stop string.
    """
    said, stop = choice["message"].get("content") or "", choice.get("stop_reason")
    return said + stop if stop in stops else said


def _logprobs(choice: Mapping[str, Any]) -> tuple[float, ...]:
    content = (choice.get("logprobs") or {}).get("content") or []
    return tuple(float(token["logprob"]) for token in content)


def _retry_after(header: str) -> float:
    """Seconds from a Retry-After header, which holds a number or a date; 0 without one."""
    try:
        return float(header)
    except ValueError:
        date = email.utils.parsedate_tz(header)
        return max(0.0, email.utils.mktime_tz(date) - time.time()) if date else 0.0


def _shares(total: int, weights: Sequence[int]) -> list[int]:
    """Whole numbers proportional to `weights` that add up to `total`: a server counts its choices together."""
    bounds = [0]
    for weight in weights:
        bounds.append(bounds[-1] + weight)
    marks = [round(total * b / max(1, bounds[-1])) for b in bounds]
    return [after - before for before, after in itertools.pairwise(marks)]
