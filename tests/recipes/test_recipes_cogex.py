"""What the experiment on programs holds out: whole instructions, so that no model was shown a rule of theirs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from trivium.errors import UserError
from trivium.lab.lab import Lab
from trivium.lab.word_world import talks
from trivium.recipes.program.cogex import SIZES, Size, split


def lab(seed: int) -> Lab[Size]:
    return Lab("cogex", "", SIZES["lab"], "lab", seed)


def test_held_out_rules_are_asked_vaguely_and_all_six_of_an_instruction() -> None:
    trained, held = split(lab(0))
    assert not any(rule.told for rule in held)
    assert {rule.ask for rule in held} == {"colour"}
    assert (len(trained), len(held), len({rule.instruction for rule in held})) == (210, 6, 1)


def test_nothing_that_models_are_shown_has_a_held_out_instruction() -> None:
    here = lab(1)
    trained, held = split(here)
    vague = {rule.instruction for rule in held}
    told = {replace(rule, told=True).instruction for rule in held}
    read = [p.question.messages[-1].content for p, _ in talks(here, trained, 1, "code")]
    assert not [text for text in read if any(said in text for said in vague | told)]
    assert sum("Say a colour." in text for text in read) == 102  # 108 rules about colours without the 6


def test_other_seeds_hold_out_other_rules() -> None:
    assert len({tuple(rule.name for rule in split(lab(seed))[1]) for seed in range(4)}) == 4


@pytest.mark.parametrize("held_out", [0, 19])
def test_none_or_more_instructions_than_there_are_cannot_be_held_out(held_out: int) -> None:
    with pytest.raises(UserError, match=f"held_out={held_out}: expected 1 to 18"):
        split(Lab("cogex", "", replace(SIZES["lab"], held_out=held_out), "lab", 0))
