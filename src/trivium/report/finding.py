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
    if "rounds" in result:
        return _judge_rounds(result)
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


def _judge_rounds(result: Mapping[str, Any]) -> Finding:
    """Rounds of search and learning against where they began, and against rounds without search."""
    start, gain, against = result["start"], result["gain"], result["versus_control"]
    search = [row for row in result["rounds"] if row["arm"] == "search"]
    last, name = search[-1], result["method"].partition(":")[0]
    tone = _tone(gain["greedy"])
    moved = f"from {percent(start['greedy']['accuracy'])} to {percent(last['greedy']['accuracy'])}"
    n = last["greedy"]["n"]
    # Where plain samples taught as much, the search is not what helped.
    either = against and _tone(against["greedy"]) != "gain"
    helped = "Learning helped, with search or without" if either else f"Learning from {name} helped"
    headline = {
        "gain": f"{helped}: greedy answers went {moved} on {n} unseen problems.",
        "none": f"No reliable change by learning from {name}: greedy {moved} on {n} unseen problems.",
        "loss": f"Learning from {name} did harm: greedy answers went {moved} on {n} unseen problems.",
    }[tone]
    allowed = " and ".join(f"{limit:,g} {unit.replace('_', ' ')}" for unit, limit in result["budget"].items())
    inner = f"from {percent(start['method']['accuracy'])} to {percent(last['method']['accuracy'])}"
    sentences = [
        f"Greedy answers after {len(search)} {'round' if len(search) == 1 else 'rounds'}, minus before: "
        f"{points(gain['greedy'])}.",
        f"{name}, allowed {allowed} a problem each time, went {inner}: {points(gain['method'])}.",
    ]
    if against:
        verb = {"gain": "is better than", "none": "cannot be told apart from", "loss": "is worse than"}
        sentences.append(
            f"Learning from {name} {verb[_tone(against['greedy'])]} learning from plain samples of as many tokens on"
            f" the same questions: {points(against['greedy'])} for greedy answers, {points(against['method'])} for"
            f" {name}."
        )
        if not any(row["examples"] for row in result["rounds"] if row["arm"] == "control"):
            sentences.append("The plain samples gave nothing to learn from, so that arm stayed where it began.")
    if result["chosen_by"] == "search":
        sentences.append(
            f"{name}'s own values chose the steps to learn from; without search, and for the shares of right responses,"
            f" the task's verifier judged {result['verified_responses']:,} responses to training problems"
            f"{_failed(result)}."
        )
    else:
        sentences.append(
            f"The task's verifier chose what to learn from, on training problems only: {result['verified_responses']:,}"
            f" responses judged{_failed(result)}."
        )
    return Finding(tone, headline, tuple(sentences))


def _failed(result: Mapping[str, Any]) -> str:
    rate = result["verifier_error_rate"]
    return f", of which it failed on {percent(rate)} and those were left out" if rate else ""


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
    return f"{round(100 * share, 1) + 0.0:+.1f}".replace("-", "\N{MINUS SIGN}")  # + 0.0: there is no negative zero
