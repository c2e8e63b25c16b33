"""Continuous batching: jobs come and go while the batch runs.

`submit` queues a job (a prompt and how many samples of it); `step` admits what fits, computes one token for every live
row and returns the samples that ended.  A prompt is prefilled once for its whole group.  What a sample says depends on
its job's seed and its index alone; on real tensors the last bits of its log-probs also depend on the batch it shared.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from trivium.engine.attend import Mixed, Prefill, Step
from trivium.engine.cache import NONE, BatchCache, Past, rounded, tokens_in
from trivium.engine.draw import Uniforms, draw
from trivium.engine.prefix import PrefixStore
from trivium.engine.record import Recordings
from trivium.engine.stems import live_stem, new_stems
from trivium.models.decoder import Decoder
from trivium.models.packed import PackedDecoder, stamp, worth_packing
from trivium.types import Finish, Sampling

REMEMBERED = 10_000
"""Prompts that are known again when they come a second time."""
UNREADABLE = "\ufffd"
"""What stands in a text for bytes that are no character yet."""
SPECIALS = 8
"""Special tokens, which are no text, that a stop string may have within it and is still seen."""


@dataclass(eq=False, slots=True)
class Job:
    """`n` samples of one prompt.  `prompt` holds at least one token id.

    `keep` says that a later job may begin with this one's prompt and samples, so their keys and values are stored; a
    prompt that comes a second time is stored in any case.
    """

    prompt: tuple[int, ...]
    sampling: Sampling
    n: int = 1
    seed: int = 0
    keep: bool = False


@dataclass(eq=False, slots=True)
class Row:
    """One sample in the making, and, once returned by `step`, made: ids, their log-probs and why it ended.

    `reused` tokens of its prompt were not computed for it.
    """

    job: Job
    index: int
    uniforms: Uniforms
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finish: Finish = "stop"
    text: str | None = None
    reused: int = 0


@dataclass(slots=True)
class Counters:
    """What the engine has done: prompt tokens prefilled and taken from the store of prefixes, tokens sampled, steps,
    and seconds inside `step`.
    """

    prefilled: int = 0
    reused: int = 0
    sampled: int = 0
    steps: int = 0
    seconds: float = 0.0


class Engine:
    """Generation with a `Decoder`, whose weights may change at any time and whose layers stay the objects they are.

    `eos` are the token ids that end a sample (kept in its ids: they were sampled, so they are trained on); `decode`
    turns ids into text and is called only for samples with stop strings.  At most `max_rows` rows run at once, at most
    `cache_bytes` of keys and values are held for them, and at most `prefix_bytes` for what later jobs may begin with.
    """

    def __init__(
        self,
        model: Decoder,
        *,
        eos: frozenset[int],
        decode: Callable[[Sequence[int]], str],
        max_rows: int = 128,
        cache_bytes: int = 1 << 30,
        prefix_bytes: int = 1 << 30,
    ) -> None:
        self.model, self.eos, self.decode = model, eos, decode
        self._modules = tuple(model.modules())
        self.max_rows, self.cache_bytes = max_rows, cache_bytes
        self.queue: deque[tuple[Job, int]] = deque()
        self.rows: list[Row] = []
        self.cache: BatchCache | None = None
        self.packed: PackedDecoder | None = None
        self.recordings: Recordings | None = None
        self.prefixes = PrefixStore(prefix_bytes)
        self._asked: set[tuple[int, ...]] = set()
        self.stamp: tuple[tuple[int, int], ...] = ()
        self.counters = Counters()

    @property
    def busy(self) -> bool:
        return bool(self.rows or self.queue)

    def submit(self, job: Job) -> None:
        """Queue all samples of a job.  Raises ValueError when the prompt leaves no room in the model's context.

        A job that mostly goes on from what is stored is next: searches then end one after the other, and what they go
        on from is not pushed out of the store by others that have hardly begun.
        """
        if not 0 < len(job.prompt) < self.model.c.context:
            raise ValueError(f"prompt of {len(job.prompt)} tokens; expected 1 to {self.model.c.context - 1}")
        samples = [(job, i) for i in range(job.n)]
        if 2 * self.prefixes.known(job.prompt) > len(job.prompt):
            self.queue.extendleft(reversed(samples))
        else:
            self.queue.extend(samples)

    def reset(self) -> None:
        """Forget everything queued, running and cached, such as after a step that failed half-way."""
        self.queue.clear()
        self.rows.clear()
        self.release()
        self.cache = self.recordings = None

    def release(self) -> None:
        """Give back the memory of caches and packed weights; the next step makes them again.

        On a GPU the rows of the batch keep theirs, which is a share of its memory that nothing else is given: steps are
        recorded for it.  Raises RuntimeError while rows are running.
        """
        if self.rows:
            raise RuntimeError(f"{len(self.rows)} rows are running; their cache cannot be released")
        if self.model.device.type == "cpu":
            self.cache = self.packed = None
        self._forget()

    @torch.inference_mode()
    def cancel(self, job: Job) -> None:
        """Forget a job's queued and running samples."""
        self.queue = deque(item for item in self.queue if item[0] is not job)
        for i in reversed(range(len(self.rows))):
            if self.rows[i].job is job:
                self._drop(i)

    @torch.inference_mode()
    def step(self) -> list[Row]:
        """Advance every live row by one token; returns the rows that ended, in the order of their slots."""
        began = time.perf_counter()
        model = self._model()
        joining = self._joining()
        ended: list[Row] = []
        if self.rows or joining:
            ended = self._sample(self._forward(model, joining))
            self.counters.steps += 1
        self.counters.seconds += time.perf_counter() - began
        return ended

    def _model(self) -> Decoder:
        """The model in its fastest form, for the weights as they are now."""
        now = stamp(self._modules)
        if now != self.stamp:
            if [place for place, _ in now] != [place for place, _ in self.stamp]:
                self.recordings = None
            self.stamp, self.packed = now, None
            self._forget()
        if not worth_packing(self.model):
            return self.model
        if self.packed is None:
            self.packed = PackedDecoder(self.model)
        return self.packed

    def _forget(self) -> None:
        """Drop all prompts and what was kept of them; what runs on is joined no more."""
        if self.cache is not None:
            self.cache.close()
        self.prefixes.clear()
        self._asked.clear()

    def _cache(self) -> BatchCache:
        dtype, device = self.model.embed.weight.dtype, self.model.device
        if self.cache is None or (self.cache.dtype, self.cache.device) != (dtype, device):
            self.cache, self.recordings = BatchCache(self.model.c, dtype, device), None
        return self.cache

    @property
    def _records(self) -> bool:
        """Whether steps are recorded and played back."""
        return self.model.device.type == "cuda"

    @property
    def _token_bytes(self) -> int:
        """What the keys and values of one token take."""
        c = self.model.c
        return 2 * c.layers * c.kv_heads * c.head_dim * self.model.embed.weight.element_size()

    def _room(self) -> int:
        """Rows that may join now.  Waiting until an eighth of the batch is free keeps prefills from being tiny."""
        if not self.queue:
            return 0
        c = self.model.c
        # All rows of the cache are as long as its longest, so one long row sets the price of every other.
        head = [job for job, _ in itertools.islice(self.queue, self.max_rows)]
        jobs = {*head, *(row.job for row in self.rows)}
        longest = min(c.context, max(len(job.prompt) + job.sampling.max_tokens for job in jobs))
        # One more than is needed; where sizes double, that one could cost as many again.
        places = rounded(longest + (self.model.device.type == "cpu"), self.model.device)
        if self.rows:
            places = max(places, self._cache().own.places)
        limit = max(1, min(self.max_rows, self.cache_bytes // (self._token_bytes * places)))
        free = limit - len(self.rows)
        return free if free >= min(len(self.queue), max(1, limit // 8)) else 0

    def _joining(self) -> dict[tuple[int, ...], list[Row]]:
        """Take queued samples for the free rows: prompts, each with its group."""
        groups: dict[tuple[int, ...], list[Row]] = {}
        for _ in range(min(self._room(), len(self.queue))):
            job, index = self.queue.popleft()
            groups.setdefault(job.prompt, []).append(Row(job, index, Uniforms(job.seed, index)))
        return groups

    def _forward(self, model: Decoder, joining: dict[tuple[int, ...], list[Row]]) -> torch.Tensor:
        """The logits of every row's next token [rows, vocab], after one pass over live rows and new prompts alike."""
        cache, live = self._cache(), len(self.rows)
        last = [row.ids[-1] for row in self.rows]
        if not joining:
            step = Step(cache, live)
            if self._records:
                self.recordings = self.recordings or Recordings(model, cache.own)
                return self.recordings.logits(torch.tensor(last), step.lengths)
            return model.logits(model(torch.tensor(last), step.positions, step))
        self._share(model, list(joining))
        # The last token of a prompt is always computed: the first draw needs its hidden state.
        pasts: list[Past] = [self.prefixes.find(p[:-1]) for p in joining]
        copies = {p: len(rows) for p, rows in joining.items()}
        stems = self._stems(copies, pasts)
        known = [tokens_in(past) for past in pasts]
        new = [i for p, n in zip(joining, known, strict=True) for i in p[n:]]
        prefill = Prefill(
            cache, [len(p) - n for p, n in zip(joining, known, strict=True)], list(copies.values()), pasts, stems
        )
        attend = Mixed(Step(cache, live), prefill) if live else prefill
        hidden = model(torch.tensor(last + new), attend.positions, attend)
        self.counters.prefilled += len(new)
        self.counters.reused += sum(known)
        for (prompt, rows), n, at in zip(joining.items(), known, prefill.first.tolist(), strict=True):
            for i, row in enumerate(rows):
                row.reused = len(prompt) if i else n
            # Who asks twice may ask again, as a vote does until its budget is spent.  To store what is asked once, as
            # in learning and measuring, would only cost.
            if prompt in self._asked or any(row.job.keep for row in rows):
                self._store(at, prompt)
            self._asked.add(prompt)
        if len(self._asked) > REMEMBERED:
            self._asked.clear()
        self.rows += [row for rows in joining.values() for row in rows]
        # A group's prompt has one hidden state, and so one row of logits for all its samples.
        logits = model.logits(torch.cat((hidden[:live], hidden[(live + prefill.ends).to(hidden.device)])))
        return logits[torch.cat((torch.arange(live), live + prefill.source)).to(logits.device)]

    def _stems(self, prompts: Mapping[tuple[int, ...], int], pasts: list[Past]) -> list[int]:
        """The stem of each prompt, given its number of rows; `pasts` is led on to the end of a stem that knows more.

        On a GPU there are none: a step with stems is another one each time, and cannot be recorded.
        """
        cache, c = self._cache(), self.model.c
        if self._records:
            return [NONE] * len(prompts)
        stems = {p: live_stem(p, cache.ids) for p in prompts}
        for i, stem in enumerate(stems.values()):
            if stem != NONE and tokens_in(pasts[i]) < (n := len(cache.ids[stem])):
                pasts[i] = [cache.stems.piece(stem, n)]
        known = dict(zip(prompts, pasts, strict=True))
        free = [p for p, stem in stems.items() if stem == NONE]
        live = {ids: cache.stem_of.count(i) for i, ids in enumerate(cache.ids)}
        chosen = new_stems({p: prompts[p] for p in free}, [known[p] for p in free], live, c.kv_heads * c.head_dim)
        opened: dict[tuple[int, ...], int] = {}
        for prompt, head in chosen.items():
            if head not in opened:
                opened[head] = cache.open(head, known[prompt])
            stems[prompt] = opened[head]
        return list(stems.values())

    def _share(self, model: Decoder, prompts: Sequence[tuple[int, ...]]) -> None:
        """Compute once, and store, what several of the prompts begin with alike, such as the same worked examples."""
        while stem := self.prefixes.worth_sharing(prompts, self._token_bytes):
            past = self.prefixes.find(stem)
            known = tokens_in(past)
            attend = Prefill(self._cache(), [len(stem) - known], [1], [past], [NONE])
            model(torch.tensor(stem[known:]), attend.positions, attend)
            self.counters.prefilled += len(stem) - known
            at = int(attend.first[0])
            self._store(at, stem)
            self._cache().drop(at)

    def _store(self, at: int, ids: Sequence[int]) -> None:
        """Keep the keys and values of `ids`, which row `at` of the cache begins with."""
        self.prefixes.add(ids, self._cache().past(at, len(ids)))

    def _sample(self, logits: torch.Tensor) -> list[Row]:
        """Draw a token for every row, given their logits, and take out those that end."""
        rows = self.rows
        u = torch.tensor([row.uniforms.next() for row in rows], dtype=torch.float64)
        ids, logprobs = draw(logits, u, [row.job.sampling for row in rows])
        self.counters.sampled += len(rows)
        ended = []
        for i, (token, logprob) in enumerate(zip(ids.tolist(), logprobs.tolist(), strict=True)):
            rows[i].ids.append(token)
            rows[i].logprobs.append(logprob)
            if judge_end(rows[i], self.eos, self.decode, self.model.c.context):
                ended.append(i)
        # From the back, so that the row which fills a gap is never one that is about to go.
        done = [self.rows[i] for i in ended]
        for i in reversed(ended):
            row = self.rows[i]
            if row.job.keep and row.ids[-1] not in self.eos:
                # The last token was never read, so it has no keys yet.
                self._store(i, (*row.job.prompt, *row.ids[:-1]))
            self._drop(i)
        return done

    def _drop(self, i: int) -> None:
        self._cache().drop(i)
        self.rows[i] = self.rows[-1]
        self.rows.pop()


def judge_end(row: Row, eos: frozenset[int], decode: Callable[[Sequence[int]], str], context: int) -> bool:
    """Whether the newest token ends a row; if so, `finish` says why, and `text` is cut after a stop string."""
    sampling = row.job.sampling
    if row.ids[-1] in eos:
        row.finish = "stop"
        return True
    if sampling.stop and (said := said_to_stop(row.ids, sampling.stop, decode)) is not None:
        row.finish, row.text = "stop", said
        return True
    if len(row.ids) >= sampling.max_tokens or len(row.job.prompt) + len(row.ids) >= context:
        row.finish = "length"
        return True
    return False


def said_to_stop(ids: Sequence[int], stops: Sequence[str], decode: Callable[[Sequence[int]], str]) -> str | None:
    """The text of ids whose newest token completes a stop string, up to its end; else `None`.

    The stop string stays in it: the ids of a next step follow on it, and so must its text.
    """
    newest = decode(ids[-1:])
    if not any(_may_end(newest, stop) for stop in stops):
        return None
    # A token is a byte or more, but for special ones, which are none: only so many tokens can be part of it.
    end = decode(ids[-max(len(stop.encode()) for stop in stops) - SPECIALS :])
    if not any(stop in end for stop in stops):
        return None
    text = decode(ids)
    found = [at + len(stop) for stop in stops if (at := text.find(stop)) >= 0]
    return text[: min(found)] if found else None


def _may_end(said: str, stop: str) -> bool:
    """Whether a token that reads so when alone may complete the stop string.

    Within a text it may read otherwise where it is a part of a character, a special token, or begins with a space.
    """
    if UNREADABLE in said or stop[-1] == " ":
        return True
    begun = (said[:n] for n in range(1, len(said) + 1))
    return any(stop.endswith(part) or part.endswith(stop) for part in begun)
