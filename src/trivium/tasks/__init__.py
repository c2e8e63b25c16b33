"""The tasks by name.  Importing this loads no task: each family's module is imported when it is first asked for."""

from __future__ import annotations

from trivium.registry import Registry
from trivium.types import Task

TASKS: Registry[Task] = Registry(
    "task",
    {
        "sums": "trivium.tasks.sums:Sums",
        "countdown": "trivium.tasks.countdown:Countdown",
        "chain": "trivium.tasks.chain:Chain",
        "graph-search": "trivium.tasks.graph_search:GraphSearch",
        "rules": "trivium.tasks.rules:Rules",
        "programs": "trivium.tasks.programs:Programs",
        "word-rules": "trivium.tasks.word_rules:WordRules",
        "sql": "trivium.tasks.sql:Sql",
        "grid": "trivium.tasks.grid:Grid",
        "twenty-questions": "trivium.tasks.twenty_questions:TwentyQuestions",
        "shop": "trivium.tasks.shop:Shop",
        "text-graph": "trivium.tasks.text_graph:TextGraph",
        "gym": "trivium.tasks.gym:Gym",
        "file": "trivium.tasks.file:FileTask",
        "shots": "trivium.tasks.shots:Shots",
    },
)


def task(spec: str) -> Task:
    """The task a spec describes, such as `sums:terms=2` or `gym:countdown`.

    Raises `UserError` (`UnknownName` for a name or option that does not exist) with what to type instead.
    """
    return TASKS.build(spec)
