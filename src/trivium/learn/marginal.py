"""Learning from several right responses to one prompt: each counted in full, or by its share of their probability.

    MLE-Aug    -sum_y log p(y|x)                       every response in full
    MML        -log sum_y p(y|x)                       it is enough that one of them is likely
    beta-MML   -1/beta log sum_y p(y|x)^beta           between the two: MML at 1, towards equal shares at 0

The gradient of the last is that of a weighted likelihood, with the weights p(y|x)^beta / sum p^beta held fixed.
Ni et al. 2022, arXiv:2205.14318.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import torch

from trivium.learn.aggregate import token_mean
from trivium.learn.batch import Rollout
from trivium.learn.policy_gradient import PolicyGradient
from trivium.learn.ratio import token_ratio
from trivium.learn.surrogate import reinforce
from trivium.models.decoder import Decoder
from trivium.models.logprob import completion_logprobs

WEIGHTED = PolicyGradient(
    advantage=lambda step: step.reward, ratio=token_ratio, surrogate=reinforce, aggregate=token_mean, grouped=False
)
"""Likelihood, each response weighed by its reward: -sum_y w_y log p(y|x) over the tokens of the step."""


def imitated(prompt: tuple[int, ...], ids: tuple[int, ...], group: int) -> Rollout:
    """A response to imitate in full."""
    return Rollout(prompt, ids, (0.0,) * len(ids), 1.0, group, True, False)


def shared(model: Decoder, rows: Sequence[Rollout], beta: float) -> list[Rollout]:
    """Responses weighed by p(y|x)^beta as a share of that of all of their group, which must stand together."""
    prompts = list(dict.fromkeys(row.prompt for row in rows))
    with torch.no_grad():
        logp, _, _ = completion_logprobs(model, prompts, [(prompts.index(row.prompt), row.ids) for row in rows])
    total, out = beta * logp.sum(1), list[Rollout]()
    for _, group in itertools.groupby(enumerate(rows), key=lambda place: place[1].group):
        places = [i for i, _ in group]
        weights = total[places].softmax(0).tolist()
        out += [replace(rows[i], reward=weight) for i, weight in zip(places, weights, strict=True)]
    return out
