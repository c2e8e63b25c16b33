"""Specs of weighted rewards: reading, adding, logging, refusing."""

from __future__ import annotations

import subprocess
import sys

import pytest

from trivium.errors import UnknownName, UserError
from trivium.rewards.composite import parse_rewards
from trivium.types import Trace, Usage, Verdict


def trace(verdict: Verdict, tokens: int = 10) -> Trace:
    return Trace("q", verdict=verdict, usage=Usage(sampled_tokens=tokens))


GROUP = [
    trace(Verdict.right("4", steps=1.0), 50),
    trace(Verdict.wrong("5", steps=0.5), 20),
    trace(Verdict.unparseable(), 100),
    trace(Verdict.error("timeout"), 100),
]


def test_terms_are_weighed_and_added():
    reward = parse_rewards("outcome=1,format=0.1,length=-0.2", max_tokens=100)
    assert reward(GROUP) == [pytest.approx(1 + 0.1 - 0.2 * 0.5), pytest.approx(0.1), 0.0, None]


def test_every_term_is_logged_next_to_accuracy_without_the_broken_one():
    paid = parse_rewards("outcome=2,format=0,length=-0.2", max_tokens=100).pay(GROUP)
    assert paid.metrics == {
        "reward/outcome": (1.0, 3.0),
        "reward/format": (2.0, 3.0),
        "reward/length": (0.5, 3.0),
        "reward": (pytest.approx(2 - 0.1), 3.0),
        "accuracy": (1.0, 3.0),
        "verifier_errors": (1.0, 4.0),
    }


def test_options_stand_in_parentheses_and_tell_terms_apart():
    spec = "outcome, partial(part=steps)=0.5, length(shape=cosine,among=all)=-0.2, partial=0"
    reward = parse_rewards(spec, max_tokens=100)
    assert [(t.name, t.weight) for t in reward.terms] == [
        ("outcome", 1.0),
        ("partial(part=steps)", 0.5),
        ("length(shape=cosine,among=all)", -0.2),
        ("partial", 0.0),
    ]
    assert reward(GROUP)[1] == pytest.approx(0.5 * 0.5 - 0.2 * 0.0954915, abs=1e-6)


@pytest.mark.parametrize(
    ("spec", "error", "says"),
    [
        ("outcom=1", UnknownName, "Did you mean outcome"),
        ("length(shap=cosine)=1", UnknownName, "Did you mean shape"),
        ("length(shape=cosin)=1", UnknownName, "Did you mean cosine"),
        ("length(max_tokens=3)=1", UnknownName, "max_tokens"),
        ("outcome=lots", UserError, "weight 'lots' is not a number"),
        ("outcome=nan", UserError, "is not a number"),
        ("outcome=1,outcome=2", UserError, "given twice"),
        ("outcome=1=2", UserError, "cannot read"),
        ("length(shape=cosine=1", UserError, "cannot read"),
        ("", UserError, "no reward"),
        ("outcome=0", UserError, "no reward"),
    ],
)
def test_a_spec_that_cannot_be_used_says_why(spec, error, says):
    with pytest.raises(error, match=says):
        parse_rewards(spec, max_tokens=100)


def test_rewards_do_not_load_torch():
    code = (
        "import sys; from trivium.rewards.composite import parse_rewards;"
        "parse_rewards('outcome,format,partial,length,overlong,relative-length', max_tokens=9);"
        "from trivium.learn import OBJECTIVES; OBJECTIVES.names();"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
