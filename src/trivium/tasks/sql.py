"""Questions over small databases, answered in SQL.

A question is drawn from a template of its level (1 filters and orders, 2 joins and groups, 3 having, totals and top
lists across joins, 4 nests), and kept only if it can be told apart: its result is not empty, and differs when the
filter, grouping or limit is left out.

A problem is its query: the same question never occurs in two splits, whatever rows it is judged on.  In a made-up world
no schema occurs in two splits either.
"""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from trivium.errors import UnknownName, UserError
from trivium.tasks.base import Described, at_least, deal, guarded, new_problem, split_of
from trivium.tasks.sql_domains import DATABASES, DOMAINS, Domain, Table, database, described, made_up, tables_of
from trivium.types import Problem, Split, Verdict
from trivium.verify.sql import Rows, check_sql, same_rows, trusted_rows

INSTRUCTION = "Write one SQL query (DuckDB)."


@dataclass(frozen=True, slots=True)
class Draft:
    """A question before it is checked.

    `query` is gold, and `lesser` the same without the part that is asked about.  Where the order of rows matters,
    `keys` gives all values that are ordered by, in that order, so that ties can be found.
    """

    question: str
    query: str
    lesser: str
    keys: str = ""


@dataclass(frozen=True)
class Sql(Described):
    """Answer a question in SQL, given the schema; judged by the query's result on two hidden databases.

    `level` 1 to 4, or 0 for all; `domain` one of six, or `all`.  `world` above 0 numbers a made-up world instead: eight
    schemas of three tables in the same few words, five to train on, one for dev and two to be tested on, and prompts
    short enough for models that learn from nothing.
    """

    level: int = 0
    domain: str = "all"
    world: int = 0

    family = "sql"

    def __post_init__(self) -> None:
        if not 0 <= self.level <= 4:
            raise UserError(f"task sql: level={self.level} does not exist; expected 1 to 4, or 0 for all of them")
        if self.domain != "all" and self.domain not in DOMAINS:
            raise UnknownName("value of task sql domain:", self.domain, ["all", *DOMAINS])
        at_least("sql", 0, world=self.world)
        if self.world and self.domain != "all":
            raise UserError(f"task sql: domain={self.domain} is not in a made-up world; leave out domain or world")

    @property
    def max_tokens(self) -> int:
        return 200

    def problems(self, split: Split, n: int, seed: int = 0) -> list[Problem]:
        return deal(self.name, split, n, seed, functools.partial(self._draw, split))

    @guarded
    def verify(self, problem: Problem, response: str) -> Verdict:
        return check_sql(response, problem.reference)

    def _draw(self, split: Split, rng: random.Random) -> Problem | None:
        names = made_up(self.world, split) if self.world else list(DOMAINS)
        name = rng.choice(names) if self.domain == "all" else self.domain
        level, tables = self.level or rng.randint(1, 4), tables_of(name)
        drafts = list(_LEVELS[level](tables, rng))
        if not drafts:
            return None
        draft = rng.choice(drafts)
        key = f"{name}: {draft.query}"
        if split_of(key) != split:
            return None  # before the costly part
        scripts = [database(name, i) for i in range(DATABASES)]
        if not _worth_asking(draft, scripts, _quick_rows if self.world else trusted_rows):
            return None
        gold = f"```sql\n{draft.query}\n```"
        used = [table.name for table in tables if f" {table.name}" in draft.query]
        prompt = f"{described(tables)}\n{draft.question}"
        return new_problem(
            self.family,
            key,
            prompt if self.world else f"Tables:\n{described(tables)}\n{INSTRUCTION} {draft.question}",
            reference={"databases": scripts, "query": draft.query, "ordered": bool(draft.keys)},
            gold=gold,
            answer_format="sql",
            level=level,
            solution=f"This needs {' and '.join(used)}.\n{gold}",
            system=INSTRUCTION if self.world else None,
        )


def _worth_asking(draft: Draft, scripts: list[str], run: Callable[[str, str], Rows]) -> bool:
    """The result is never empty, long or tied, and somewhere differs from that of the lesser query."""
    differs = False
    for script in scripts:
        rows, lesser = run(script, draft.query), run(script, draft.lesser)
        if not rows or len(rows) > 20 or all(cell is None for row in rows for cell in row):
            return False
        if draft.keys:
            keys = run(script, draft.keys)[: len(rows) + 1]
            if any(a == b for a, b in itertools.pairwise(keys)):
                return False
        differs = differs or not same_rows(rows, lesser, bool(draft.keys))
    return differs


def _quick_rows(script: str, query: str) -> Rows:
    """What SQLite makes of a query of ours, in this process and a hundred times sooner: enough to choose questions by.
    Answers are judged by DuckDB.
    """
    rows: Rows = _quick_database(script).execute(query).fetchall()
    return rows


@functools.lru_cache(maxsize=64)
def _quick_database(script: str) -> Any:
    import sqlite3  # which not every Python is built with, and nothing else here needs

    made = sqlite3.connect(":memory:", check_same_thread=False)
    made.executescript(script)
    return made


def _one(table: str) -> str:
    return table.removesuffix("s")


def _middle(rng: random.Random, low: int, high: int) -> int:
    """A threshold that leaves some values on either side."""
    return rng.randint(low + (high - low) // 4, high - (high - low) // 4)


def _lookups(domain: Domain, rng: random.Random) -> Iterator[Draft]:
    """Level 1: one table; filters, counts, the first few in an order."""
    for t in domain:
        n, what = t.name, f"the {t.label} of all {t.name}"
        for num, low, high in t.numbers:
            k = _middle(rng, low, high)
            word, sign = rng.choice([("above", ">"), ("below", "<"), ("of at least", ">="), ("of at most", "<=")])
            where = f"WHERE {num} {sign} {k}"
            yield Draft(
                f"How many {n} have {num} {word} {k}?", f"SELECT COUNT(*) FROM {n} {where}", f"SELECT COUNT(*) FROM {n}"
            )
            if not t.label:
                continue
            listed = f"SELECT {t.label} FROM {n}"
            yield Draft(f"List {what} with {num} {word} {k}.", f"{listed} {where}", listed)
            for column, values in t.words:
                v = rng.choice(values)
                both = f"{where} AND {column} = '{v}'"
                yield Draft(
                    f"List {what} with {column} '{v}' and {num} {word} {k}.", f"{listed} {both}", f"{listed} {where}"
                )
            top = rng.randint(2, 4)
            way, order = rng.choice([("highest", f"{num} DESC"), ("lowest", num)])
            yield Draft(
                f"List the {t.label} of the {top} {n} with the {way} {num}, {way} first.",
                f"{listed} ORDER BY {order} LIMIT {top}",
                f"{listed} ORDER BY {order}",
                f"SELECT {num} FROM {n} ORDER BY {order}",
            )
        for column, values in t.words:
            v = rng.choice(values)
            where = f"WHERE {column} = '{v}'"
            yield Draft(
                f"How many {n} have {column} '{v}'?", f"SELECT COUNT(*) FROM {n} {where}", f"SELECT COUNT(*) FROM {n}"
            )
            yield Draft(
                f"List {what} with {column} '{v}'.", f"SELECT {t.label} FROM {n} {where}", f"SELECT {t.label} FROM {n}"
            )


def _joins(domain: Domain, rng: random.Random) -> Iterator[Draft]:
    """Level 2: a child with its parent; groups."""
    for t in domain:
        for column, _ in t.words:
            grouped = f"FROM {t.name} GROUP BY {column}"
            yield Draft(
                f"For each {column} of {t.name}, return the {column} and the number of {t.name}.",
                f"SELECT {column}, COUNT(*) {grouped}",
                f"SELECT {column}, 1 FROM {t.name}",
            )
            for num, low, high in t.numbers:
                k = _middle(rng, low, high)
                yield Draft(
                    f"For each {column} of {t.name} with {num} above {k}, return the {column} and the number of them.",
                    f"SELECT {column}, COUNT(*) FROM {t.name} WHERE {num} > {k} GROUP BY {column}",
                    f"SELECT {column}, COUNT(*) {grouped}",
                )
                word, function = rng.choice(
                    [("average", "AVG"), ("largest", "MAX"), ("smallest", "MIN"), ("total", "SUM")]
                )
                yield Draft(
                    f"For each {column} of {t.name}, return the {column} and the {word} {num}.",
                    f"SELECT {column}, {function}({num}) {grouped}",
                    f"SELECT {column}, {num} FROM {t.name}",
                )
    for child, parent, join in _edges(domain):
        c, p = child.name, parent.name
        shown = child.label or child.numbers[0][0]
        listed = f"SELECT {c}.{shown} FROM {c} {join}"
        for column, values in parent.words:
            v = rng.choice(values)
            asked = f"List the {shown} of every {_one(c)} whose {_one(p)} has {column} '{v}'"
            yield Draft(f"{asked}.", f"{listed} WHERE {p}.{column} = '{v}'", listed)
            for num, low, high in child.numbers:
                k = _middle(rng, low, high)
                yield Draft(
                    f"{asked} and whose {num} is above {k}.",
                    f"{listed} WHERE {p}.{column} = '{v}' AND {c}.{num} > {k}",
                    f"{listed} WHERE {p}.{column} = '{v}'",
                )
        name = rng.choice(parent.labels)
        yield Draft(
            f"List the {shown} of every {_one(c)} of the {_one(p)} '{name}'.",
            f"{listed} WHERE {p}.{parent.label} = '{name}'",
            listed,
        )
        for num, low, high in child.numbers:
            k = _middle(rng, low, high)
            yield Draft(
                f"For each {_one(p)} with any {c}, return its {parent.label} and the total {num} of its {c}.",
                f"SELECT {p}.{parent.label}, SUM({c}.{num}) FROM {c} {join} GROUP BY {p}.{parent.label}",
                f"SELECT {p}.{parent.label}, {c}.{num} FROM {c} {join}",
            )
            yield Draft(
                f"List the different {parent.label}s of {p} that have a {_one(c)} with {num} above {k}.",
                f"SELECT DISTINCT {p}.{parent.label} FROM {c} {join} WHERE {c}.{num} > {k}",
                f"SELECT DISTINCT {p}.{parent.label} FROM {c} {join}",
            )


def _totals(domain: Domain, rng: random.Random) -> Iterator[Draft]:
    """Level 3: having, totals in order, two parents joined through the table that links them."""
    for child, parent, join in _edges(domain):
        c, p, name = child.name, parent.name, f"{parent.name}.{parent.label}"
        k = rng.randint(1, 3)
        grouped = f"FROM {c} {join} GROUP BY {name}"
        yield Draft(
            f"List the {parent.label} of every {_one(p)} with more than {k} {c}.",
            f"SELECT {name} {grouped} HAVING COUNT(*) > {k}",
            f"SELECT {name} {grouped}",
        )
        for num, low, high in child.numbers:
            total = f"SUM({c}.{num})"
            k = rng.randint((low + high) // 2, 2 * (low + high))
            yield Draft(
                f"Return the {parent.label} and the total {num} of their {c} for all {p} with a total above {k}.",
                f"SELECT {name}, {total} {grouped} HAVING {total} > {k}",
                f"SELECT {name}, {total} {grouped}",
            )
            top = rng.randint(1, 3)
            yield Draft(
                f"Return the {parent.label} and the total {num} of their {c} for the {top} {p} with the highest total, "
                "highest first.",
                f"SELECT {name}, {total} {grouped} ORDER BY {total} DESC LIMIT {top}",
                f"SELECT {name}, {total} {grouped} ORDER BY {total} DESC",
                f"SELECT {total} {grouped} ORDER BY {total} DESC",
            )
    for link, (first, join), (second, other) in _links(domain):
        listed = f"SELECT DISTINCT {first.name}.{first.label} FROM {link.name} {join} {other}"
        v = rng.choice(second.labels)
        asked = f"List the different {first.label}s of {first.name} that have any {_one(link.name)}"
        yield Draft(
            f"{asked} with the {_one(second.name)} '{v}'.",
            f"{listed} WHERE {second.name}.{second.label} = '{v}'",
            listed,
        )
        for column, values in second.words:
            v = rng.choice(values)
            with_parent = f"{asked} with a {_one(second.name)} of {column} '{v}'"
            where = f"WHERE {second.name}.{column} = '{v}'"
            yield Draft(f"{with_parent}.", f"{listed} {where}", listed)
            for num, low, high in link.numbers:
                k = _middle(rng, low, high)
                yield Draft(
                    f"{with_parent} and {num} above {k}.",
                    f"{listed} {where} AND {link.name}.{num} > {k}",
                    f"{listed} {where}",
                )


def _nests(domain: Domain, rng: random.Random) -> Iterator[Draft]:
    """Level 4: queries within queries."""
    for t in domain:
        for num, _, _ in t.numbers if t.label else ():
            listed = f"SELECT {t.label} FROM {t.name}"
            side, sign = rng.choice([("above", ">"), ("below", "<")])
            yield Draft(
                f"List the {t.label} of all {t.name} with {num} {side} the average {num} of all {t.name}.",
                f"{listed} WHERE {num} {sign} (SELECT AVG({num}) FROM {t.name})",
                listed,
            )
            for column, values in t.words:
                v = rng.choice(values)
                yield Draft(
                    f"List the {t.label} of all {t.name} with {num} {side} the average of those with {column} '{v}'.",
                    f"{listed} WHERE {num} {sign} (SELECT AVG({num}) FROM {t.name} WHERE {column} = '{v}')",
                    f"{listed} WHERE {num} {sign} (SELECT AVG({num}) FROM {t.name})",
                )
                way, function = rng.choice([("highest", "MAX"), ("lowest", "MIN")])
                yield Draft(
                    f"Among the {t.name} with {column} '{v}', list the {t.label} of those with the {way} {num}.",
                    f"{listed} WHERE {column} = '{v}' AND {num} = "
                    f"(SELECT {function}({num}) FROM {t.name} WHERE {column} = '{v}')",
                    f"{listed} WHERE {num} = (SELECT {function}({num}) FROM {t.name})",
                )
    for child, parent, _ in _edges(domain):
        c, p = child.name, parent.name
        key = next(column for column, name in child.parents if name == p)
        listed = f"SELECT {parent.label} FROM {p}"
        yield Draft(
            f"List the {parent.label} of all {p} without any {c}.",
            f"{listed} WHERE id NOT IN (SELECT {key} FROM {c})",
            listed,
        )
        for num, low, high in child.numbers:
            k = _middle(rng, low, high)
            side, sign = rng.choice([("above", ">"), ("below", "<")])
            yield Draft(
                f"List the {parent.label} of all {p} that have no {_one(c)} with {num} {side} {k}.",
                f"{listed} WHERE id NOT IN (SELECT {key} FROM {c} WHERE {num} {sign} {k})",
                f"{listed} WHERE id NOT IN (SELECT {key} FROM {c})",
            )
            shown = child.label or "id"
            yield Draft(
                f"List the {shown} of every {_one(c)} with {num} above the average {num} of all {c} of its {_one(p)}.",
                f"SELECT a.{shown} FROM {c} AS a WHERE a.{num} > "
                f"(SELECT AVG(b.{num}) FROM {c} AS b WHERE b.{key} = a.{key})",
                f"SELECT {shown} FROM {c} WHERE {num} > (SELECT AVG({num}) FROM {c})",
            )


_LEVELS = {1: _lookups, 2: _joins, 3: _totals, 4: _nests}


def _edges(domain: Domain) -> Iterator[tuple[Table, Table, str]]:
    """Child, parent and the join clause that adds the parent."""
    tables = {table.name: table for table in domain}
    for child in domain:
        for column, name in child.parents:
            yield child, tables[name], f"JOIN {name} ON {child.name}.{column} = {name}.id"


def _links(domain: Domain) -> Iterator[tuple[Table, tuple[Table, str], tuple[Table, str]]]:
    """A table with two parents, and both parents in either order."""
    edges = list(_edges(domain))
    for child, parent, join in edges:
        for other, second, also in edges:
            if child is other and parent is not second:
                yield child, (parent, join), (second, also)
