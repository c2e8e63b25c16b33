"""From a recorded agent to a model that has learnt from it, by the lines of docs/gateway.md as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from gatewayed import Fake, gateway, through, traces, whole, with_openai
from served import serving
from tiny_models import EOS, local

from trivium.data.reject import Reject
from trivium.data.trees import Tree
from trivium.policies import policy
from trivium.policies.streaming import streaming
from trivium.serve.app import build as build_server
from trivium.types import Message

DOCUMENT = Path(__file__).parents[2] / "docs" / "gateway.md"
QUESTIONS = ("hi", "what?")


def documented() -> str:
    [lines] = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    return lines


def test_an_agent_that_was_recorded_teaches(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    local().save(Path("runs/demo/model"))

    async def act(client):
        for question in QUESTIONS:
            said = await client.chat.completions.create(
                model="demo", messages=[{"role": "user", "content": question}], n=3, max_tokens=12, seed=5
            )
            for choice, score in enumerate((1, 0.5, 0)):
                body = {"id": said.id, "choice": choice, "score": score}
                assert (await client._client.post("/v1/trivium/score", json=body)).status_code == 200

    served = streaming(policy("runs/demo/model"))
    with_openai(gateway(tmp_path / "runs" / "agent", build_server(serving(served))), act)
    found = traces(tmp_path / "runs" / "agent")
    assert len(found) == len(QUESTIONS)

    names: dict = {}
    exec(compile(documented(), str(DOCUMENT), "exec"), names)
    losses = [float(line.split()[0]) for line in capsys.readouterr().out.splitlines()]
    assert len(losses) == 3
    assert losses[2] < losses[0], "it says more often what was scored well"
    trained = {(example.prompt, example.ids) for example in names["examples"]}
    sampled = {
        (trace.nodes[0].segment.ids, node.segment.ids)
        for trace in found for node in trace.nodes if (node.score or 0) >= 0.5
    }  # fmt: skip
    assert trained == sampled, "ids sampled are the ids trained on"
    asked = {local().encode((Message("user", question),)) for question in QUESTIONS}
    assert {prompt for prompt, _ in trained} == asked
    assert Path("runs/agent/model/model.safetensors").is_file()


def test_of_a_conversation_only_what_the_model_said_is_learnt(tmp_path):
    prompts = [[10, 11], [10, 11, 20, EOS, 12, 13], [10, 11, 20, EOS, 12, 13, 21, EOS, 14]]

    def answer(asked):
        turn = sum(m["role"] == "assistant" for m in asked["messages"])
        choice = {"index": 0, "message": {"role": "assistant", "content": str(turn)}, "finish_reason": "stop",
                  "token_ids": [20 + turn, EOS]}  # fmt: skip
        return whole(id=f"r{turn}", prompt_token_ids=prompts[turn], choices=[choice])

    async def act(http):
        messages = [{"role": "user", "content": "go"}]
        for turn in range(3):
            await http.post("/v1/chat/completions", json={"model": "m", "messages": messages})
            messages += [{"role": "assistant", "content": str(turn)}, {"role": "tool", "content": "ok"}]
        await http.post("/v1/trivium/score", json={"id": "r2", "score": 1})

    through(gateway(tmp_path, Fake(answer)), act)
    [trace] = traces(tmp_path)
    [example] = Reject()([Tree(trace, {trace.answer_node: trace.verdict.correct})], seed=0)
    assert example.prompt == (10, 11)
    assert example.ids == (20, EOS, 12, 13, 21, EOS, 14, 22, EOS)
    assert example.mask == tuple(i in (20, 21, 22, EOS) for i in example.ids)


@pytest.mark.parametrize("line", ["trivium gateway --upstream http://127.0.0.1:8000/v1 --out runs/agent",
                                  "trivium gateway --traces runs/agent"])  # fmt: skip
def test_the_commands_of_the_document_exist(line):
    from typer.testing import CliRunner

    from trivium.cli.main import _app

    assert line in DOCUMENT.read_text(encoding="utf-8")
    known = CliRunner().invoke(_app("gateway"), ["gateway", "--help"]).output
    assert all(word in known for word in line.split() if word.startswith("--"))
