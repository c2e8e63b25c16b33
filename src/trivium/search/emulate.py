"""`emulate`: the model writes a program whose helpers nobody defined, and says itself what they return."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from trivium.errors import UserError
from trivium.sandbox import Outcome, Suspended
from trivium.search.lm import LM, reworded
from trivium.search.programs import abstaining, concluding, literal, parse_python, value_of
from trivium.search.vote import majority
from trivium.types import Answer, Message, Question
from trivium.verify.parse import final_answer, parse_answer

Mode = Literal["emulate", "hybrid"]

HEADER = "# --- program "
"""Begins the line before each program of a file that holds several."""
_WRITE = """\
Answer the last instruction with a Python function. A step that Python cannot do calls a helper function that is not \
defined, but whose name says what it does. Then write the call after >>>, and what it returns.

### Instruction
Which of these can fly: a cat, a sparrow or a spoon?

### Code
def choose_by_property(items, wanted):
    # Step 1: see which items have the property
    matching = [item for item in items if has_property(item, wanted)]
    # Step 2: take the first of them
    return {"matching": matching, "answer": matching[0]}

>>> choose_by_property(["cat", "sparrow", "spoon"], "can fly")

### Output
output = {"matching": ["sparrow"], "answer": "sparrow"}

### Instruction
"""
_CALL = """\
Answer the instruction with the Python function below it. Helper functions that are not defined do what their names \
say. Write the call after >>>, then ### Output, and then output = and the dictionary that the call returns.

### Instruction
"""
_CODE = "\n\n### Code\n"
_HEADING = re.compile(r"^###[ \t]*output\b", re.IGNORECASE | re.MULTILINE)
_OUTPUT = re.compile(r"^[ \t]*(?:###[ \t]*)?output\b", re.IGNORECASE | re.MULTILINE)
_CALLED = re.compile(r"^[ \t]*>>>", re.MULTILINE)
_SHORT = re.compile(r"(?:True|False|None)\b|-?\d+(?:\.\d+)?(?!\s*[-+*/.\w])")
_LEAF = (
    "{program}\n\nThe function {name} is not written, but its name says what it does. "
    "What does {call} return? Reply with the Python value only."
)
_LEAF_TOKENS = 64
_MOST_SHOWN = 2_000
"""Characters of a call beyond which the model is not asked what it returns."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a reply in the template holds: a program, a call of it, and all that follows the call."""

    program: str | None
    call: str | None
    output: str


async def emulate(
    question: Question,
    lm: LM,
    *,
    mode: Mode = "emulate",
    program: str | None = None,
    temperature: float = 0.05,
    max_tokens: int = 256,
    leaves: int = 16,
    shown: bool = True,
) -> Answer:
    """Write a program with undefined helpers, call it, and let the model say what it, or each helper, returns.

    Weir et al. 2024, arXiv:2405.16337 (CoGEX): with `mode=emulate` no interpreter runs; the model writes program, call
    and output dictionary in one reply, at temperature 0.05, and `answer` in the dictionary is the answer.  With
    `mode=hybrid` the sandbox runs the Python, stops at each undefined function, and goes on with what the model says
    that this call returns; equal calls are asked once, and at most `leaves` of them.  `program` is the one program to
    use for every question, as a file (see `trivium program`) or as text: then the model only writes the call.  Of
    several programs in a file each is emulated and the majority answers; ties go to the first, where the paper draws.

    Departs in showing one worked example, because the paper fine-tunes its model for the template; `shown=false` is for
    a model that was (then a program that is given stands before what the model writes, as in the paper).  A question
    that asks for a program is answered by the program itself, unless `program` is given.  Abstains where the output is
    no readable dictionary with an answer, the program fails, or the question's format does not fit.  Confidence: the
    share of the votes of several programs; else none.
    """
    texts = [None] if program is None else read_programs(program)
    lm.begin(question)
    done: dict[int, Answer] = {}

    async def one(i: int) -> None:
        text = texts[i]
        stop = (*lm.sampling.stop, "### Instruction" if mode == "emulate" else "### Output")
        if shown:
            asked = reworded(question, _WRITE, _CODE) if text is None else reworded(question, _CALL, f"{_CODE}{text}\n")
            [chain] = await lm.sample(asked, temperature=temperature, max_tokens=max_tokens, stop=stop)
        else:
            start = lm.begin(bare(question))
            start = start if text is None else lm.tell(start, f"{text}\n", "prompt")
            [chain] = await lm.sample(start, temperature=temperature, max_tokens=max_tokens, stop=stop)
        written = read_template(chain.response, text if shown else None)
        if text is None and question.answer_format == "program":
            value: Any = written.program
        elif mode == "emulate":
            value = answer_in(written.output)
        else:
            value = await _run(written, question, lm, temperature, leaves)
        done[i] = concluding(lm, question, value) or abstaining(chain)
        lm.offer(_elected(done))

    await lm.map(one, range(len(texts)))
    return _elected(done)


def bare(question: Question) -> Question:
    """The question in the template of CoGEX and nothing else, as a model that was fine-tuned for it reads it."""
    return reworded(question, "### Instruction\n", _CODE)


async def write_program(
    question: Question, lm: LM, *, temperature: float = 0.7, max_tokens: int = 256, shown: bool = True
) -> Answer:
    """Write the program that `emulate` would for this question, and stop before its call: the answer is the program.

    A step of the search for one program for all questions (`trivium.search.program_search`); abstains where the reply
    defines no function.
    """
    stop = (*lm.sampling.stop, "### Instruction", ">>>")
    asked = reworded(question, _WRITE, _CODE) if shown else bare(question)
    [chain] = await lm.sample(asked, temperature=temperature, max_tokens=max_tokens, stop=stop)
    program = read_template(chain.response).program
    return Answer(program, program or "", chain.node)


def read_programs(source: str) -> list[str]:
    """The programs in a file, or in a text of several lines: one, or one after each line that begins with `HEADER`.

    Raises UserError where the file cannot be read, or something in it defines no function.
    """
    text = source
    if "\n" not in source:
        try:
            text = Path(source).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"program={source} cannot be read: {error}; make one with: trivium program") from error
    parts = re.split(rf"^{HEADER}.*\n", text, flags=re.MULTILINE)
    programs = [part.strip() for part in parts[1:] or parts]
    if not all(map(_defines, programs)):
        raise UserError(f"program={source.partition(chr(10))[0]}: expected Python that defines a function")
    return programs


def read_template(reply: str, program: str | None = None) -> Written:
    """Program, call and output in a reply that follows the template; a `program` given before it is not looked for."""
    called = _CALLED.search(reply)
    heading = (_OUTPUT if called or program else _HEADING).search(reply, called.end() if called else 0)
    end = heading.start() if heading else len(reply)
    said = reply[called.end() : end] if called else reply[:end] if program else ""
    if heading:
        output = reply[end:]
    else:
        output = said.partition("\n")[2] if called else said
    if program is None:
        program = _function(reply[: called.start() if called else end])
    return Written(program, _call(said), output)


def answer_in(output: str) -> Any:
    """`answer` in the first dictionary of a text; `None` where there is no such dictionary, or it is cut off."""
    start = output.find("{")
    end = _closing(output, start) if start >= 0 else -1
    readable, value = literal(output[start:end]) if end >= 0 else (False, None)
    return value.get("answer") if readable and isinstance(value, dict) else None


def read_value(reply: str) -> tuple[bool, Any]:
    """Whether a reply says what a call returns, and that value: a literal, or else the first line as text."""
    marked = final_answer(reply)
    fenced = reply.split("```")[1].partition("\n")[2] if reply.count("```") >= 2 else ""
    first = reply.strip().partition("\n")[0].strip(" `")
    for text in (marked or "", reply, fenced, first, first.rstrip(".")):
        readable, value = literal(text)
        if readable:
            return True, value
    said = (first if marked is None else marked).rstrip(".")
    if short := _SHORT.match(said):
        return literal(short[0])
    return bool(said), said


async def _run(written: Written, question: Question, lm: LM, temperature: float, leaves: int) -> Any:
    """What the call gives when the sandbox runs it and the model answers for what is not defined; `None` if nothing."""
    if written.program is None or written.call is None:
        return None
    known: dict[str, tuple[bool, Any]] = {}
    state = await lm.start(f"{written.program}\n\n{written.call}")
    for _ in range(leaves):
        if not isinstance(state, Suspended):
            break
        call = _shown(state)
        if call is not None and call not in known:
            asked = _LEAF.format(program=written.program, name=state.name, call=call)
            leaf = Question(question.id, (Message("user", asked),))
            [chain] = await lm.sample(leaf, temperature=temperature, max_tokens=_LEAF_TOKENS)
            lm.note(chain, note=call)
            cut = chain.finish != "stop" and "\n" not in chain.response.strip()
            known[call] = (False, None) if cut else read_value(chain.response)
        given, value = known[call] if call is not None else (False, None)
        state = await (lm.resume(state, value) if given else lm.resume(state))
    if not isinstance(state, Outcome):
        return None
    value = value_of(state)
    return value.get("answer") if isinstance(value, dict) else value


def _elected(done: Mapping[int, Answer]) -> Answer:
    """The most common answer of those done, in the order of the programs."""
    answers = [done[i] for i in sorted(done)]
    winner, share = majority([answer.value for answer in answers])
    chosen = next(answer for answer in answers if answer.value == winner)
    return replace(chosen, confidence=share) if len(answers) > 1 else chosen


def _shown(state: Suspended) -> str | None:
    """The call that a program waits for as text; `None` for a bare name, and for what is too long to show."""
    try:
        args = [*map(repr, state.args), *(f"{key}={value!r}" for key, value in state.kwargs.items())]
    except ValueError:  # an integer of thousands of digits
        return None
    call = f"{state.name}({', '.join(args)})"
    return call if state.is_call and len(call) <= _MOST_SHOWN else None


def _function(text: str) -> str | None:
    """The function in the beginning of a reply, fenced or bare."""
    bare = re.search(r"^(?:def|import|from)\s", text, re.MULTILINE)
    for code in (parse_answer("program", text), text[bare.start() :] if bare else None):
        if code is not None and _defines(code):
            return code.strip()
    return None


def _defines(code: str) -> bool:
    tree = parse_python(code)
    return tree is not None and any(isinstance(statement, ast.FunctionDef) for statement in tree.body)


def _call(text: str) -> str | None:
    """The call at the beginning of a text: all of it, or else its first line."""
    text = text.replace("```", "").strip().removeprefix(">>>").strip()
    for code in (text, text.partition("\n")[0].strip()):
        tree = parse_python(code)
        if tree is not None and len(tree.body) == 1:
            only = tree.body[0]
            if isinstance(only, ast.Expr) and isinstance(only.value, ast.Call):
                return code
    return None


def _closing(text: str, start: int) -> int:
    """The place after the brace that closes the one at `start`, quotes aside; -1 where none does."""
    depth, quote, i = 0, "", start
    while i < len(text):
        char = text[i]
        if quote:
            i += char == "\\"
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        else:
            depth += (char == "{") - (char == "}")
            if depth == 0:
                return i + 1
        i += 1
    return -1
