"""Query heads that share a key head become rows of one product, and back."""

import torch

from trivium.engine.attend import fold, unfold


def test_fold_and_unfold_are_inverse() -> None:
    x = torch.randn(3, 5, 6, 4)
    assert torch.equal(unfold(fold(x, 2), 6), x)
    assert unfold(fold(x[:, :0], 2), 6).shape == (3, 0, 6, 4)
