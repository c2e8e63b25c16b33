"""Keys: hashed on disk, demanded once there are any, limited in requests and tokens, out as soon as revoked."""

from __future__ import annotations

import asyncio
import json
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from served import ASKED, SOLVED, Drip, serving, with_http

from trivium.errors import DataError, UnknownName, UserError
from trivium.policies.scripted import Scripted, endless, sums
from trivium.serve.errors import ApiError
from trivium.serve.keys import Key, KeyFile
from trivium.serve.limits import Account, Spending
from trivium.serve.models import Models
from trivium.types import Usage

CHAT = {"model": "demo", "messages": ASKED}
TAKEN = len("user: What is 41 + 87 - 35?\nassistant: ") + len(SOLVED) + 1


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


def test_a_key_is_nowhere_on_disk(tmp_path: Path):
    file = KeyFile(tmp_path / "deep" / "keys.json")
    secret = file.create("ann", requests_per_minute=5)
    assert secret not in file.path.read_text()
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert file.find(secret) == KeyFile(file.path).find(secret) == file.keys()[0]
    assert file.find(secret[:-1]) is None
    assert file.find("") is None
    with pytest.raises(UserError, match="already a key 'ann'"):
        file.create("ann")
    with pytest.raises(UserError, match="expected 1 to 64 letters"):
        file.create("a b")


def test_a_revoked_key_is_out_at_once_and_its_name_is_free(tmp_path: Path):
    server_side, file = KeyFile(tmp_path / "keys.json"), KeyFile(tmp_path / "keys.json")
    secret = file.create("ann")
    assert server_side.find(secret) is not None
    file.revoke("ann")
    assert server_side.find(secret) is None
    with pytest.raises(UnknownName):
        file.revoke("ann")
    again = file.create("ann")
    assert server_side.find(again) is not None
    assert len(file.keys()) == 2


def test_a_broken_file_is_one_message(tmp_path: Path):
    path = tmp_path / "keys.json"
    path.write_text('{"keys": [{"name": "ann"}]}')
    with pytest.raises(DataError, match="field keys"):
        KeyFile(path).keys()


def test_without_a_valid_key_there_is_never_a_result(tmp_path: Path):
    file = KeyFile(tmp_path / "keys.json")
    secret = file.create("ann")
    revoked = file.create("bob")
    file.revoke("bob")
    wrong = ({}, bearer(""), bearer("tv-wrong"), bearer(revoked), bearer(secret + "x"),
             {"authorization": secret}, {"authorization": f"Basic {secret}"}, {"x-api-key": secret})  # fmt: skip
    policy = Drip(sums())

    async def act(http):
        said = []
        for headers in wrong:
            bodies = (CHAT, CHAT | {"stream": True}, {"nonsense": 1})
            said += [await http.post("/v1/chat/completions", json=body, headers=headers) for body in bodies]
            paths = ("/v1/models", "/v1/models/demo", "/metrics", "/nowhere")
            said += [await http.get(path, headers=headers) for path in paths]
        good = await http.post("/v1/chat/completions", json=CHAT, headers=bearer(secret))
        elsewhere = await http.get("/v1/models", headers=bearer(secret) | {"host": "api.example"})
        return said, good, elsewhere, await http.get("/healthz")

    said, good, elsewhere, health = with_http(serving(policy, keys=file), act)
    assert {reply.status_code for reply in said} == {401}
    assert all(reply.json()["error"]["code"] == "invalid_api_key" for reply in said)
    assert all(reply.headers["www-authenticate"] == "Bearer" for reply in said)
    assert [good.status_code, elsewhere.status_code, health.status_code] == [200, 200, 200]


def test_requests_of_a_minute_are_limited_for_each_key(tmp_path: Path):
    file = KeyFile(tmp_path / "keys.json")
    ann, bob = file.create("ann", requests_per_minute=2), file.create("bob", requests_per_minute=2)

    async def act(http):
        return [await http.post("/v1/chat/completions", json=CHAT, headers=bearer(key)) for key in (ann,) * 3 + (bob,)]

    said = with_http(serving(keys=file), act)
    assert [reply.status_code for reply in said] == [200, 200, 429, 200]
    assert 0 < int(said[2].headers["retry-after"]) <= 60
    assert said[2].json()["error"]["code"] == "rate_limit_exceeded"


def test_a_minute_goes_by():
    now = [0.0]
    key = Key("ann", "h", "", requests_per_minute=1)
    account = Account(Spending(), clock=lambda: now[0])
    account.ask(key)
    now[0] = 59.9
    with pytest.raises(ApiError, match="1 times a minute"):
        account.ask(key)
    now[0] = 60.0
    account.ask(key)


def test_tokens_of_a_day_are_a_hard_limit_also_for_requests_at_once(tmp_path: Path):
    file = KeyFile(tmp_path / "keys.json")
    secret = file.create("ann", tokens_per_day=3 * TAKEN)
    server = serving(keys=file)

    async def act(http):
        body = CHAT | {"max_tokens": len(SOLVED) + 1}
        together = await asyncio.gather(
            *(http.post("/v1/chat/completions", json=body, headers=bearer(secret)) for _ in range(5))
        )
        more = await http.post("/v1/chat/completions", json=body, headers=bearer(secret))
        return [reply.status_code for reply in together], more

    together, more = with_http(server, act)
    assert sorted(together) == [200, 200, 200, 429, 429]
    assert more.status_code == 429
    assert more.json()["error"]["code"] == "insufficient_quota"
    [key] = file.keys()
    assert server.spending.spent(key) == 3 * TAKEN


class Upstream(Scripted):
    """A policy that cannot count a prompt and reads it once a sample, as endpoints that give one choice a request."""

    encode = None

    async def sample(self, request):
        single = [replace(request, n=1, seed=request.seed + i) for i in range(request.n)]
        drawn = [completion for one in single for completion in await Scripted.sample(self, one)]
        return [replace(c, usage=Usage(PROMPT, 0, c.usage.sampled_tokens, 1)) for c in drawn]


PROMPT = len(ASKED[0]["content"])
BOUND = PROMPT + 8


@pytest.mark.parametrize(("short", "status"), [(0, 200), (1, 429)])
def test_a_prompt_that_is_read_once_a_sample_is_set_aside_once_a_sample(tmp_path: Path, short: int, status: int):
    file = KeyFile(tmp_path / "keys.json")
    secret = file.create("ann", tokens_per_day=4 * (BOUND + 10) - short)
    server = serving(Upstream(endless), keys=file)

    async def act(http):
        body = CHAT | {"n": 4, "max_tokens": 10}
        return await http.post("/v1/chat/completions", json=body, headers=bearer(secret))

    assert with_http(server, act).status_code == status
    [key] = file.keys()
    assert server.spending.spent(key) == (4 * (PROMPT + 10) if status == 200 else 0)


def test_a_budget_of_plain_sampling_has_room_for_a_prompt_a_sample():
    async def act(http):
        body = CHAT | {"n": 4, "budget": {"total_tokens": 4 * (BOUND + 10)}}
        return (await http.post("/v1/chat/completions", json=body)).json()["usage"]

    assert with_http(serving(Upstream(endless)), act)["total_tokens"] == 4 * (PROMPT + 10)


def test_a_method_gets_what_is_left_as_its_budget(tmp_path: Path):
    file = KeyFile(tmp_path / "keys.json")
    secret = file.create("ann", tokens_per_day=400)
    server = serving(keys=file)

    async def act(http):
        body = CHAT | {"model": "demo+vote:n=100", "max_tokens": 50}
        return [await http.post("/v1/chat/completions", json=body, headers=bearer(secret)) for _ in range(2)]

    first, second = with_http(server, act)
    assert first.status_code == 200
    assert 200 < first.json()["usage"]["total_tokens"] <= 400
    assert second.status_code in (200, 429)
    [key] = file.keys()
    assert server.spending.spent(key) <= 400


def test_a_method_whose_prompts_cannot_be_counted_is_refused_where_tokens_are_limited(tmp_path: Path):
    file = KeyFile(tmp_path / "keys.json")
    limited, free = file.create("ann", tokens_per_day=10**6), file.create("bob")
    server = serving(Upstream(sums()), keys=file)

    async def act(http):
        vote = CHAT | {"model": "demo+vote:n=4"}
        asks = [(vote, limited), (vote | {"stream": True}, limited), (vote | {"budget": {"total_tokens": 10**6}}, free),
                (CHAT, limited), (vote, free)]  # fmt: skip
        return [await http.post("/v1/chat/completions", json=body, headers=bearer(key)) for body, key in asks]

    *refused, plain, unlimited = with_http(server, act)
    assert [(reply.status_code, reply.json()["error"]["param"]) for reply in refused] == [
        (400, "model"), (400, "model"), (400, "budget.total_tokens"),
    ]  # fmt: skip
    first, _, third = (reply.json()["error"]["message"] for reply in refused)
    assert "this key has a limit of tokens a day" in first
    assert "ask for demo by itself" in first
    assert "limit budget.sampled_tokens" in third
    assert [plain.status_code, unlimited.status_code] == [200, 200]


def routed(server, second: Scripted, secret: str):
    """What a key is answered that asks for a cascade with a second voice."""
    server.models = Models(server.models.policies, (), {"second": second})

    async def act(http):
        body = CHAT | {"model": "demo+route"}
        return await http.post("/v1/chat/completions", json=body, headers=bearer(secret))

    return with_http(server, act)


def test_a_voice_whose_prompts_cannot_be_counted_is_no_fault_of_the_messages(tmp_path: Path):
    file = KeyFile(tmp_path / "keys.json")
    secret = file.create("ann", tokens_per_day=10**6)
    said = routed(serving(keys=file), Upstream(sums(), name="second"), secret)
    assert (said.status_code, said.json()["error"]["param"]) == (400, "model")
    assert "second cannot count a prompt" in said.json()["error"]["message"]
    assert "what its key may take in a day" in said.json()["error"]["message"]


@pytest.mark.parametrize(("kind", "prompts"), [(Scripted, TAKEN - len(SOLVED) - 1), (Upstream, 3 * BOUND)])
def test_a_client_that_leaves_pays(tmp_path: Path, kind: type[Scripted], prompts: int):
    file = KeyFile(tmp_path / "keys.json")
    secret = file.create("ann", tokens_per_day=10**6)

    class Held(kind):
        async def sample(self, request):
            await asyncio.sleep(60)
            raise AssertionError

    server = serving(Held(endless), keys=file)

    async def act(http):
        body = CHAT | {"max_tokens": 100, "n": 3}
        asking = asyncio.create_task(http.post("/v1/chat/completions", json=body, headers=bearer(secret)))
        await asyncio.sleep(0.01)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)

    with_http(server, act)
    [key] = file.keys()
    allowed = prompts + 3 * 100
    assert server.spending.spent(key) == allowed, "prompt and all that it was allowed"
    assert server.account(key).left(key) == 10**6 - allowed


def test_voices_are_paid_for_too(tmp_path: Path):
    file = KeyFile(tmp_path / "keys.json")
    secret = file.create("ann")
    server = serving(keys=file)
    said = routed(server, Drip(sums(), name="second"), secret)
    [key] = file.keys()
    assert said.json()["usage"]["spent"]["calls"] > 1
    assert server.spending.spent(key) == said.json()["usage"]["total_tokens"]


def test_spending_survives_a_restart_and_ends_with_the_day(tmp_path: Path):
    day = ["2026-01-01"]
    key, path = Key("ann", "h", ""), tmp_path / "spent.json"
    spending = Spending(path, today=lambda: day[0])
    spending.spend(key, 5)
    spending.spend(key, 6)
    assert not path.exists()
    spending.save()
    assert json.loads(path.read_text()) == {"day": "2026-01-01", "tokens": {"h": 11}}
    assert Spending(path, today=lambda: day[0]).spent(key) == 11
    day[0] = "2026-01-02"
    assert spending.spent(key) == 0
    assert Spending(path, today=lambda: day[0]).spent(key) == 0
    path.write_text("[]")
    with pytest.raises(DataError, match="delete the file"):
        Spending(path)


def test_servers_that_share_a_file_add_up(tmp_path: Path):
    ann, bob, path = Key("ann", "h", "", tokens_per_day=100), Key("bob", "i", ""), tmp_path / "spent.json"
    here, there = Spending(path), Spending(path)
    here.spend(ann, 30)
    there.spend(ann, 40)
    there.spend(bob, 5)
    for spending in (here, there, here):
        spending.save()
    assert json.loads(path.read_text())["tokens"] == {"h": 70, "i": 5}
    assert [s.spent(key) for s in (here, there) for key in (ann, bob)] == [70, 5, 70, 5]
    assert Account(here).left(ann) == 30


def test_processes_that_save_at_once_lose_nothing(tmp_path: Path):
    path = tmp_path / "spent.json"
    code = (
        "import sys; from pathlib import Path; from trivium.serve.keys import Key; "
        "from trivium.serve.limits import Spending; s = Spending(Path(sys.argv[1]))\n"
        "for _ in range(40): s.spend(Key('ann', 'h', ''), 1); s.save()"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, str(path)]) for _ in range(3)]
    assert [process.wait(timeout=60) for process in running] == [0, 0, 0]
    assert json.loads(path.read_text())["tokens"] == {"h": 120}


def test_what_could_not_be_saved_is_saved_later(tmp_path: Path):
    key, path = Key("ann", "h", ""), tmp_path / "spent.json"
    spending = Spending(path)
    spending.spend(key, 5)
    path.mkdir()
    with pytest.raises(OSError):
        spending.save()
    path.rmdir()
    spending.spend(key, 6)
    spending.save()
    assert json.loads(path.read_text())["tokens"] == {"h": 11}


def test_what_is_set_aside_comes_back():
    key = Key("ann", "h", "", tokens_per_day=100)
    account = Account(Spending())
    account.set_aside(key, 80)
    assert account.left(key) == 20
    account.settle(key, 80, 30)
    assert account.left(key) == 70
