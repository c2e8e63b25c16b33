"""The embedded model, for real.  `make test` fetches it before the tests run."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoModelForCausalLM

from trivium.errors import RunError
from trivium.learn.batch import Demonstration
from trivium.learn.fit import Learner, Optimiser
from trivium.learn.sft import sft
from trivium.policies import policy as make_policy
from trivium.policies.local import LocalPolicy
from trivium.policies.smollm2 import cache_folder, fetch
from trivium.types import Message, Request, Sampling

QUESTIONS = (
    "What is 12 + 30?",
    "Name a colour.",
    "Say hello to Ada in one short sentence.",
    "What is the capital of Italy?",
)
TOKENS = 12


@pytest.fixture(scope="module")
def policy() -> LocalPolicy:
    assert cache_folder().is_dir(), "the embedded model is not here; type: trivium fetch smollm2"
    made = make_policy("smollm2:dtype=fp32")
    assert isinstance(made, LocalPolicy)
    return made


def test_greedy_and_log_probs_are_those_of_transformers(policy):
    requests = [Request((Message("user", q),), Sampling(temperature=0.0, max_tokens=TOKENS)) for q in QUESTIONS]

    async def go():
        return await asyncio.gather(*(policy.sample(r) for r in requests))

    found = [completions[0] for completions in asyncio.run(go())]
    theirs = AutoModelForCausalLM.from_pretrained(cache_folder(), dtype=torch.float32)
    for completion in found:
        ids = torch.tensor([completion.prompt.ids])
        with torch.inference_mode():
            made = theirs.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=TOKENS, do_sample=False)
            logits = theirs(input_ids=made).logits[0, ids.shape[1] - 1 : -1].log_softmax(-1)
        expected = made[0, ids.shape[1] :]
        assert completion.segment.ids == tuple(expected.tolist())
        # float32, sampled through the cache against one forward: 1e-3 nats.
        logp = logits.gather(1, expected[:, None]).squeeze(1).tolist()
        assert completion.segment.logprobs == pytest.approx(logp, abs=1e-3)


def test_one_supervised_step_lowers_the_loss(policy):
    prompt = policy.encode((Message("user", "What is 41 + 87?"),))
    shown = [Demonstration(prompt, policy.encode_response("41 + 87 = 128\nAnswer: 128"))]
    learner = Learner(policy.model, Optimiser(lr=1e-4))
    before, after = (learner.step(shown, sft()).loss for _ in range(2))
    assert after < before - 0.05


def test_a_disk_without_room_is_said_before_anything_is_fetched(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=17_000_000))
    said = []
    with pytest.raises(RunError, match=r"takes 542 MB and .* has 17 MB left"):
        fetch(said.append)
    assert not said


@pytest.mark.parametrize("other", ["whole", "broken", None])
def test_a_folder_that_another_process_made_meanwhile_is_kept(monkeypatch, tmp_path, other):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("trivium.policies.smollm2._installed", lambda: tmp_path / "some.gguf")

    def make(folder, name, text):
        folder.mkdir(parents=True)
        (folder / name).write_text(text)

    def convert(gguf, folder):
        if other is not None:
            make(cache_folder(), "model.safetensors" if other == "whole" else "config.json", "theirs")
        make(folder, "model.safetensors", "ours")

    monkeypatch.setattr("trivium.policies.smollm2._convert", convert)
    folder = fetch()
    assert (folder / "model.safetensors").read_text() == ("theirs" if other == "whole" else "ours")
    assert [path.name for path in folder.iterdir()] == ["model.safetensors"]
    assert list(folder.parent.iterdir()) == [folder], "no part is left behind"
