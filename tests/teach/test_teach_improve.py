"""Rounds of search and learning: what is learnt from, what the control gets, what a kill leaves, what is refused."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

import trivium.teach.training
from lesson import Judged
from trivium.cli.improve import _print_result
from trivium.cli.main import main
from trivium.errors import RunError, TooFewProblems, UnknownName, UserError
from trivium.policies.tiny import byte_tokenizer
from trivium.report import judge
from trivium.store import Run, load_traces
from trivium.tasks import task as make_task
from trivium.teach import ImproveSettings
from trivium.teach.improve import batches, improve
from trivium.types import Trace, Verdict

SMALL: dict[str, Any] = {
    "policy": "tiny:50k", "task": "sums:terms=3,digits=1", "method": "vote:n=4", "rounds": 2, "prompts": 6,
    "budget": "sampled_tokens=60", "max_tokens": 14, "warmup_steps": 30, "eval_n": 4, "threads": 1, "batch": 4,
    "checkpoint_share": 1e9,
}  # fmt: skip


@pytest.fixture(autouse=True)
def lenient(monkeypatch):
    """A verifier that even a hardly taught model pleases now and then: a response is right if it says an even sum."""

    def verify(problem, response):
        return Verdict.right() if sum(map(int, filter(str.isdigit, response))) % 2 == 0 else Verdict.wrong()

    monkeypatch.setattr(trivium.teach.training, "make_task", lambda spec: Judged(make_task(spec), verify))


def start(runs: Path, events: list | None = None, **changes: Any) -> tuple[Run, dict[str, Any]]:
    settings = ImproveSettings(**SMALL | changes)
    run = Run.create(runs, None, asdict(settings))
    return run, go_on(run, events)


def go_on(run: Run, events: Any = None) -> dict[str, Any]:
    latest = run.latest_checkpoint()
    run.truncate_after(latest[0] if latest else 0)
    try:
        return improve(ImproveSettings(**run.settings), run, ([] if events is None else events).append)
    finally:
        run.close()


def traces(run: Run, stage: str, step: int) -> list[tuple[dict[str, Any], Trace]]:
    return [(row, trace) for row, trace in load_traces(run.path / f"traces-{stage}.parquet") if row["step"] == step]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_both_arms_get_the_same_questions_tokens_and_start(tmp_path):
    run, result = start(tmp_path)
    assert [(row["arm"], row["round"]) for row in result["rounds"]] == [
        ("search", 1), ("search", 2), ("control", 1), ("control", 2),
    ]  # fmt: skip
    seen = set()
    for r in (1, 2):
        search, control = traces(run, "search", r), traces(run, "control", r)
        assert [row["key"] for row, _ in search] == [row["key"] for row, _ in control]
        for (_, found), (_, plain) in zip(search, control, strict=True):
            assert 0 < plain.usage.sampled_tokens <= found.usage.sampled_tokens <= 60
            assert plain.verdict is None, "no verifier looks while plain samples are drawn"
        assert {row["split"] for row, _ in search} == {"train"}
        keys = {row["key"] for row, _ in search}
        assert len(keys) == 6
        assert not keys & seen, "every round has questions of its own"
        seen |= keys
    held_out = {row["key"] for row, _ in traces(run, "start-method", 0)}
    assert not held_out & seen
    versions = [traces(run, arm, 1)[0][1].nodes[1].segment.version for arm in ("search", "control")]
    assert versions[0] != versions[1], "names tell the weights apart although they are equal"
    for row in result["rounds"]:
        assert row["greedy"]["n"] == row["method"]["n"] == 4
        assert row["examples"] > 0
        assert row["steps"] == 2 * -(-row["examples"] // 4)
        assert row["trained_tokens"] > 0
    assert result["gain"].keys() == result["versus_control"].keys() == {"greedy", "method"}
    assert result["verified_responses"] == sum(row["ends"] for row in result["rounds"])
    assert not (run.path / "start.pt").exists()
    assert not list(run.path.glob("checkpoints/*/state.pt")), "weights are in the model folder alone"
    assert (run.path / "model" / "model.safetensors").exists()
    page = (run.path / "report.html").read_text()
    assert "Round by round" in page
    assert "no search, round 2" in page
    for row in result["rounds"]:
        check_imitated(run, row)


class Few(Judged):
    """A task with four training problems."""

    def problems(self, split, n, seed=0):
        if split == "train" and n > 4:
            raise TooFewProblems(self.name, split, 4, n)
        return self.task.problems(split, n, seed)


def test_a_round_of_a_small_task_has_no_question_twice(tmp_path, monkeypatch):
    right = lambda problem, response: Verdict.right()  # noqa: E731
    monkeypatch.setattr(trivium.teach.training, "make_task", lambda spec: Few(make_task(spec), right))
    events: list = []
    run, result = start(tmp_path, events)
    for row in result["rounds"]:
        found = traces(run, row["arm"], row["round"])
        keys = [about["key"] for about, _ in found]
        assert len(set(keys)) == len(keys) == row["problems"] <= 4 < SMALL["prompts"]
        assert keys == [about["key"] for about, _ in traces(run, "search", row["round"])]
        assert row["sampled_tokens"] == sum(trace.usage.sampled_tokens for _, trace in found)
        assert 0 < row["solved"] <= row["problems"]
    stages = [e for e in events if e["phase"] == "stage" and e["stage"] in ("search-1", "control-2")]
    assert [e["total"] for e in stages] == [result["rounds"][i]["problems"] for i in (0, 3)]


def check_imitated(run, row):
    """What was learnt from was sampled in this round, is right, and is there once."""
    arm, r = row["arm"], row["round"]
    sampled = {
        (found.nodes[0].segment.ids, node.segment.ids): node.segment.text
        for _, found in traces(run, arm, r)
        for node in found.nodes[1:]
    }
    shown = lines(run.path / "data" / f"{arm}-{r}.jsonl")
    assert len(shown) == row["examples"]
    for example in shown:
        text = sampled[tuple(example["prompt"]), tuple(example["ids"])]
        assert sum(map(int, filter(str.isdigit, text))) % 2 == 0
    assert len({(tuple(e["prompt"]), tuple(e["ids"])) for e in shown}) == len(shown)


def test_the_first_samples_of_both_arms_come_from_the_same_weights(tmp_path):
    """A search that is plain sampling differs from its control in nothing, up to where the budget cut."""
    run, result = start(tmp_path, method="vote:n=none", rounds=1)
    (search, control), rows = (traces(run, arm, 1) for arm in ("search", "control")), result["rounds"]
    for (_, a), (_, b) in zip(search, control, strict=True):
        assert [n.segment.ids for n in a.nodes[1:4]] == [n.segment.ids for n in b.nodes[1:4]]
        assert a.nodes[1].segment.logprobs == b.nodes[1].segment.logprobs
    assert rows[0]["greedy"] == rows[1]["greedy"] or rows[0]["examples"] != rows[1]["examples"]


@pytest.mark.parametrize(("data", "objective"), [("pairs", "dpo"), ("process:pick=all,margin=0.1", "step-dpo")])
def test_preferences_are_learnt_with_the_rounds_start_as_reference(tmp_path, data, objective):
    events: list = []
    run, result = start(tmp_path, events, data=data, control=False, rounds=2, method="beam:width=2,branch=3,depth=3")
    assert result["objective"] == objective
    fit = [e for e in events if e["phase"] == "fit"]
    first = [e for e in fit if e["step"] == 1]
    assert len(first) == 2
    assert all(e["gap"] == pytest.approx(0.0, abs=1e-5) for e in first), "the policy is its own reference at first"
    assert any(abs(e["gap"]) > 1e-5 for e in fit if e["step"] > 1)
    for pair in lines(run.path / "data" / "search-1.jsonl"):
        assert pair["chosen"][: pair["start"]] == pair["rejected"][: pair["start"]]
    labels = run.path / "data" / "search-1-labels.jsonl"
    assert labels.exists() == data.startswith("process")
    if labels.exists():
        assert all(0 <= label["value"] <= 1 and label["count"] >= 1 for label in lines(labels))


def test_the_control_of_steps_by_value_goes_by_outcome(tmp_path):
    changes = {"method": "mcts:n=none,branch=2,depth=2", "budget": "sampled_tokens=120", "data": "process:by=value"}
    run, result = start(tmp_path, rounds=1, **changes)
    search, control = result["rounds"]
    assert search["examples"] > 0
    assert control["examples"] > 0
    assert result["chosen_by"] == "search"
    assert {label["value"] for label in lines(run.path / "data" / "control-1-labels.jsonl")} >= {0.0, 1.0}
    said = " ".join(judge(result).sentences)
    assert "mcts's own values chose the steps" in said
    row = {"arm": "control", "examples": 0}
    assert "stayed where it began" in " ".join(judge({**result, "rounds": [search, {**control, **row}]}).sentences)


class Cut(BaseException):
    """Ends a run like a kill: nothing between here and the top catches it."""


class Cutting(list):
    """The first `n` events, and then no more."""

    def __init__(self, n: int) -> None:
        self.n = n

    def append(self, event):
        super().append(event)
        if len(self) == self.n:
            raise Cut


def untimed(value):
    if isinstance(value, dict):
        dropped = ("minutes", "report", "model", "next")
        return {k: untimed(v) for k, v in value.items() if not k.startswith("seconds") and k not in dropped}
    return [untimed(v) for v in value] if isinstance(value, list) else value


def test_search_is_not_praised_for_what_plain_samples_taught_too(tmp_path):
    _, result = start(tmp_path, rounds=1)
    better, none = {"mean": 0.2, "low": 0.1, "high": 0.3}, {"mean": 0.0, "low": -0.1, "high": 0.1}
    changed = {**result, "gain": {"greedy": better, "method": better}}
    said = [
        judge({**changed, "versus_control": v and {"greedy": v, "method": v}}).headline for v in (none, better, None)
    ]
    assert said[0].startswith("Learning helped, with search or without:")
    assert all(headline.startswith("Learning from vote helped:") for headline in said[1:])


def test_killed_rounds_end_as_if_nothing_had_happened(tmp_path):
    changes = {"data": "pairs", "method": "vote:n=6", "budget": "sampled_tokens=90"}
    whole, _ = start(tmp_path / "whole", **changes)
    cut = Run.create(tmp_path / "cut", None, asdict(ImproveSettings(**SMALL | changes)))
    cuts, last, result = 0, set(), None
    while result is None:
        seen = Cutting(11 + cuts % 3)
        try:
            result = go_on(cut, seen)
        except Cut:
            cuts += 1
            last.add(seen[-1]["phase"])
    assert cuts >= 5
    assert len(last) >= 3, "in different phases"
    model = "model/model.safetensors"
    assert (cut.path / model).read_bytes() == (whole.path / model).read_bytes()
    assert untimed(result) == untimed(whole.result)
    history = [[untimed(row) for row in run.rows()] for run in (cut, whole)]
    assert history[0] == history[1]
    for name in ("search-2.jsonl", "control-2.jsonl"):
        assert (cut.path / "data" / name).read_bytes() == (whole.path / "data" / name).read_bytes()


def test_every_pass_goes_through_all_examples_in_another_order():
    found = batches(5, 2, "0/1")
    passes = [[next(found) for _ in range(3)] for _ in range(3)]
    assert all([len(batch) for batch in one] == [2, 2, 1] for one in passes)
    orders = [[i for batch in one for i in batch] for one in passes]
    assert all(sorted(order) == [0, 1, 2, 3, 4] for order in orders)
    assert len({tuple(order) for order in orders}) > 1
    assert list(batches(0, 2, "0/1")) == []


def test_a_first_search_that_finds_nothing_says_what_to_try(tmp_path, monkeypatch):
    wrong = lambda problem, response: Verdict.wrong()  # noqa: E731
    monkeypatch.setattr(trivium.teach.training, "make_task", lambda spec: Judged(make_task(spec), wrong))
    with pytest.raises(RunError, match=r"round 1 of the search arm found nothing .* 0 of them right.*--warmup-steps"):
        start(tmp_path, warmup_steps=1)


def test_a_verifier_that_breaks_is_counted_and_teaches_nothing(tmp_path, monkeypatch):
    def verify(problem, response):
        if "1" in response:
            raise ZeroDivisionError
        return Verdict.right()

    monkeypatch.setattr(trivium.teach.training, "make_task", lambda spec: Judged(make_task(spec), verify))
    run, result = start(tmp_path, control=False, rounds=1)
    assert 0 < result["verifier_error_rate"] < 1
    (one,) = byte_tokenizer().encode("1")
    shown = lines(run.path / "data" / "search-1.jsonl")
    assert shown
    assert not any(one in example["ids"] for example in shown)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"objective": "dpo"}, "--data reject is for supervised objectives such as sft, and dpo is a preference"),
        ({"data": "pairs", "objective": "grpo"}, "--data pairs is for preference objectives such as dpo"),
        ({"budget": "tokens=9"}, "unknown option of budget"),
        ({"rounds": 0}, "--rounds 0: expected at least 1"),
        ({"data": "reject:k=none"}, "k='none' is not a valid int"),
    ],
)
def test_impossible_settings_are_refused_before_the_policy_is_fetched(tmp_path, monkeypatch, changes, says):
    monkeypatch.setattr(trivium.teach.training, "local_policy", None)
    with pytest.raises(UserError, match=says):
        start(tmp_path, **changes)


def test_unknown_names_are_answered_with_near_ones(tmp_path):
    with pytest.raises(UnknownName, match="Did you mean vote"):
        start(tmp_path, method="vot")
    with pytest.raises(UnknownName, match=r"unknown dataset 'rejct'\. Did you mean reject"):
        start(tmp_path, data="rejct")


def options(**changes: Any) -> list[str]:
    given = {key: value for key, value in (SMALL | changes).items() if key != "control"}
    return [part for key, value in given.items() for part in (f"--{key.replace('_', '-')}", str(value))]


def test_the_command_ends_with_one_object_and_the_run_can_be_looked_at(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    line = ["improve", *options(rounds=1), "--name", "mine", "--json"]
    assert main(line) == 0
    said = capsys.readouterr()
    result = json.loads(said.out)
    assert result["budget"] == {"sampled_tokens": 60}
    assert {"accuracy", "low", "high", "n"} <= result["rounds"][0]["method"].keys()
    assert "Search, round 1, vote:" in said.err
    assert "step 1/" in said.err
    _print_result(result)
    table = capsys.readouterr().out
    assert "no search, round 1" in table
    assert all(len(row) <= 80 for row in table.splitlines() if not row.startswith("  trivium "))
    assert main(["show", "mine"]) == 0
    assert "on training problems only" in " ".join(capsys.readouterr().out.split())
    assert main(["report", "mine"]) == 0
    assert main(["improve", "--resume", "mine"]) == 2
    assert "is finished" in capsys.readouterr().err
    assert main(["learn", "--resume", "mine"]) == 2
    assert "is a run of trivium improve; go on with: trivium improve --resume mine" in capsys.readouterr().err
    assert main(line) == 2
    assert "Continue it with: trivium improve --resume runs/mine" in capsys.readouterr().err


def test_a_run_that_could_not_be_finished_is_taken_up_at_its_end(tmp_path, monkeypatch):
    def full(run, result):
        raise RunError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("trivium.teach.improve.write_report", full)
        with pytest.raises(RunError, match="the disk is full"):
            start(tmp_path, rounds=1)
    (path,) = tmp_path.iterdir()
    run = Run.open(path)
    assert run.result is None
    found: list = []
    result = go_on(run, found)
    assert not found, "nothing is done twice"
    assert run.result["rounds"] == result["rounds"]
    assert "no search, round 1" in (path / "report.html").read_text()
