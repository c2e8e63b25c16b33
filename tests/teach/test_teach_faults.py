"""Whatever goes wrong is one clear message, and what was learnt is on disk."""

from __future__ import annotations

import errno
import json
from dataclasses import replace

import pytest
import torch

import trivium.teach.look
import trivium.teach.parts
import trivium.teach.run
import trivium.teach.training
from lesson import SMALL, Judged, go_on, teach
from trivium.errors import RunError, TooFewProblems, Unsupported, UserError
from trivium.learn.batch import Rollout
from trivium.policies import policy as make_policy
from trivium.store import Run
from trivium.tasks import task as make_task
from trivium.teach import LearnSettings, check, preflight
from trivium.teach.parts import local_policy, make_objective, refuse_idle
from trivium.teach.progress import diagnosis
from trivium.teach.rollout import Rollouts
from trivium.types import Sampling, Trace, Verdict


def judge_by(monkeypatch, verify):
    for module in (trivium.teach.training, trivium.teach.look):
        monkeypatch.setattr(module, "make_task", lambda spec: Judged(make_task(spec), verify))


def end_on(monkeypatch, ids):
    """Give the model to teach these end tokens."""

    def made(spec):
        policy = make_policy(spec)
        policy.engine.eos = frozenset(ids)
        return policy

    monkeypatch.setattr(trivium.teach.parts, "make_policy", made)


class Few(Judged):
    """A task with few problems of one split."""

    def __init__(self, task, split, available):
        super().__init__(task, task.verify)
        self.few, self.available = split, available

    def problems(self, split, n, seed=0):
        if split == self.few and n > self.available:
            raise TooFewProblems(self.name, split, self.available, n)
        return self.task.problems(split, n, seed)


def few_dev(monkeypatch, available):
    for module in (trivium.teach.training, trivium.teach.look):
        monkeypatch.setattr(module, "make_task", lambda spec: Few(make_task(spec), "dev", available))


def broken(problem, response):
    raise ZeroDivisionError("the verifier divides by zero")


def test_a_model_that_never_stops(tmp_path, monkeypatch):
    end_on(monkeypatch, [])
    judge_by(monkeypatch, lambda problem, response: Verdict.wrong())
    with pytest.raises(RunError, match=r"8 steps in a row taught nothing: every sample was cut off at 10 tokens"):
        teach(tmp_path, steps=20)
    (run,) = tmp_path.iterdir()
    assert (Run.open(run).latest_checkpoint() or (0,))[0] > 0


@pytest.mark.parametrize(
    ("verdict", "says"),
    [
        (Verdict.wrong(), "no sample was right, so all rewards are equal"),
        (Verdict.right(), "every sample was right; there is nothing left to learn"),
        (None, "the verifier failed on every sample"),
    ],
)
def test_rewards_that_are_all_equal(tmp_path, monkeypatch, verdict, says):
    end_on(monkeypatch, range(1, 80))
    judge_by(monkeypatch, broken if verdict is None else lambda problem, response: verdict)
    events: list = []
    with pytest.raises(RunError, match=f"8 steps in a row taught nothing: {says}"):
        teach(tmp_path, events, steps=20, warmup_steps=0)
    assert sum(e["phase"] == "rl" for e in events) == 8
    assert all(e["tokens_trained"] == 0 for e in events if e["phase"] == "rl")
    assert any(says in e.get("message", "") for e in events), "said at the first such step too"


@pytest.mark.parametrize("objective", ["dpo", "dapo"])
def test_no_partial_credit_is_advised_where_only_outcomes_count(tmp_path, monkeypatch, objective):
    end_on(monkeypatch, range(1, 80))
    judge_by(monkeypatch, lambda problem, response: Verdict.wrong())
    with pytest.raises(RunError, match="no sample was right, and this objective learns only from groups") as error:
        teach(tmp_path, steps=20, warmup_steps=0, objective=objective)
    assert "partial credit" not in str(error.value)


def test_pairs_that_the_token_limit_took_are_told_from_equal_rewards(tmp_path, monkeypatch):
    end_on(monkeypatch, range(1, 80))
    judge_by(monkeypatch, lambda problem, response: Verdict.right() if len(response) % 2 else Verdict.wrong())
    real = trivium.teach.run.Sampler.sample

    def sample(self, *arguments, **options):
        drawn = real(self, *arguments, **options)
        return replace(drawn, rollouts=[replace(r, truncated=not r.correct) for r in drawn.rollouts])

    monkeypatch.setattr(trivium.teach.run.Sampler, "sample", sample)
    says = "groups had right and wrong answers, but those that were cut off at 10 tokens are left out"
    events: list = []
    with pytest.raises(RunError, match=rf"8 steps in a row taught nothing: {says}.*Try --max-tokens 20"):
        teach(tmp_path, events, steps=20, warmup_steps=0, objective="dpo", samples=8)
    assert any(says in e.get("message", "") for e in events), "said at the first such step too"


def drawn_as(*groups):
    """Rollouts and nothing else of a step, from (correct, reward, truncated) by group."""
    rows = [
        Rollout((1,), (2,), (-1.0,), reward, g, right, cut)
        for g, group in enumerate(groups)
        for right, reward, cut in group
    ]
    traces = []
    for row in rows:
        traces.append(Trace("q"))
        traces[-1].finish = "length" if row.truncated else "stop"
    kinds = {"mixed": 0, "all_correct": 0, "all_wrong": 0, "unjudged": 0}
    for group in groups:
        rights = {right for right, _, _ in group}
        kinds["mixed" if len(rights) > 1 else "all_correct" if True in rights else "all_wrong"] += 1
    return Rollouts([], traces, [r.reward for r in rows], rows, kinds, {}, 0.0, 0.0)


WHOLE, CUT = False, True


@pytest.mark.parametrize(
    ("objective", "groups", "says"),
    [
        ("dapo", [[(True, 1.0, CUT), (False, 0.0, CUT)], [(False, 0.0, WHOLE)] * 2], "cut off at 9 tokens are left"),
        ("dapo", [[(True, 0.1, CUT), (False, 0.1, WHOLE)]], "all rewards of every group were equal"),
        ("dapo", [[(True, 1.0, WHOLE)] * 2, [(False, 0.1, WHOLE), (False, 0.0, WHOLE)]], "every group was all right"),
        ("dpo", [[(True, 1.0, WHOLE)] * 2, [(False, 0.0, WHOLE)] * 2], "every group was all right or all wrong"),
        ("grpo", [[(True, 0.1, CUT), (False, 0.1, WHOLE)]], "all rewards of every group were equal"),
        ("grpo", [[(True, 1.0, WHOLE)] * 2, [(False, 0.0, WHOLE)] * 2], "all rewards of every group were equal"),
    ],
)
def test_what_was_missing_depends_on_what_the_objective_compares(objective, groups, says):
    assert says in diagnosis(drawn_as(*groups), Sampling(max_tokens=9), make_objective(objective, 9))


def test_a_verifier_that_raises_is_counted_and_never_paid(tmp_path, monkeypatch):
    calls = iter(range(10**9))

    def verify(problem, response):
        return (
            broken(problem, response)
            if next(calls) % 3 == 0
            else Verdict.right()
            if "1" in response
            else (Verdict.wrong())
        )

    judge_by(monkeypatch, verify)
    paid = []
    real = trivium.teach.run.Sampler.sample

    def spy(self, *arguments, **options):
        paid.append(real(self, *arguments, **options))
        return paid[-1]

    monkeypatch.setattr(trivium.teach.run.Sampler, "sample", spy)
    _, result = teach(tmp_path, objective="reinforce++", warmup_steps=0)
    assert 0.25 < result["verifier_error_rate"] < 0.42
    assert result["after"]["n"] == 4, "of 6 questions 2 have no verdict, which is not a wrong answer"
    for drawn in paid:
        failed = [t.verdict.status == "error" for t in drawn.traces]
        assert [r is None for r in drawn.rewards] == failed
        assert len(drawn.rollouts) == failed.count(False)


def test_a_task_with_few_dev_problems_is_measured_on_those_it_has(tmp_path, monkeypatch):
    few_dev(monkeypatch, 4)
    run, _ = teach(tmp_path, eval_every=2, steps=5)
    looks = [r for r in run.rows() if r["phase"] == "eval" and r["stage"] == "progress"]
    assert [(r["step"], r["total"], r["n"] <= 4) for r in looks] == [(2, 4, True), (4, 4, True)]
    settings = LearnSettings(**SMALL)
    assert {c["name"] for c in preflight(settings)["checks"]} >= {"correct", "speed"}


def test_a_task_without_dev_problems_is_not_measured_on_them(tmp_path, monkeypatch):
    few_dev(monkeypatch, 0)
    with pytest.raises(UserError, match=r"--eval-every 2: task sums.* has no dev problems; leave it out"):
        teach(tmp_path, eval_every=2)
    assert preflight(LearnSettings(**SMALL))["checks"], "looked at through training problems"


def test_a_prompt_longer_than_the_context(tmp_path, monkeypatch):
    policy = make_policy("tiny:50k")
    problems = make_task(SMALL["task"]).problems("test", SMALL["eval_n"])
    context = min(len(policy.encode(p.question.messages)) for p in problems)
    monkeypatch.setattr("trivium.policies.tiny.CONTEXT", context)
    with pytest.raises(
        UserError, match=rf"the prompt has \d+ tokens but tiny:50k reads at most {context - 1}; shorten"
    ):
        teach(tmp_path)


def test_a_solution_longer_than_the_context(tmp_path, monkeypatch):
    problem = make_task(SMALL["task"]).problems("train", 1)[0]
    policy = make_policy("tiny:50k")
    monkeypatch.setattr("trivium.policies.tiny.CONTEXT", len(policy.encode(problem.question.messages)) + 3)
    with pytest.raises(UserError, match=r"a prompt and its solution have \d+ tokens but tiny:50k reads at most"):
        teach(tmp_path)


def test_a_full_disk_keeps_the_checkpoint_before(tmp_path, monkeypatch):
    whole, _ = teach(tmp_path / "whole")
    saves = iter(range(100))
    real = torch.save

    def save(state, path):
        if next(saves) == 6:
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        real(state, path)

    monkeypatch.setattr(torch, "save", save)
    with pytest.raises(RunError, match=r"the disk is full: could not write .*step-.*give the same command again"):
        teach(tmp_path / "full")
    (path,) = (tmp_path / "full").iterdir()
    run = Run.open(path)
    assert run.latest_checkpoint() is not None
    go_on(run)
    assert (path / "model/model.safetensors").read_bytes() == (whole.path / "model/model.safetensors").read_bytes()


def test_a_disk_that_fills_while_the_model_is_written(tmp_path, monkeypatch):
    from trivium.policies.local import LocalPolicy

    def save(self, folder):
        raise RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")

    with monkeypatch.context() as patch:
        patch.setattr(LocalPolicy, "save", save)
        with pytest.raises(RunError, match=r"the disk is full: could not write .*model"):
            teach(tmp_path)
    (path,) = tmp_path.iterdir()
    assert go_on(Run.open(path))["model"] == str(path / "model")


def test_a_disk_that_fills_at_the_very_end(tmp_path, monkeypatch):
    def full(run, result):
        raise RunError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(trivium.teach.run, "write_report", full)
        with pytest.raises(RunError, match="the disk is full"):
            teach(tmp_path)
    (path,) = tmp_path.iterdir()
    run = Run.open(path)
    assert run.result is None, "so that it can be taken up again"
    assert go_on(run)["after"] == run.result["after"]
    assert "transcripts" in run.result
    assert (path / "report.html").exists()


def test_what_cannot_be_taught_is_refused(tmp_path):
    with pytest.raises(Unsupported, match="policy scripted cannot be taught"):
        local_policy(LearnSettings(policy="scripted"))
    with pytest.raises(UserError, match="--updates 2: only rollouts"):
        teach(tmp_path, objective="dpo", updates=2)
    for objective in ("rloo", "rloo:beta=0.05", "signed-reinforce", "soft-bellman"):
        with pytest.raises(UserError, match=f"--updates 2: {objective} has no ratio"):
            teach(tmp_path, objective=objective, updates=2)


@pytest.mark.parametrize(
    ("objective", "options", "said"),
    [
        ("dpo", {"reward": "outcome=1,format=0.1"}, "--reward outcome=1,format=0.1: only policy gradients learn"),
        ("simpo", {"reward": "length=1"}, "--reward length=1: only policy gradients learn"),
        ("sft", {"reward": "format=1"}, "--reward format=1: only policy gradients learn"),
        ("sft", {}, "--samples 4: sft imitates written solutions"),
        ("sft", {"samples": None, "temperature": 0.7}, "--temperature 0.7: sft imitates written solutions"),
        ("sft", {"samples": None, "refill": 1}, "--refill 1: sft imitates written solutions"),
    ],
)
def test_options_that_would_change_nothing_are_refused(tmp_path, objective, options, said):
    with pytest.raises(UserError, match=f"{said}.*; leave it out, or choose another --objective"):
        teach(tmp_path, objective=objective, **options)
    with pytest.raises(UserError, match=said):
        preflight(LearnSettings(**SMALL | {"objective": objective} | options))


@pytest.mark.parametrize("policy", ["tiny:50k", "smollm2"])
def test_what_is_left_out_is_never_idle(policy):
    for objective in ("grpo", "dpo", "sft"):
        settings = LearnSettings(policy=policy, objective=objective)
        refuse_idle(settings, make_objective(objective, 32))
        refuse_idle(replace(settings, samples=settings.samples, reward="outcome=1"), make_objective(objective, 32))


def unfetched(monkeypatch):
    def fetch(*_):
        raise AssertionError("the policy was fetched")

    monkeypatch.setattr(trivium.teach.parts, "make_policy", fetch)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"objective": "grpoo"}, "unknown objective 'grpoo'"),
        ({"objective": "grpo:betta=1"}, "Did you mean beta"),
        ({"reward": "outcom=1"}, "unknown reward 'outcom'"),
        ({"objective": "dpo", "updates": 2}, "--updates 2: only rollouts"),
    ],
)
def test_a_slip_is_refused_before_the_policy_is_fetched(tmp_path, monkeypatch, changes, says):
    unfetched(monkeypatch)
    with pytest.raises(UserError, match=says):
        teach(tmp_path, **changes)
    if "updates" not in changes:
        with pytest.raises(UserError, match=says):
            check(LearnSettings(**SMALL | changes))


def own_rows(folder, **more):
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps({"q": f"{i} plus {i}?", "a": 2 * i} | more) + "\n" for i in range(80)))
    return f"file:{path},question=q,answer=a,verifier=number"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, "no written solutions to warm up on; use --warmup-steps 0, or name the field .*solution=FIELD"),
        (
            {"warmup_steps": 0, "objective": "sft", "samples": None},
            "no written solutions to imitate; choose another objective, or name",
        ),
    ],
)
def test_missing_solutions_are_noticed_before_anything_is_measured(tmp_path, monkeypatch, changes, says):
    unfetched(monkeypatch)
    events: list = []
    with pytest.raises(UserError, match=says):
        teach(tmp_path / "runs", events, task=own_rows(tmp_path), eval_n=1, **changes)
    assert events == []


def test_rows_without_solutions_are_learnt_from_without_a_warm_up(tmp_path):
    _, result = teach(tmp_path / "runs", task=own_rows(tmp_path), eval_n=1, warmup_steps=0, steps=1)
    assert result["after"]["n"] == 1


@pytest.mark.parametrize("objective", ["dpo", "sft", "dapo"])
def test_every_kind_of_objective_runs_to_the_end(tmp_path, objective, monkeypatch):
    judge_by(monkeypatch, lambda problem, response: Verdict.right() if len(response) % 2 else Verdict.wrong())
    end_on(monkeypatch, range(1, 80))
    run, result = teach(tmp_path, objective=objective, steps=2, samples=None if objective == "sft" else 4)
    assert result["trained_tokens"] > 0
    assert run.result == result or run.result["after"] == result["after"]


def test_the_preflight_survives_what_it_looks_for(monkeypatch):
    settings = LearnSettings(**SMALL)
    found = {c["name"]: c for c in preflight(settings)["checks"]}
    assert found["sampler and trainer agree"]["ok"]
    judge_by(monkeypatch, broken)
    report = preflight(settings)
    assert not report["ok"]
    failed = {c["name"]: c for c in report["checks"]}["verifier failed"]
    assert not failed["ok"]
    assert "verifier failed on every sample" in failed["fix"]


@pytest.mark.parametrize(
    ("objective", "learns"), [("grpo", False), ("dpo", False), ("reinforce++-baseline", False), ("reinforce++", True)]
)
def test_the_preflight_compares_rewards_where_the_objective_does(monkeypatch, objective, learns):
    """Every question has answers that are all right or all wrong."""
    end_on(monkeypatch, range(1, 80))
    judge_by(monkeypatch, lambda problem, response: Verdict.right() if int(problem.gold) % 2 else Verdict.wrong())
    report = preflight(LearnSettings(**SMALL | {"warmup_steps": 0, "objective": objective}))
    found = {c["name"]: c for c in report["checks"]}
    assert found["correct"]["value"] not in ("0%", "100%")
    assert found["rewards differ"]["value"] == "in 0 of 8 groups"
    assert found["rewards differ"]["ok"] is learns
    assert learns or "Try more --samples" in found["rewards differ"]["fix"]


def test_every_check_of_the_preflight_that_fails_says_what_to_do(monkeypatch):
    end_on(monkeypatch, [])
    judge_by(monkeypatch, lambda problem, response: Verdict.right() if len(response) % 2 else Verdict.wrong())
    report = preflight(LearnSettings(**SMALL | {"warmup_steps": 0}))
    found = {c["name"]: c for c in report["checks"]}
    assert found["rewards differ"]["ok"]
    assert "every sample was cut off at 10 tokens" in found["ended by themselves"]["fix"]
    assert all(c["fix"] for c in report["checks"] if not c["ok"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"lr_floor": 0.1}, "--lr-floor needs a rate that falls"),
        ({"lr_floor": 1.5, "schedule": "cosine"}, "expected a share of the learning rate"),
    ],
)
def test_a_floor_that_no_schedule_reaches_is_refused(options, said):
    with pytest.raises(UserError, match=said):
        LearnSettings(**SMALL | options)
    assert LearnSettings(**SMALL | {"lr_floor": 0.1, "schedule": "linear"}).lr_floor == 0.1


@pytest.mark.parametrize("beta2", [1.0, -0.1, float("nan")])
def test_a_memory_that_never_fades_is_refused(beta2):
    with pytest.raises(UserError, match=rf"--beta2 {beta2}: expected at least 0 and below 1"):
        LearnSettings(**SMALL | {"beta2": beta2})
