"""The scripted policy keeps every policy's contract: reversible tokens, honest usage, seeds that fix everything."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivium.errors import UnknownName, Unsupported, UserError
from trivium.policies import POLICIES, policy
from trivium.policies.scripted import END, Scripted, decode, replies
from trivium.types import Completion, Message, Policy, Request, Sampling, Segment
from trivium.verify.parse import parse_answer

QUESTION = (Message("system", "Show your work."), Message("user", "What is 41 + 87 - 35?"))


def draw(model: Policy, **changes: object) -> list[Completion]:
    return asyncio.run(model.sample(Request(**{"messages": QUESTION, **changes})))


def test_right_answers_show_their_work() -> None:
    [sample] = draw(policy("scripted"))
    assert sample.text == "41 + 87 = 128\n128 - 35 = 93\nAnswer: 93"
    assert sample.finish == "stop"


def test_products_come_first() -> None:
    [sample] = draw(policy("scripted"), messages=(Message("user", "2 + 6 * -7 - 1"),))
    assert sample.text.endswith("Answer: -41")


def test_p_is_the_share_of_right_answers() -> None:
    samples = draw(policy("scripted:sums,p=0.7"), n=2000)
    share = sum(parse_answer("number", s.text) == "93" for s in samples) / 2000
    assert 0.66 < share < 0.74


def test_a_sample_depends_on_its_own_seed_and_place_alone() -> None:
    model = policy("scripted:random")
    four, eight = draw(model, n=4, seed=5), draw(model, n=8, seed=5)
    assert four == eight[:4]
    assert draw(model, n=4, seed=6) != four
    assert len({s.text for s in draw(model, n=4, sampling=Sampling(temperature=0))}) == 1


def test_ids_are_the_truth_and_text_a_view_of_them() -> None:
    for sample in draw(policy("scripted:random"), n=20):
        assert decode(sample.segment.ids) == sample.text
        assert len(sample.segment.logprobs) == len(sample.segment.ids)
        assert sample.segment.ids[-1] == END
    assert decode(sample.prompt.ids) == sample.prompt.text


def test_usage_charges_the_prompt_once_and_every_sampled_token() -> None:
    model = policy("scripted:random")
    samples = draw(model, n=3)
    assert [s.usage.prompt_tokens for s in samples] == [len(samples[0].prompt.ids), 0, 0]
    assert samples[0].usage.prompt_tokens == len(model.encode(QUESTION))  # type: ignore[attr-defined]
    assert [s.usage.sampled_tokens for s in samples] == [len(s.segment.ids) for s in samples]
    assert [s.usage.calls for s in samples] == [1, 0, 0]


@settings(max_examples=50, deadline=None)
@given(limit=st.integers(1, 60))
def test_max_tokens_is_never_exceeded(limit: int) -> None:
    [whole] = draw(policy("scripted"))
    [sample] = draw(policy("scripted"), sampling=Sampling(max_tokens=limit))
    assert len(sample.segment.ids) == min(limit, len(whole.segment.ids))
    assert whole.text.startswith(sample.text)
    assert sample.finish == ("length" if limit < len(whole.segment.ids) else "stop")


def test_endless_ends_by_length_only() -> None:
    [sample] = draw(policy("scripted:endless"), sampling=Sampling(max_tokens=77))
    assert sample.finish == "length"
    assert sample.usage.sampled_tokens == 77


def test_stop_strings_end_a_step_and_a_prefix_is_continued_exactly() -> None:
    model, prefix = policy("scripted"), ()
    step = Sampling(stop=("\n",))
    for _ in range(3):
        [sample] = draw(model, sampling=step, prefix=prefix)
        prefix = (*prefix, sample.segment)
    assert "".join(s.text for s in prefix) == draw(model)[0].text
    assert sample.usage.prompt_tokens == len(sample.prompt.ids) + sum(len(s.ids) for s in prefix[:2])


def test_a_prefix_cut_in_mid_line_is_continued_and_its_errors_are_carried_on() -> None:
    cut = Segment("model", tuple(b"41 + 87 = 100\n100 -"), text="41 + 87 = 100\n100 -")
    assert draw(policy("scripted"), prefix=(cut,))[0].text == " 35 = 65\nAnswer: 65"


def test_score_agrees_with_sample() -> None:
    model = policy("scripted:random")
    segments = [s.segment for s in draw(model, n=5)]
    assert asyncio.run(model.score(Request(QUESTION), segments)) == [s.logprobs for s in segments]


def test_failures_depend_on_the_request_not_on_the_order() -> None:
    model = policy("scripted:fail_every=3")

    def fails(seed: int) -> bool:
        try:
            draw(model, seed=seed)
        except ConnectionError:
            return True
        return False

    outcome = [fails(seed) for seed in range(60)]
    assert 8 <= sum(outcome) <= 35
    assert [fails(seed) for seed in reversed(range(60))] == outcome[::-1]


def test_python_scripts() -> None:
    model = Scripted(replies({"What is 41 + 87 - 35?": ["yes", "no"], "other": "maybe"}))
    assert {s.text for s in draw(model, n=20)} == {"yes", "no"}
    assert draw(model, messages=(Message("user", "unknown"),))[0].text == ""


def test_what_it_cannot_honour_is_refused() -> None:
    with pytest.raises(Unsupported, match="top_k"):
        draw(policy("scripted"), sampling=Sampling(top_k=5))
    with pytest.raises(UserError, match="p=2"):
        policy("scripted:p=2")


def test_unknown_policies_get_the_nearest_name() -> None:
    with pytest.raises(UnknownName, match="scripted"):
        policy("scriptd")
    assert set(POLICIES.names()) == {"tiny", "smollm2", "hf", "openai", "scripted"}


def test_a_folder_means_hf(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(type(POLICIES), "build", lambda self, spec: asked.append(spec))
    policy(f"{tmp_path}")
    policy("scripted")
    assert asked == [f"hf:{tmp_path}", "scripted"]
