"""The comparison that a race depends on."""

from __future__ import annotations

import pytest
import torch
from benchmarks.equality import EMBEDDING, compare


def side(loss: float, embedding: list[float], norm: float) -> tuple[float, dict[str, torch.Tensor]]:
    return loss, {EMBEDDING: torch.tensor(embedding)[:, None].clone(), "model.norm.weight": torch.tensor([norm])}


def test_the_error_is_relative_to_the_rival_and_over_all_weights() -> None:
    facts = compare(side(0.5, [0.0, 3.0], 4.0), side(0.25, [0.0, 3.0], 5.0), None)
    assert facts["gradient_error"] == pytest.approx(1 / 34**0.5)
    assert (facts["norm_ours"], facts["loss_ours"], facts["loss_theirs"]) == (pytest.approx(5.0), 0.5, 0.25)


def test_only_the_padding_row_may_differ() -> None:
    mine, other = [7.0, 3.0], [0.0, 3.0]
    assert compare(side(0, mine, 1.0), side(0, other, 1.0), pad=0)["gradient_error"] == 0
    assert compare(side(0, mine, 1.0), side(0, other, 1.0), pad=1)["gradient_error"] > 1


def test_gradients_of_different_weights_do_not_compare() -> None:
    lacking = (0.0, {EMBEDDING: torch.zeros(2, 1)})
    with pytest.raises(ValueError, match=r"model\.norm\.weight"):
        compare(side(0, [0.0, 1.0], 1.0), lacking, None)
