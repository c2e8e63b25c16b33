"""The child process of `trivium.tasks.gym`: makes and scores problems of reasoning-gym.

It is a process of its own because some scorers evaluate what a model wrote, may take for ever on it, or eat all memory;
and because some generators walk over sets of strings, whose order differs from process to process unless it is pinned.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import reasoning_gym
from reasoning_gym.factory import DATASETS

from trivium.sandbox.worker import allow_memory, serve
from trivium.tasks.base import stable_hash

NONSENSE = "xyzzy"
_SIZE = 1000
"""Problems per generator: some prepare all of them at once.  Longer streams go on with other seeds."""


def answer(verb: str, **request: Any) -> dict[str, Any]:
    """`names`, `config`, `check`, `make` or `score`; a failure of the generator or scorer is `{"failed": message}`."""
    allow_memory(request.pop("memory_mb", None))
    try:
        return _VERBS[verb](**request)
    except Exception as error:
        return {"failed": f"{type(error).__name__}: {error}"[:500]}


def names() -> dict[str, Any]:
    return {"names": sorted(DATASETS)}


def config(dataset: str) -> dict[str, Any]:
    """The options of a generator with their defaults, as far as these are plain data."""
    made = DATASETS[dataset][1]()
    values = {f.name: getattr(made, f.name) for f in dataclasses.fields(made)}
    values = {k: list(v) if isinstance(v, tuple) else v for k, v in values.items() if k not in ("seed", "size")}
    plain = (bool, int, float, str, type(None))
    return {
        "config": {
            k: v
            for k, v in values.items()
            if isinstance(v, plain) or (isinstance(v, list) and all(isinstance(item, plain) for item in v))
        }
    }


def check(dataset: str, options: dict[str, Any]) -> dict[str, Any]:
    """Fails if the generator refuses the options."""
    _generator(dataset, _frozen(options), 0, 0)
    return {}


def make(dataset: str, options: dict[str, Any], seed: int, index: int) -> dict[str, Any]:
    item = _entry(dataset, _frozen(options), seed, index)
    question, right = str(item["question"]), item["answer"]
    if not isinstance(right, str):
        return {"question": question, "answer": None}
    scorer = _generator(dataset, _frozen(options), seed, index // _SIZE)
    own = float(scorer.score_answer(right, item))
    try:
        nonsense = float(scorer.score_answer(NONSENSE, item))
    except Exception:
        nonsense = 0.0  # it breaks on nonsense, which pays as little
    fingerprint = stable_hash(question, right)
    return {"question": question, "answer": right, "own": own, "nonsense": nonsense, "fingerprint": fingerprint}


def score(dataset: str, options: dict[str, Any], seed: int, index: int, fingerprint: int, said: str) -> dict[str, Any]:
    item = _entry(dataset, _frozen(options), seed, index)
    if stable_hash(item["question"], item["answer"]) != fingerprint:
        raise ValueError("this version of reasoning-gym makes another problem of that seed; deal the problems again")
    return {"score": float(_generator(dataset, _frozen(options), seed, index // _SIZE).score_answer(said, item))}


def _frozen(options: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple((k, tuple(v) if isinstance(v, list) else v) for k, v in options.items())


@functools.lru_cache(maxsize=64)
def _generator(dataset: str, options: tuple[tuple[str, Any], ...], seed: int, block: int) -> Any:
    start = stable_hash(seed, block) % 2**31
    return reasoning_gym.create_dataset(dataset, seed=start, size=_SIZE, **dict(options))


@functools.lru_cache(maxsize=4096)
def _entry(dataset: str, options: tuple[tuple[str, Any], ...], seed: int, index: int) -> Any:
    block, offset = divmod(index, _SIZE)
    return _generator(dataset, options, seed, block)[offset]


_VERBS: dict[str, Callable[..., dict[str, Any]]] = {
    "names": names,
    "config": config,
    "check": check,
    "make": make,
    "score": score,
}

if __name__ == "__main__":
    serve(answer)
