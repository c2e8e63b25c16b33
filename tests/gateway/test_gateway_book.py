"""The book and its traces: random conversations that branch, answers that upstreams tokenised in any way, and kills."""

from __future__ import annotations

import copy
import itertools
import json
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from gatewayed import traces
from hypothesis import given
from hypothesis import strategies as st

from trivium.errors import RunError, UserError
from trivium.gateway.asked import Additions, read, strip, with_added
from trivium.gateway.book import NAME, Book
from trivium.gateway.reply import Reply
from trivium.gateway.traces import traces_of, write_traces
from trivium.gateway.turns import canonical, chain, rendered, text_of
from trivium.store.files import read_lines

END = 256
MERGED = 300


def written(messages) -> list[int]:
    """What a chat template makes of messages: a token a byte, and an end after what the assistant said."""
    ids = []
    for message in messages:
        ids += f"<{message['role']}>".encode() + message["content"].encode()
        ids += [END] if message["role"] == "assistant" else []
    return [*ids, *b"<assistant>"]


def sampled(text: str, oddly: bool) -> list[int]:
    """Ids that a model may have said a text with: not always those that a tokenizer would choose."""
    ids = list(text.encode())
    return [MERGED + ids[0], *ids[1:], END] if oddly and ids else [*ids, END]


def ask(book: Book, messages, answers, *, owner="", name=None, ids=True, oddly=(), model="m") -> str:
    """One exchange, whole; returns its conversation."""
    asked = read("chat", json.dumps({"model": model, "messages": messages, "n": len(answers)}).encode())
    assert asked is not None
    talk = book.begin(asked, owner, name)
    choices = [
        {"index": i, "message": {"role": "assistant", "content": said}, "finish_reason": "stop",
         **({"token_ids": sampled(said, i in oddly)} if ids else {})} for i, said in enumerate(answers)
    ]  # fmt: skip
    reply = Reply()
    reply.add({"id": f"r{book.counts.exchanges}", "model": model, "choices": choices}
              | ({"prompt_token_ids": written(messages)} if ids else {}))  # fmt: skip
    book.record(talk, asked, reply)
    return talk.conversation


WORDS = st.sampled_from(["a", "b", "ab"])
STEPS = st.lists(
    st.fixed_dictionaries({
        "on": st.integers(0, 8), "back": st.integers(0, 2), "says": st.lists(WORDS, min_size=1, max_size=2),
        "role": st.sampled_from(["user", "tool"]), "answers": st.lists(WORDS, min_size=1, max_size=3),
        "takes": st.integers(0, 2), "oddly": st.frozensets(st.integers(0, 2)), "reopen": st.booleans(),
        "named": st.sampled_from([None, None, "x", "y"]),
    }), min_size=1, max_size=12,
)  # fmt: skip


def walk(folder: Path, steps, **options):
    """Go through random conversations; returns all (messages, answers, oddly) that were recorded."""
    book, talks, done = Book(folder), [], []
    for step in steps:
        if step["reopen"]:
            book.close()
            book = Book(folder)
        before, name = ([], step["named"]) if step["on"] >= len(talks) else talks[step["on"]]
        before = before[: max(0, len(before) - 2 * step["back"])]  # some go on from further back
        messages = [*before, *({"role": step["role"] if before else "user", "content": said} for said in step["says"])]
        oddly = step["oddly"] if options.get("ids", True) else frozenset()
        ask(book, messages, step["answers"], name=name, **options | {"oddly": oddly})
        done.append((copy.deepcopy(messages), step["answers"], oddly))
        took = step["answers"][step["takes"] % len(step["answers"])]
        talks.append(([*messages, {"role": "assistant", "content": took}], name))
    book.close()
    return done


@given(STEPS)
def test_every_answer_is_on_one_path_and_its_ids_are_what_was_read_and_sampled(steps):
    with tempfile.TemporaryDirectory() as place:
        done = walk(Path(place), steps)
        found = traces(Path(place))
    wanted = Counter(
        tuple(written(messages) + sampled(said, i in oddly)) for messages, answers, oddly in done
        for i, said in enumerate(answers)
    )  # fmt: skip
    kept = Counter(
        tuple(i for segment in trace.path(at) for i in segment.ids)
        for trace in found for at, node in enumerate(trace.nodes) if node.segment.source == "model"
    )  # fmt: skip
    assert kept == wanted
    said = Counter(tuple(sampled(a, i in oddly)) for _, answers, oddly in done for i, a in enumerate(answers))
    assert said == Counter(n.segment.ids for t in found for n in t.nodes if n.segment.source == "model")


@given(STEPS)
def test_without_ids_messages_alone_lead_on(steps):
    with tempfile.TemporaryDirectory() as place:
        done = walk(Path(place), steps, ids=False)
        found = traces(Path(place))
    paths = Counter(
        tuple(segment.text for segment in trace.path(at)) for trace in found for at, node in enumerate(trace.nodes)
        if node.segment.source == "model"
    )  # fmt: skip
    wanted: Counter = Counter()
    for messages, answers, _ in done:
        texts, run = [], []
        for message in messages:
            if message["role"] == "assistant":
                texts += [rendered(run), message["content"]]
                run = []
            else:
                run.append(message)
        wanted.update((*texts, rendered(run), said) for said in answers)
    assert paths == wanted


@given(STEPS)
def test_where_ids_go_on_everything_that_begins_alike_is_one_tree(steps):
    steps = [step | {"oddly": frozenset(), "named": None} for step in steps]
    with tempfile.TemporaryDirectory() as place:
        done = walk(Path(place), steps)
        found = traces(Path(place))
    begun = {json.dumps(list(itertools.takewhile(lambda m: m["role"] != "assistant", said))) for said, _, _ in done}
    assert len(found) == len(begun)


def test_a_template_that_drops_thoughts_begins_anew_and_says_so(tmp_path):
    book = Book(tmp_path)
    first = [{"role": "user", "content": "one"}]
    name = ask(book, first, ["yes"], oddly={0})
    later = [*first, {"role": "assistant", "content": "yes"}, {"role": "user", "content": "two"}]
    assert ask(book, later, ["no"]) == name, "by its messages it is the same conversation"
    assert book.counts.apart == 1
    book.close()
    one, two = traces(tmp_path)
    assert (one.question_id, two.question_id) == (name, f"{name}#2")
    assert "does not begin with the ids" in two.nodes[0].note
    assert two.nodes[0].segment.ids == tuple(written(later))


def test_what_goes_on_from_further_back_is_a_branch_whose_words_in_between_nobody_sampled(tmp_path):
    book = Book(tmp_path)
    first = [{"role": "user", "content": "one"}]
    ask(book, first, ["yes"])
    second = [*first, {"role": "assistant", "content": "yes"}, {"role": "user", "content": "two"}]
    ask(book, second, ["no"], oddly={0})
    third = [*second, {"role": "assistant", "content": "no"}, {"role": "user", "content": "three"}]
    ask(book, third, ["well"])
    book.close()
    [trace] = traces(tmp_path)
    assert [(n.parent, n.segment.source, n.segment.text) for n in trace.nodes] == [
        (-1, "prompt", "user: one\n"), (0, "model", "yes"), (1, "environment", "user: two\n"), (2, "model", "no"),
        (1, "prompt", "user: two\nassistant: no\nuser: three\n"), (4, "model", "well"),
    ]  # fmt: skip
    assert tuple(i for s in trace.path(5) for i in s.ids) == (*written(third), *sampled("well", False))


def test_names_owners_models_and_tools_keep_conversations_apart(tmp_path):
    book = Book(tmp_path)
    first = [{"role": "user", "content": "one"}]
    names = [ask(book, first, ["a"], **how) for how in
             ({}, {"owner": "ann"}, {"model": "other"}, {"name": "x"}, {"name": "x", "owner": "ann"})]  # fmt: skip
    assert len(set(names)) == 4
    assert ask(book, first, ["b"]) == names[0]
    assert ask(book, first, ["b"], name=names[0]) == names[0], "the name that a client was told"
    book.close()
    found = {trace.question_id: len(trace.nodes) for trace in traces(tmp_path)}
    assert found == {names[0]: 4, f"ann/{names[1]}": 2, names[2]: 2, "x": 2, "ann/x": 2}


def test_the_name_that_a_client_sends_back_is_the_conversation_whatever_the_messages(tmp_path):
    book = Book(tmp_path)
    one, two = ([{"role": "user", "content": word}] for word in ("one", "two"))
    names = [ask(book, one, ["a"]), ask(book, two, ["b"])]
    assert ask(book, one, ["c"], name=names[1]) == names[1]
    book.close()
    found = {trace.question_id: [n.segment.text for n in trace.nodes[1:]] for trace in traces(tmp_path)}
    assert found == {names[0]: ["a"], names[1]: ["b"], f"{names[1]}#2": ["c"]}


def test_what_has_ids_does_not_go_on_from_what_has_none(tmp_path):
    book = Book(tmp_path)
    first = [{"role": "user", "content": "one"}]
    later = [*first, {"role": "assistant", "content": "a"}, {"role": "user", "content": "two"}]
    ask(book, first, ["a"], ids=False)
    ask(book, later, ["b"])
    ask(book, [*later, {"role": "assistant", "content": "b"}, {"role": "user", "content": "three"}], ["c"], ids=False)
    book.close()
    kinds = [{bool(node.segment.ids) for node in trace.nodes} for trace in traces(tmp_path)]
    assert kinds == [{False}, {True}], "the last goes on from the first, as far on as it can be followed"


def test_two_requests_at_once_are_of_one_conversation(tmp_path):
    book = Book(tmp_path)
    asked = read("chat", b'{"model": "m", "messages": [{"role": "user", "content": "hi"}]}')
    talks = [book.begin(asked, "", None) for _ in range(2)]
    assert talks[0].conversation == talks[1].conversation
    book.close()


def test_a_long_conversation_takes_room_for_what_is_new(tmp_path):
    book = Book(tmp_path)
    messages, sizes = [{"role": "user", "content": "x" * 2000}], []
    for _ in range(20):
        ask(book, messages, ["y" * 50])
        messages += [{"role": "assistant", "content": "y" * 50}, {"role": "user", "content": "z" * 50}]
        sizes.append(book.path.stat().st_size)
    book.close()
    steps = [after - before for before, after in itertools.pairwise(sizes)]
    assert max(steps) < 2000
    [trace] = traces(tmp_path)
    assert len(trace.nodes) == 40


def test_scores_are_of_the_answer_that_was_meant(tmp_path):
    book = Book(tmp_path)
    first = [{"role": "user", "content": "one"}]
    name = ask(book, first, ["a", "b"])
    assert book.score("", 0.5, conversation=name, choice=1)
    assert book.score("", 1.0, reply="r0")
    assert not book.score("", 1.0, reply="r0", choice=2)
    assert not book.score("ann", 1.0, conversation=name), "nobody scores what is another's"
    book.close()
    book = Book(tmp_path)
    assert book.counts.scores == 2
    ask(book, [*first, {"role": "assistant", "content": "b"}, {"role": "user", "content": "two"}], ["c"])
    assert book.score("", 0.0, conversation=name), "after a restart too"
    book.close()
    [trace] = traces(tmp_path)
    assert [(n.segment.text, n.score) for n in trace.nodes if n.segment.source == "model"] == [
        ("a", 1.0), ("b", 0.5), ("c", 0.0)
    ]  # fmt: skip
    assert (trace.response, trace.verdict.score, trace.verdict.status) == ("c", 0.0, "wrong")


@pytest.mark.parametrize("cut", [1, 30, 10**6])
def test_a_line_that_a_kill_has_cut_is_cut_off(tmp_path, cut):
    book = Book(tmp_path)
    for word in ("a", "b"):
        ask(book, [{"role": "user", "content": word}], ["c"])
    book.close()
    path = tmp_path / NAME
    whole = path.read_bytes()
    second = whole.index(b"\n") + 1
    path.write_bytes(whole[: max(second + 1, len(whole) - cut)])
    assert len(traces(tmp_path)) == 1, "it can be read as it is"
    book = Book(tmp_path)
    assert path.read_bytes() == whole[:second]
    ask(book, [{"role": "user", "content": "d"}], ["e"])
    book.close()
    assert [trace.response for trace in traces(tmp_path)] == ["c", "e"]


def test_writes_that_fail_in_the_middle_leave_no_half_line(tmp_path):
    book = Book(tmp_path)
    ask(book, [{"role": "user", "content": "a"}], ["b"])
    real = book._file

    class Full:
        def __getattr__(self, name):
            return getattr(real, name)

        def write(self, data):
            return real.write(data[: len(data) // 2])

    book._file = Full()
    whole = (tmp_path / NAME).read_bytes()
    for _ in range(2):
        with pytest.raises(RunError, match="disk is full"):
            ask(book, [{"role": "user", "content": "c"}], ["d"])
        assert (tmp_path / NAME).read_bytes() == whole
    book._file = real
    ask(book, [{"role": "user", "content": "e"}], ["f"])
    book.close()
    assert [trace.response for trace in traces(tmp_path)] == ["b", "f"]


def test_one_book_has_one_writer(tmp_path):
    book = Book(tmp_path)
    with pytest.raises(RunError, match="choose another --out"):
        Book(tmp_path)
    ask(book, [{"role": "user", "content": "a"}], ["b"])
    assert len(traces(tmp_path)) == 1, "its traces can be made while it is written"
    book.close()
    Book(tmp_path).close()
    with pytest.raises(UserError, match=r"expected the --out of a trivium gateway"):
        write_traces(tmp_path / "nowhere")


NAMES = (
    "choices index delta message content logprobs token_ids tool_calls usage function arguments name text error role "
    "prompt_token_ids finish_reason token_logprobs logprob completion_tokens function_call id "
    "prompt_tokens total_tokens"
)
SAID = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES.split()), inner, max_size=5),
    max_leaves=25,
)


@given(st.lists(SAID, max_size=4), SAID, st.sampled_from(["chat", "text"]))
def test_nothing_that_is_sent_can_break_it(answers, asks, route):
    """Whatever JSON comes from either side is recorded or left alone, and read back."""
    body = {"model": "m", "messages": [asks, asks], "prompt": asks, "tools": asks, "stream_options": asks, "n": asks}
    asked = read(route, json.dumps(body).encode())
    if asked is None:
        return
    json.loads(with_added(asked, Additions().wanted(asked)))
    reply = Reply()
    for answer in answers:
        if isinstance(answer, dict):
            reply.add(copy.deepcopy(answer))
            strip(answer, frozenset({"return_token_ids", "logprobs", "stream_options"}))
    assert min(reply.total_tokens, reply.sampled_tokens, reply.read_tokens(asked), asked.most_sampled) >= 0
    with tempfile.TemporaryDirectory() as place:
        book = Book(Path(place))
        for _ in range(2):
            book.record(book.begin(asked, "", None), asked, reply)
        book.close()
        Book(Path(place)).close()
        traces_of(read_lines(Path(place) / NAME))
        assert all(len(trace.nodes) >= 2 for trace in traces(Path(place)))


def test_messages_are_the_same_if_they_say_the_same():
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1, "b": [2]}'}}
    same = [
        {"role": "assistant", "content": None, "tool_calls": [call], "refusal": None, "audio": None},
        {"role": "assistant", "tool_calls": [call | {"function": {"name": "f", "arguments": '{"b":[2],"a":1}'}}]},
        {"role": "assistant", "content": [], "tool_calls": [call], "reasoning_content": "hm"},
    ]
    assert len({canonical(message) for message in same}) == 1
    other = [
        {"role": "assistant", "content": "x"}, {"role": "user", "content": "x"}, {"role": "assistant", "content": "x "},
        {"role": "tool", "content": "x", "tool_call_id": "a"}, {"role": "tool", "content": "x", "tool_call_id": "b"},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:a"}}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:b"}}]}, same[0],
    ]  # fmt: skip
    assert len({canonical(message) for message in other}) == len(other)
    parts = {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}
    assert canonical(parts) == canonical({"role": "user", "content": "ab"})
    image = {"role": "user", "content": [{"type": "text", "text": "see "}, {"type": "image_url", "image_url": {}}]}
    assert text_of(image) == "see [image_url]"
    assert len({*chain(b"", [parts, parts]), *chain(b"x", [parts, parts])}) == 4
