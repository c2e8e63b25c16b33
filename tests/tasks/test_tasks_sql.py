"""SQL questions: not trivial, true on every database, and judged by rows."""

from __future__ import annotations

import functools

import pytest

from trivium.errors import UserError
from trivium.sandbox.sql import run_query
from trivium.tasks import task
from trivium.tasks.contract import check_task
from trivium.tasks.sql_domains import DATABASES, DOMAINS, SCHEMAS, database, made_up, tables_of
from trivium.types import SPLITS, Problem


@functools.cache
def dealt(level: int) -> tuple[Problem, ...]:
    return tuple(task(f"sql:level={level}").problems("train", 12))


@pytest.mark.parametrize("name", DOMAINS)
def test_every_domain_builds_with_keys_that_refer_to_rows(name: str) -> None:
    scripts = {database(name, i) for i in range(DATABASES)}
    assert len(scripts) == DATABASES
    assert 2 <= len(DOMAINS[name]) <= 4
    for script in scripts:
        for table in DOMAINS[name]:
            assert run_query(script, f"SELECT COUNT(*) FROM {table.name}").value[0][0] >= 3
            for column, parent in table.parents:
                childless = f"SELECT COUNT(*) FROM {parent} WHERE id NOT IN (SELECT {column} FROM {table.name})"
                assert run_query(script, childless).value[0][0] >= 1, "questions about absence have an answer"


@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_gold_results_are_not_empty_and_the_prompt_names_all_that_is_needed(level: int) -> None:
    for problem in dealt(level):
        prompt = problem.question.messages[0].content
        query = problem.reference["query"]
        for script in problem.reference["databases"]:
            rows = run_query(script, query).value
            assert 1 <= len(rows) <= 20
        for word in query.replace("(", " ").replace(")", " ").replace(".", " ").replace(",", " ").split():
            known = word.isupper() or not word.isalpha() or word in ("a", "b") or word in prompt
            assert known, f"{word!r} of {query!r} is not in the prompt"
        assert problem.reference["ordered"] == ("ORDER BY" in query)
        assert problem.level == level


@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_leaving_out_a_part_of_the_query_is_wrong(level: int) -> None:
    built = task("sql")
    wrong = 0
    for problem in dealt(level):
        query = problem.reference["query"]
        for part in (" WHERE ", " GROUP BY ", " HAVING ", " LIMIT "):
            if part in query:
                wrong += built.verify(problem, query.partition(part)[0]).status != "correct"
    assert wrong >= len(dealt(level))


def test_judged_by_rows_not_by_words() -> None:
    built = task("sql")
    for problem in dealt(2):
        query = problem.reference["query"]
        assert built.verify(problem, f"```sql\nSELECT * FROM ({query.lower()}) AS wrapped\n```").status in (
            "correct",
            "wrong",
        )
        assert built.verify(problem, f"WITH t AS ({query}) SELECT * FROM t").correct
        assert built.verify(problem, "SELECT 1 WHERE FALSE").parts["executes"] == 1.0


def test_options_and_their_mistakes() -> None:
    assert all("players" in p.question.messages[0].content for p in task("sql:domain=league").problems("train", 3))
    with pytest.raises(UserError, match="1 to 4"):
        task("sql:level=5")
    with pytest.raises(UserError, match="Did you mean music"):
        task("sql:domain=musik")
    with pytest.raises(UserError, match="expected 0 or more"):
        task("sql:world=-1")
    with pytest.raises(UserError, match="leave out domain or world"):
        task("sql:world=1,domain=music")


def test_a_made_up_world_keeps_the_contract() -> None:
    assert check_task(task("sql:level=1,world=3"), n=5) == []


def test_no_schema_of_a_world_is_in_two_splits_and_all_have_the_same_few_words() -> None:
    names = [name for split in SPLITS for name in made_up(2, split)]
    assert len(names) == len(set(names)) == SCHEMAS
    for split in SPLITS:
        dealt = task("sql:level=1,world=2").problems(split, 30)
        assert {p.key.partition(":")[0] for p in dealt} <= set(made_up(2, split))
    assert len({tables_of(name) for name in names}) == SCHEMAS
    assert made_up(2, "test") != made_up(3, "test")
    assert all(len(tables_of(name)) == 3 and tables_of(name)[2].parents for name in names)
    assert tables_of("music") is DOMAINS["music"]


@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_a_world_has_questions_of_every_level_that_the_judge_finds_right(level: int) -> None:
    built = task(f"sql:level={level},world=1")
    for problem in built.problems("train", 4):
        assert built.verify(problem, str(problem.solution)).parts["reasoned"] == 1.0
        assert built.verify(problem, str(problem.solution)).correct
        assert len(problem.question.messages[-1].content) < 320
        for script in problem.reference["databases"]:
            rows = run_query(script, problem.reference["query"]).value
            assert 1 <= len(rows) <= 20
