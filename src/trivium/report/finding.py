"""The verdict on a run in plain sentences: what the intervals allow to say, and no more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Tone = Literal["gain", "none", "loss"]


@dataclass(frozen=True, slots=True)
class Finding:
    """A headline, the sentences that support it, and whether it is good news."""

    tone: Tone
    headline: str
    sentences: tuple[str, ...]


def judge(result: Mapping[str, Any]) -> Finding:
    """The finding of a finished run, from the intervals in result.json.

    A difference counts only when its 95% interval (paired bootstrap over problems) excludes zero.
    """
    before, after, gain = result["before"], result["after"], result["difference_vs_greedy"]
    tone = _tone(gain)
    moved = f"from {percent(before['accuracy'])} to {percent(after['accuracy'])}"
    headline = {
        "gain": f"It learned: {moved} on {after['n']} unseen problems.",
        "none": f"No reliable change: {moved} on {after['n']} unseen problems.",
        "loss": f"It got worse: {moved} on {after['n']} unseen problems.",
    }[tone]
    sentences = [f"Trained minus untrained, both greedy: {points(gain)}."]
    if warm := result.get("after_warmup"):
        first = _signed(warm["accuracy"] - before["accuracy"])
        then = _signed(after["accuracy"] - warm["accuracy"])
        sentences.append(f"The warm-up gave {first} points, reinforcement learning {then}.")
    sentences.append(_against_vote(result))
    if rate := result.get("verifier_error_rate"):
        sentences.append(
            f"The verifier failed on {percent(rate)} of the samples; those were neither paid nor counted as wrong."
        )
    return Finding(tone, headline, tuple(sentences))


def percent(share: float | None) -> str:
    """0.7133 as `71.3%`."""
    return "-" if share is None else f"{100 * share:.1f}%"


def interval(share: Mapping[str, Any]) -> str:
    """`71.3% [66.0, 76.1]`."""
    if share["accuracy"] is None:
        return "no answers"
    return f"{percent(share['accuracy'])} [{100 * share['low']:.1f}, {100 * share['high']:.1f}]"


def points(difference: Mapping[str, float]) -> str:
    """`+70.0 points [64.7, 75.0]`."""
    mean, low, high = (_signed(difference[key]) for key in ("mean", "low", "high"))
    return f"{mean} points [{low}, {high}]"


def _against_vote(result: Mapping[str, Any]) -> str:
    vote, difference = result["vote_before"], result["difference_vs_vote"]
    samples = vote.get("samples_per_problem")
    rival = "a majority vote of the untrained model" + (f" over {samples} samples" if samples else "")
    verb = {"gain": "beats", "none": "cannot be told apart from", "loss": "loses to"}[_tone(difference)]
    even = "At equal sampled tokens per problem, one greedy answer of the trained model"
    return f"{even} {verb} {rival}: {points(difference)}."


def _tone(difference: Mapping[str, float]) -> Tone:
    if difference["low"] > 0:
        return "gain"
    return "loss" if difference["high"] < 0 else "none"


def _signed(share: float) -> str:
    return f"{100 * share:+.1f}".replace("-", "\N{MINUS SIGN}")
