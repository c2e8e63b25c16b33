"""The small databases that `trivium.tasks.sql` asks about: their tables, the rows in them and how a prompt shows them.

`DATABASES` differ in their rows only.  Rows follow from the domain's name and the number of the database alone.

Besides the domains there are worlds of `SCHEMAS` small made-up schemas each, all of the same few words, so that a model
that learned some of a world's schemas knows every word of the others.
"""

from __future__ import annotations

import functools
import random
from dataclasses import dataclass

from trivium.tasks.base import stable_hash
from trivium.types import Split

DATABASES = 2
"""Databases per domain, all with the same schema: an answer must be right on each of them."""

SCHEMAS = 8
"""Schemas of a world: with their databases as many as the sandbox keeps at a time."""
_HOMES: dict[Split, range] = {"train": range(5), "dev": range(5, 6), "test": range(6, SCHEMAS)}


@dataclass(frozen=True, slots=True)
class Table:
    """A table with an `id`, a unique text column `label`, and further columns.

    `words` maps text columns to their values, `numbers` integer columns to (lowest, highest), `parents` foreign keys to
    the table they refer to.  `rows` is about how many rows it has.
    """

    name: str
    rows: int
    label: str = ""
    labels: tuple[str, ...] = ()
    words: tuple[tuple[str, tuple[str, ...]], ...] = ()
    numbers: tuple[tuple[str, int, int], ...] = ()
    parents: tuple[tuple[str, str], ...] = ()


Domain = tuple[Table, ...]


def described(domain: Domain) -> str:
    """One line a table: `orders(id, customer_id -> customers.id, quantity)`."""
    lines = []
    for table in domain:
        columns = ["id", *([table.label] if table.label else []), *(column for column, _ in table.words)]
        columns += [column for column, _, _ in table.numbers]
        columns += [f"{column} -> {parent}.id" for column, parent in table.parents]
        lines.append(f"{table.name}({', '.join(columns)})")
    return "\n".join(lines)


def made_up(world: int, split: Split) -> list[str]:
    """The names of the schemas of a world that a split has to itself."""
    return [f"world-{world}-{i}" for i in _HOMES[split]]


@functools.cache
def tables_of(name: str) -> Domain:
    """The tables of a domain, or of a made-up schema: three, the last of which refers to the first."""
    if name in DOMAINS:
        return DOMAINS[name]
    rng = random.Random(stable_hash("schema", name))
    things = rng.sample(_THINGS, 3)
    return tuple(
        Table(
            thing,
            8,
            rng.choice(_LABELS),
            _PEOPLE,
            (rng.choice(_WORDS),),
            tuple((number, 1, 99) for number in rng.sample(_NUMBERS, 2)),
            ((f"{things[0].removesuffix('s')}_id", things[0]),) if thing == things[2] else (),
        )
        for thing in things
    )


@functools.cache
def database(name: str, index: int) -> str:
    """The script that builds a domain's database number `index`."""
    rng = random.Random(stable_hash("database", name, index))
    sizes: dict[str, int] = {}
    lines: list[str] = []
    for table in tables_of(name):
        n = sizes[table.name] = rng.randint(table.rows - 2, table.rows + 2)
        columns = ["id INTEGER PRIMARY KEY"]
        cells: list[list[str]] = [[str(i) for i in range(1, n + 1)]]
        if table.label:
            columns.append(f"{table.label} VARCHAR")
            cells.append([f"'{label}'" for label in rng.sample(table.labels, n)])
        for column, values in table.words:
            columns.append(f"{column} VARCHAR")
            cells.append([f"'{rng.choice(values)}'" for _ in range(n)])
        for column, low, high in table.numbers:
            columns.append(f"{column} INTEGER")
            wide = high - low + 1 >= 2 * n  # different values where there are enough, so that few orders are tied
            span = range(low, high + 1)
            cells.append([str(value) for value in (rng.sample(span, n) if wide else rng.choices(span, k=n))])
        for column, parent in table.parents:
            columns.append(f"{column} INTEGER REFERENCES {parent}(id)")
            # A third of the rows go to one parent and the last parent gets none: counts differ, and some are zero.
            cells.append([str(1 if rng.random() < 0.3 else rng.randint(1, sizes[parent] - 1)) for _ in range(n)])
        rows = ", ".join(f"({', '.join(row)})" for row in zip(*cells, strict=True))
        lines += [f"CREATE TABLE {table.name} ({', '.join(columns)});", f"INSERT INTO {table.name} VALUES {rows};"]
    return "\n".join(lines)


_PEOPLE = (
    *("Ada", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gina", "Hugo", "Iris", "Jack"),
    *("Kim", "Lara", "Milo", "Nina", "Otto", "Pia", "Quinn", "Rosa", "Sam", "Tara"),
)
_CITIES = ("Oslo", "Paris", "Rome", "Lima")
_THINGS = ("cars", "pets", "shops", "ships", "rooms", "tools", "games", "farms")
_LABELS = ("name", "title", "code")
_WORDS = (
    ("city", _CITIES),
    ("colour", ("red", "blue", "green", "black")),
    ("kind", ("old", "new", "rare")),
    ("size", ("small", "large", "tiny")),
)
_NUMBERS = ("age", "price", "weight", "speed", "height", "rank")


def _people(name: str, rows: int, *, age: bool = True) -> Table:
    numbers = (("age", 18, 70),) if age else ()
    return Table(name, rows, "name", _PEOPLE, (("city", _CITIES),), numbers)


DOMAINS: dict[str, Domain] = {
    "shop": (
        _people("customers", 8),
        Table(
            "products",
            8,
            "name",
            ("lamp", "chair", "desk", "mug", "pen", "bag", "shoe", "coat", "ball", "drum", "kite", "rug"),
            (("category", ("home", "office", "sport")),),
            (("price", 2, 99),),
        ),
        Table(
            "orders",
            22,
            numbers=(("quantity", 1, 9),),
            parents=(("customer_id", "customers"), ("product_id", "products")),
        ),
    ),
    "school": (
        Table("teachers", 5, "name", _PEOPLE, (("subject", ("maths", "music", "art")),)),
        Table(
            "courses",
            8,
            "title",
            ("Algebra", "Choir", "Drawing", "Geometry", "Jazz", "Logic", "Opera", "Painting", "Rhythm", "Statistics"),
            numbers=(("credits", 1, 8),),
            parents=(("teacher_id", "teachers"),),
        ),
        _people("students", 9),
        Table(
            "enrolments",
            24,
            numbers=(("grade", 1, 100),),
            parents=(("student_id", "students"), ("course_id", "courses")),
        ),
    ),
    "library": (
        Table("authors", 6, "name", _PEOPLE, (("country", ("Chile", "Ghana", "India", "Norway")),)),
        Table(
            "books",
            12,
            "title",
            (
                *("Ashes", "Bridges", "Clouds", "Dunes", "Embers", "Ferns", "Glass", "Harbour"),
                *("Islands", "Juniper", "Kites", "Lanterns", "Mirrors", "Nomads", "Orchards", "Pearls"),
            ),
            (("genre", ("novel", "poetry", "crime")),),
            (("pages", 60, 900),),
            (("author_id", "authors"),),
        ),
        _people("members", 7, age=False),
        Table("loans", 22, numbers=(("days", 1, 60),), parents=(("book_id", "books"), ("member_id", "members"))),
    ),
    "company": (
        Table(
            "departments",
            5,
            "name",
            ("Design", "Finance", "Legal", "Research", "Sales", "Support", "Travel"),
            (("city", _CITIES),),
        ),
        Table(
            "employees",
            13,
            "name",
            _PEOPLE,
            (("role", ("clerk", "engineer", "manager")),),
            (("salary", 2000, 9000), ("age", 20, 65)),
            (("department_id", "departments"),),
        ),
    ),
    "league": (
        Table(
            "teams", 5, "name", ("Bears", "Comets", "Eagles", "Lions", "Owls", "Sharks", "Wolves"), (("city", _CITIES),)
        ),
        Table(
            "players",
            15,
            "name",
            _PEOPLE,
            (("position", ("keeper", "defender", "striker")),),
            (("goals", 0, 40), ("age", 17, 39)),
            (("team_id", "teams"),),
        ),
    ),
    "music": (
        Table("artists", 6, "name", _PEOPLE, (("country", ("Brazil", "Japan", "Mali", "Spain")),)),
        Table(
            "albums",
            10,
            "title",
            ("Amber", "Blue", "Coral", "Dawn", "Echo", "Flame", "Gold", "Haze", "Indigo", "Jade", "Karma", "Lilac"),
            (("genre", ("folk", "jazz", "rock")),),
            (("year", 1960, 2024), ("price", 5, 40)),
            (("artist_id", "artists"),),
        ),
        _people("fans", 7),
        Table("purchases", 20, numbers=(("rating", 1, 10),), parents=(("album_id", "albums"), ("fan_id", "fans"))),
    ),
}
