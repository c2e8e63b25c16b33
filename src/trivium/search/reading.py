"""What one policy has read in an attempt: which node of the trace holds each prompt, and how many tokens it has.

All voices of an attempt write into one trace, but each has token ids of its own: a chain is gone on from only by who
reads its ids as the same text.
"""

from __future__ import annotations

from collections.abc import Sequence

from trivium.errors import Unsupported
from trivium.types import Message, Policy, Segment, Trace

Prompts = dict[int, tuple[tuple[Message, ...], Policy]]
"""The messages of each prompt's node, and the policy that read them first."""
Place = tuple[tuple[Message, ...], int | None, tuple[Segment, ...]]
"""Messages, the node to hang from (unknown before the first call) and what was said since the last prompt."""


class Reading:
    """The prompts that `policy` has read; `prompts` are those of the whole attempt.

    It holds trace and prompts and not the attempt, which holds it: a cycle is work for the garbage collector.
    """

    __slots__ = ("_lengths", "_nodes", "_policy", "_prompts", "_trace")

    def __init__(self, policy: Policy, trace: Trace, prompts: Prompts) -> None:
        self._policy, self._trace, self._prompts = policy, trace, prompts
        self._nodes: dict[tuple[Message, ...], int] = {}
        self._lengths: dict[tuple[Message, ...], int] = {}

    def begin(self, messages: tuple[Message, ...]) -> int:
        """The node of a prompt that need not have been sampled from yet."""
        node = self._nodes.get(messages)
        if node is not None:
            return node
        encode = getattr(self._policy, "encode", None)
        ids = () if encode is None else tuple(encode(messages))
        text = "".join(f"{m.role}: {m.content}\n" for m in messages)
        return self.node_of(messages, Segment("prompt", ids, (), text, self._policy.version))

    def node_of(self, messages: tuple[Message, ...], prompt: Segment) -> int:
        """The node of a prompt.  The first is the root; another hangs below it and begins a context of its own."""
        node = self._nodes.get(messages)
        if node is None:
            node = self._trace.add(0 if self._trace.nodes else -1, prompt)
            self._nodes[messages], self._prompts[node] = node, (messages, self._policy)
        return node

    def of_question(self, messages: tuple[Message, ...]) -> Place:
        """Where to go on from a prompt."""
        return messages, self._nodes.get(messages), ()

    def of_chain(self, node: int, response: str) -> Place:
        """Where to go on from a chain.  Raises Unsupported where its token ids mean another text to this policy."""
        prompt, said = self.since_prompt(node)
        messages, reader = self._prompts[prompt]
        if reader is not self._policy:
            if not said:
                return self.of_question(messages)
            self._need_readable(messages, response, said, reader)
        return messages, node, said

    def since_prompt(self, node: int) -> tuple[int, tuple[Segment, ...]]:
        """The node of the prompt above a node, and all segments after it, in order."""
        said = []
        while node not in self._prompts:
            said.append(self._trace.nodes[node].segment)
            node = self._trace.nodes[node].parent
        return node, tuple(reversed(said))

    def tokens(self, messages: tuple[Message, ...], prefix: tuple[Segment, ...]) -> int:
        """How long a prompt and what follows it are.  Raises Unsupported for a policy that cannot tell."""
        if messages not in self._lengths:
            encode = getattr(self._policy, "encode", None)
            if encode is None:
                raise Unsupported(
                    f"{self._policy.name} cannot count a prompt before it is sent, so total_tokens cannot be limited; "
                    "limit sampled_tokens, or use --policy tiny, smollm2 or hf:FOLDER"
                )
            self._lengths[messages] = len(encode(messages))
        return self._lengths[messages] + sum(len(s.ids or self.encode_text(s.text)) for s in prefix)

    def encode_text(self, text: str) -> Sequence[int]:
        """Token ids of text within a response.  Raises Unsupported for a policy that does not tell them."""
        encode = getattr(self._policy, "encode_text", None)
        if encode is None:
            raise Unsupported(
                f"{self._policy.name} does not tell its token ids; use --policy tiny, smollm2 or hf:FOLDER"
            )
        ids: Sequence[int] = encode(text)
        return ids

    def _need_readable(
        self, messages: tuple[Message, ...], response: str, said: Sequence[Segment], reader: Policy
    ) -> None:
        """Refuse the token ids of a policy that has other ids for the same text."""
        mine, theirs = getattr(self._policy, "encode", None), getattr(reader, "encode", None)
        if mine is None or not any(s.ids for s in said):
            return  # it reads text, or there is only text
        whole = (*messages, Message("assistant", response))
        if theirs is None or tuple(mine(whole)) != tuple(theirs(whole)):
            raise Unsupported(
                f"{self._policy.name} cannot go on from the token ids of {reader.name}, which mean another text to it; "
                "ask it with a question of its own: sample(turn(question, Message('assistant', chain.response), ...))"
            )
