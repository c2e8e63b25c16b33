"""A stored trace as a page draws it: what kind it is, and for each node its depth, children, tokens and cost."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from trivium.search.stated import HOW_SURE
from trivium.search.value import DOUBT

MOST_NODES = 500
"""A trace with more nodes is sent with cut texts and without token ids."""
CUT = 200
Kind = Literal["sample", "tree", "conversation", "debate", "program"]
Node = dict[str, Any]

_METHODS: dict[str, Kind] = {
    "debate": "debate", "round-table": "debate", "program-of-thought": "program", "emulate": "program",
    "self-test": "program", "beam": "tree", "tree-of-thoughts": "tree", "mcts": "tree", "graph-of-thoughts": "tree",
    "associative-mcts": "tree",
}  # fmt: skip
_OTHERS, _SURE = "Another solution:\n", "\n(confidence "
"""What `debate` and `round-table` put around what others said, before a speaker answers anew."""
_THOUGHT = ("thought: ", "association")
"""Notes of `graph-of-thoughts` and `associative-mcts`, whose thoughts are prompts of their own."""
_CODE = re.compile(r"^```|^\s*def \w+\(|^\s*>>>|^### Code", re.MULTILINE)
_CALL = re.compile(r"[A-Za-z_]\w*\(.*\)", re.DOTALL)
_NUMBERS = ("visits", "value", "score")


def shaped(trace: Mapping[str, Any], method: str = "") -> dict[str, Any]:
    """The trace with its kind and its nodes filled in; `method` is the method's name where that is known.

    A trace of more than `MOST_NODES` nodes has `cut`, short texts, and no ids and log-probs.
    """
    nodes = _nodes(trace)
    cut = len(nodes) > MOST_NODES
    kind = kind_of(nodes, method)
    if kind == "debate":
        _seat(nodes)
    if cut:
        for node in nodes:
            node |= {"text": node["text"][:CUT], "ids": [], "logprobs": []}
    return {"kind": kind, "cut": cut, "trace": {**trace, "nodes": nodes}}


def whole_node(trace: Mapping[str, Any], m: int) -> Node | None:
    """One node with all its text, ids and log-probs; `None` where there is none."""
    nodes = _nodes(trace)
    return {"m": m, **nodes[m]} if 0 <= m < len(nodes) else None


def kind_of(nodes: Sequence[Node], method: str = "") -> Kind:
    """What a trace is, from the method's name, or else from its shape, sources, notes and prompts."""
    if (known := _METHODS.get(method.partition(":")[0])) is not None:
        return known
    sources = {node["source"] for node in nodes}
    prompts = [node for node in nodes if node["source"] == "prompt" and node["parent"] >= 0]
    said = [node for node in nodes if node["source"] == "model"]
    if "environment" in sources:
        return "conversation"
    if any(_OTHERS in p["text"] or _SURE in p["text"] for p in prompts):
        return "debate"
    if any(_CALL.fullmatch(node["note"]) for node in said):
        return "program"
    if "tool" in sources:
        return "program" if any(_CODE.search(node["text"]) for node in said) else "conversation"
    if any(node["visits"] or node["children"] > 1 or node["note"].startswith(_THOUGHT) for node in said):
        return "tree"
    if not all(map(_judges, prompts)):
        return "conversation"
    return "tree" if sum(node["parent"] == 0 for node in said) > 1 else "sample"


def _nodes(trace: Mapping[str, Any]) -> list[Node]:
    """The nodes as dictionaries of the right types, whatever is in the file."""
    nodes: list[Node] = []
    for i, found in enumerate(trace.get("nodes") or []):
        node: Node = dict(found) if isinstance(found, Mapping) else {}
        parent = node.get("parent")
        # A parent comes before its children, so there is no cycle to walk into.
        node["parent"] = parent if isinstance(parent, int) and -1 <= parent < i else -1
        node["source"] = str(node.get("source") or "model")
        node["text"], node["note"] = (str(node.get(name) or "") for name in ("text", "note"))
        for name in ("ids", "logprobs"):
            node[name] = node[name] if isinstance(node.get(name), list) else []
        for name in _NUMBERS:
            node.setdefault(name, 0 if name == "visits" else None)
        tokens = len(node["ids"]) or len(node["logprobs"])
        above = nodes[node["parent"]]["depth"] if node["parent"] >= 0 else -1
        node |= {"depth": above + 1, "children": 0, "tokens": tokens, "cost": tokens}
        nodes.append(node)
    for node in reversed(nodes):
        if node["parent"] >= 0:
            nodes[node["parent"]]["children"] += 1
            nodes[node["parent"]]["cost"] += node["cost"]
    return nodes


def _judges(prompt: Node) -> bool:
    """Whether a prompt asks for a judgement of what was said, so that its answer is no part of it."""
    return HOW_SURE in prompt["text"] or DOUBT in prompt["text"]


def _seat(nodes: Sequence[Node]) -> None:
    """Give every word of a debate its round and its speaker, and `None` to every other node.

    In `debate` a prompt holds what all others said in every round before.  In `round-table` a round has one text for
    all; where two rounds have the same, their answers follow each other below one prompt.
    """
    told = (node["text"] for node in nodes[1:] if node["source"] == "prompt" and not _judges(node))
    order = list(dict.fromkeys(text for text in told if _OTHERS in text or _SURE in text))
    asked = [_parent(nodes, node) for node in nodes if node["source"] == "model"]
    n = max(1, sum(prompt["text"] not in order and not _judges(prompt) for prompt in asked))
    heard: Counter[str] = Counter()
    spoken: dict[int, list[int]] = {}
    for i, node in enumerate(nodes):
        node["round"] = node["speaker"] = None
        prompt = _parent(nodes, node)
        if node["source"] != "model" or prompt["source"] != "prompt" or _judges(prompt):
            continue
        text = prompt["text"]
        if _OTHERS in text:
            node["round"] = 1 + text.count(_OTHERS) // max(1, n - 1)
        else:
            first = 2 + order.index(text) if text in order else 1
            node["round"] = first + heard[text] // n if first > 1 else 1
        heard[text] += 1
        before = spoken.get(node["round"] - 1, [])
        node["speaker"] = _speaker(nodes, text, before, spoken.setdefault(node["round"], []))
        spoken[node["round"]].append(i)


def _speaker(nodes: Sequence[Node], prompt: str, before: Sequence[int], now: Sequence[int]) -> int:
    """Whose words of the round before stand in the prompt as its own; where that does not tell, the next in order."""
    taken = {nodes[i]["speaker"] for i in now}
    if _OTHERS in prompt:
        for i in before:
            said = nodes[i]["text"].strip()
            if said and said in prompt.replace(_OTHERS + said, "") and nodes[i]["speaker"] not in taken:
                return int(nodes[i]["speaker"])
    return next(k for k in range(len(nodes)) if k not in taken)


def _parent(nodes: Sequence[Node], node: Node) -> Node:
    above: int = node["parent"]
    return nodes[max(0, above)]
