"""Continuous batching says what transformers says, and no sample ever depends on its neighbours."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from tiny_models import CONTEXT, FAMILIES, decoder, hf_model
from tokenizers import Tokenizer, decoders, models, normalizers
from transformers import PreTrainedTokenizerFast

from trivium.engine.cache import GROW, Cache
from trivium.engine.engine import SPECIALS, Engine, Job, said_to_stop
from trivium.errors import RunError
from trivium.models.logprob import completion_logprobs
from trivium.policies.tiny import byte_tokenizer, trained_tokenizer
from trivium.types import GREEDY, Sampling

LOGPROB = {torch.float32: 1e-4, torch.bfloat16: 0.15}
"""Largest difference in nats between a sampled log-prob and that of the training forward.  These random models are far
sharper than trained ones; in bfloat16 single tokens of theirs move by a tenth of a nat."""


def engine(kind="llama", eos=frozenset(), dtype=torch.float32, **options) -> Engine:
    return Engine(decoder(kind).to(dtype), eos=eos, decode=lambda ids: "".join(chr(i + 40) for i in ids), **options)


def drain(e: Engine) -> dict:
    """Step until idle: job to its rows in the order of their indices."""
    found: dict = {}
    while e.busy:
        for row in e.step():
            found.setdefault(row.job, []).append(row)
    return {job: sorted(rows, key=lambda r: r.index) for job, rows in found.items()}


def prompt(length: int, seed: int = 0) -> tuple[int, ...]:
    return tuple(
        torch.randint(2, 260, (length,), generator=torch.Generator().manual_seed(100 * seed + length)).tolist()
    )


@pytest.mark.parametrize("kind", [*FAMILIES, "llama-untied-biased", "llama-llama3"])
def test_greedy_equals_transformers_token_for_token(kind):
    """Ragged prompts, fewer rows than jobs, a job that joins late; float32."""
    e = engine(kind, max_rows=2)
    jobs = [Job(prompt(n), GREEDY.but(max_tokens=m)) for n, m in ((3, 12), (20, 5), (1, 9), (11, 14))]
    for job in jobs:
        e.submit(job)
    early = [row for _ in range(3) for row in e.step()]
    late = Job(prompt(7), GREEDY.but(max_tokens=6))
    e.submit(late)
    found = drain(e)
    for row in early:
        found.setdefault(row.job, []).append(row)
    for job in [*jobs, late]:
        theirs = hf_model(kind).generate(
            torch.tensor([job.prompt]), max_new_tokens=job.sampling.max_tokens, do_sample=False, eos_token_id=None,
            pad_token_id=0,
        )  # fmt: skip
        assert found[job][0].ids == theirs[0, len(job.prompt) :].tolist()
        assert found[job][0].finish == "length"


@pytest.mark.parametrize("dtype", LOGPROB)
@pytest.mark.parametrize("kind", ["qwen3", "gpt2"])
def test_log_probs_agree_with_the_training_forward(kind, dtype):
    e = engine(kind, dtype=dtype, max_rows=5)
    jobs = [Job(prompt(n), Sampling(temperature=t, max_tokens=20), 3, seed=n) for n, t in ((4, 1.0), (17, 0.6))]
    for job in jobs:
        e.submit(job)
    for job, rows in drain(e).items():
        with torch.no_grad():
            logp, _, _ = completion_logprobs(e.model, [job.prompt], [(0, row.ids) for row in rows])
        sampled = torch.tensor([row.logprobs for row in rows])
        assert (logp - sampled).abs().max() < LOGPROB[dtype]


def test_a_sample_depends_on_seed_and_index_alone():
    job = Job(prompt(6), Sampling(max_tokens=15), 5, seed=11)
    alone = engine()
    alone.submit(job)
    expected = [row.ids for row in drain(alone)[job]]
    assert len({tuple(ids) for ids in expected}) == 5

    crowded = engine(max_rows=4)
    for i in range(4):
        crowded.submit(Job(prompt(3 + 5 * i), Sampling(temperature=0.5 * i, top_k=i, max_tokens=4 + 3 * i), 2, seed=i))
    crowded.step()
    same = Job(job.prompt, job.sampling, 5, seed=11)
    crowded.submit(same)
    assert [row.ids for row in drain(crowded)[same]] == expected

    twins = engine()
    two, three = Job(job.prompt, job.sampling, 2, seed=11), Job(job.prompt, job.sampling, 5, seed=12)
    twins.submit(three)
    twins.submit(two)
    found = drain(twins)
    assert [row.ids for row in found[two]] == expected[:2]
    assert [row.ids for row in found[three]] != expected


def test_a_prompt_is_prefilled_once_for_its_group():
    e = engine()
    e.submit(Job(prompt(30), Sampling(max_tokens=3), 8))
    e.submit(Job(prompt(30), Sampling(max_tokens=3), 4, seed=1))
    drain(e)
    assert e.counters.prefilled == 30
    assert e.counters.sampled == 12 * 3


def test_the_end_token_ends_a_sample_and_stays_in_it():
    plain = engine()
    job = Job(prompt(5), GREEDY.but(max_tokens=30))
    plain.submit(job)
    ids = drain(plain)[job][0].ids
    stopper = ids[4]
    e = engine(eos=frozenset({stopper, 259}))
    e.submit(job)
    row = drain(e)[job][0]
    assert row.finish == "stop"
    assert row.ids == ids[: ids.index(stopper) + 1]


def test_text_is_cut_after_a_stop_string_and_the_ids_are_kept():
    plain = engine()
    job = Job(prompt(5), GREEDY.but(max_tokens=20))
    plain.submit(job)
    ids = drain(plain)[job][0].ids
    text = plain.decode(ids)
    e = engine()
    stopped = Job(prompt(5), GREEDY.but(max_tokens=20, stop=("never there", text[6:8])))
    e.submit(stopped)
    row = drain(e)[stopped][0]
    assert row.finish == "stop"
    assert row.text == text[: text.find(text[6:8]) + 2]
    assert row.ids == ids[: len(row.ids)]
    assert plain.decode(row.ids).endswith(text[6:8])


def sentencepiece_like() -> PreTrainedTokenizerFast:
    """Words with their spaces, unknown characters as bytes, and no space before the first word, as in Llama 2."""
    bytes_of = [f"<0x{i:02X}>" for i in range(256)]
    words = ["a", "b", "#", "\u2581", "\u2581a", "ab", "\u2581ab", "##"]
    merges = [("\u2581", "a"), ("a", "b"), ("\u2581a", "b"), ("#", "#")]
    vocab = {word: i for i, word in enumerate(["<|user|>", *bytes_of, *words])}
    core = Tokenizer(models.BPE(vocab, merges, byte_fallback=True))
    core.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    core.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    core.add_special_tokens(["<|user|>"])
    return PreTrainedTokenizerFast(tokenizer_object=core)


TOKENIZERS = {
    "bytes": byte_tokenizer(),
    "learnt": trained_tokenizer(["ab#\né漢🙂 aab##\n\n"] * 3, 280),
    "sentencepiece-like": sentencepiece_like(),
}


# A stop string may end within a token, and with a space that a token has only within a text.
@example(text="ab", stops=["b"], specials=[], name="sentencepiece-like")
@example(text="a b", stops=["a "], specials=[], name="sentencepiece-like")
@given(
    text=st.text("ab#\né漢🙂 ", max_size=40),
    stops=st.lists(st.text("ab#\né漢🙂 ", min_size=1, max_size=4), min_size=1, max_size=3),
    specials=st.lists(st.integers(0, 40), max_size=SPECIALS),
    name=st.sampled_from(sorted(TOKENIZERS)),
)
def test_a_stop_string_is_seen_when_its_last_token_comes(
    text: str, stops: list[str], specials: list[int], name: str
) -> None:
    tokenizer = TOKENIZERS[name]

    def decode(ids: Sequence[int]) -> str:
        return str(tokenizer.decode(list(ids), skip_special_tokens=True))

    ids = tokenizer.encode(text, add_special_tokens=False)
    for at in specials:
        ids.insert(min(at, len(ids)), tokenizer.convert_tokens_to_ids("<|user|>"))
    for n in range(1, len(ids) + 1):
        whole = decode(ids[:n])
        ends = [whole.find(stop) + len(stop) for stop in stops if stop in whole]
        assert said_to_stop(ids[:n], stops, decode) == (whole[: min(ends)] if ends else None)
        if ends:
            break


def test_a_long_sample_is_not_read_again_at_every_token() -> None:
    read = list[int]()

    def decode(ids: Sequence[int]) -> str:
        read.append(len(ids))
        return "x" * len(ids)

    assert said_to_stop(range(10_000), ("###", "stop"), decode) is None
    assert read == [1]  # no stop string ends with this token
    assert said_to_stop(range(10_000), ("###", "xx#x"), decode) is None
    assert read[1:] == [1, len("xx#x") + SPECIALS]


def test_the_context_is_a_limit():
    e = engine("gpt2")
    job = Job(prompt(CONTEXT - 3), Sampling(max_tokens=50), 2)
    e.submit(job)
    rows = drain(e)[job]
    assert [len(row.ids) for row in rows] == [3, 3]
    assert {row.finish for row in rows} == {"length"}
    for n in (0, CONTEXT):
        with pytest.raises(ValueError, match=f"prompt of {n} tokens; expected 1 to {CONTEXT - 1}"):
            e.submit(Job(prompt(n), Sampling()))


def test_cancelling_leaves_the_others_as_they_were():
    keep, drop = Job(prompt(6), Sampling(max_tokens=12), 3, seed=1), Job(prompt(9), Sampling(max_tokens=12), 3, seed=2)
    alone = engine()
    alone.submit(keep)
    expected = [row.ids for row in drain(alone)[keep]]
    e = engine(max_rows=4)
    e.submit(drop)
    e.submit(keep)
    for _ in range(3):
        e.step()
    e.cancel(drop)
    found = drain(e)
    assert [row.ids for row in found[keep]] == expected
    assert drop not in found
    assert not e.busy
    assert e.cache is not None
    assert e.cache.used == 0


def test_one_long_row_sets_the_price_of_the_rows_that_join_it():
    """Keys and values stay within the allowance, whatever mixture is asked for."""
    c = decoder("llama").c
    token = 2 * c.layers * c.kv_heads * c.head_dim * 4
    e = engine(cache_bytes=4 * (CONTEXT + GROW) * token)
    e.submit(Job(prompt(100), Sampling(max_tokens=28), 2))
    e.step()
    e.submit(Job(prompt(4), Sampling(max_tokens=4), 40))
    most = 0
    while e.busy:
        e.step()
        most = max(most, e.cache.own.keys.nbytes + e.cache.own.values.nbytes)
    assert 0 < most <= 4 * (CONTEXT + GROW) * token


def test_the_cache_grows_and_drops_without_mixing_rows():
    cache = Cache(decoder("llama").c, torch.float32, torch.device("cpu"))
    cache.reserve(3, 5)
    assert cache.places == GROW
    cache.used = 3
    cache.lengths[:3] = torch.tensor([5, 2, 4])
    for row in range(3):
        cache.keys[:, row] = cache.values[:, row] = row + 1.0
    cache.reserve(5, GROW + 1)
    assert cache.keys.shape[1] == 5
    assert cache.places == 2 * GROW
    assert [float(cache.keys[0, r, 0, 0, 0]) for r in range(3)] == [1.0, 2.0, 3.0]
    cache.drop(0)
    assert cache.used == 2
    assert cache.lengths[:2].tolist() == [4, 2]
    assert (cache.values[:, 0, :, :4] == 3.0).all()
    cache.drop(1)
    assert cache.lengths[:1].tolist() == [4]
    cache.drop(0)
    cache.reserve(1, GROW + 1)
    assert cache.keys.shape[1] == 5, "what is large enough is used again"
    cache.reserve(6, 5)
    assert cache.places == GROW, "an empty cache is made anew at the size that is needed"


def test_weights_that_are_not_finite_are_one_message():
    e = engine()
    with torch.no_grad():
        e.model.norm.weight[3] = float("nan")
    e.submit(Job(prompt(4), Sampling(max_tokens=4)))
    with pytest.raises(RunError, match="not finite"):
        e.step()
    e.reset()
    assert not e.busy
