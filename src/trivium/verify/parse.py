"""Parsers of answers: a full response in, the answer as one canonical string out, or `None` for an abstention.

Equal answers give equal strings (`1,234` and `1234.0` are both `1234`), so voting is a count of strings.  Every parser
is total: any text in, never an exception, and time linear in the text's length or bounded by a constant.

Where a response marks its final answer (`Answer: 93`, `#### 93`, `<answer>93</answer>`, `\\boxed{93}`), the last marker
decides, and a marker with nothing readable after it abstains: a cut-off response must not be read by its scratch work.
What looks like a marker and announces nothing is none: a heading (`#### Step 2`), and a remark on the answer after it
(`this answer is right`).
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction

from trivium.errors import UnknownName

Parser = Callable[[str], str | None]

_MARKER = re.compile(
    r"""(?P<hashes>(?<!\#)\#{4}(?!\#)) | (?P<tag><answer>)
      | (?<!this[ ])(?<!that[ ])\banswer\b[ \t*_]{0,4}(?:(?P<prose>is\b[ \t]{0,4}:?|=)|:)""",
    re.IGNORECASE | re.VERBOSE,
)
# Hashes before words, or before `2. Words`, with more below are a heading; on the last line they are an answer.
_HEADING = re.compile(r"[ \t]*(?:[*_]{0,2}[A-Za-z]|[0-9]{1,2}[.):][ \t]+[*_]{0,2}[A-Za-z])[^\n]*\n\s*\S")
# What an announcement in prose begins with, where a box or closed tags have told the answer before it.
_VALUE = re.compile(r"[\s:*_`(\[{]*(?:[-+\u2212]?[ ]?\$?[.0-9]|\$|\\(?:boxed|frac|dfrac|tfrac|sqrt|\())")
_BOX = re.compile(r"\\boxed\s{0,4}\{")
_DECORATION = " \t\r\n*_`$"
# A minus is a sign only where no operand stands before it: the last number of `128-35` is 35, that of `x = -5` is -5.
_NUMBER = re.compile(
    r"""(?<!\w)(?<![0-9]\.)
        (?P<sign>(?<![0-9)\]\w])(?<![0-9)\]\w][ ])-)?
        \$?
        (?P<digits>[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])(?:\.[0-9]+)? | [0-9]+(?:\.[0-9]+)? | (?<!\.)\.[0-9]+)
        (?P<exponent>[eE][+-]?[0-9]+)?
        (?:/(?P<below>[0-9]+)(?![0-9/]|\.[0-9]))?""",
    re.VERBOSE,
)
# A marked number is the answer only if it stands alone: the 4 of `4+7`, the 3 of `3 1/2` and the 5 of `-(5)` are not.
# What prose puts there goes on to be read: `42.`, `42-inch`, `42/week`, `42 - because`, `**42** apples`, `42^\circ`.
_SIGN = re.compile(r"\A\s*(?:\+|(-)) ?(?=\$?[.0-9])")
_BEFORE = re.compile(
    r"""(?: \A[-+/^({\[$\s\u00b1]*[-+/^\u00b1] | [+^\u221a] | (?<![A-Za-z])[A-Za-z][-*/]
          | \\(?:pm|times|cdot|div|[dt]?frac[^0-9]{0,20}) | (?:\\|\b)(?:sqrt|log|ln) )
        [({\[$\s]*\Z""",
    re.VERBOSE,
)
_AFTER = re.compile(
    r"""(?:[.,_]|\s{1,2}|\\[,;:!\ ])[0-9] |
        [)\]}$]{0,4}(?:
            \([-+$\s]{0,4}\.?[0-9]
          | \s?\^(?![{\s]{0,4}(?:\\(?:circ|text|mathrm)|st|nd|rd|th))
          | \s?(?:\\sqrt|\\pi|\\[dt]?frac|[\u221a\u03c0])
          | (?:\s?(?:[-+/x\u00b1\u00d7\u00b7\u00f7]|\\times|\\cdot|\\div|\\pm)|\*{1,2}(?!\s)|\s\*{1,2}(?=\s))
            [-+({\[$\\\s]{0,6}(?:\.?[0-9]|sqrt|[dt]?frac|pi\b))""",
    re.VERBOSE,
)
# A dash that opens the line below the marker, or that ends the marker itself (`Answer:- 42`), is no minus.
_BULLET = re.compile(r"(?:(?<=:)|[ \t\r*_]*\n[\s*_]*)-[ ]")
_REASON = re.compile(r"\b(?:because|since|where|when|if|for)\b", re.IGNORECASE)
_CLAUSE = re.compile(r"[,;.?!]\s")
_MAX_SIDES = 20
_ACTION = re.compile(r"^[ \t>*_-]{0,8}action[ \t]{0,2}[0-9]{0,3}[*_]{0,2}:([^\n]*)", re.IGNORECASE | re.MULTILINE)
_NO_WORD = r"(?!(?-i:a\s+[a-z])|I\s+(?:am|believe|can|cannot|do|guess|have|say|think|would)\b)"
_MAX_ACTION = 200
_MAX_DIGITS = 300


def parse_answer(answer_format: str, response: str) -> str | None:
    """The answer in `response`, read by the parser named `answer_format`; raises `UnknownName` for an unknown one."""
    if answer_format not in PARSERS:
        raise UnknownName("answer format", answer_format, PARSERS)
    return PARSERS[answer_format](response)


def text(response: str) -> str | None:
    """The whole response without surrounding white space."""
    return response.strip() or None


def line(response: str) -> str | None:
    """What follows the final-answer marker on its line, or else the last line that is not empty."""
    marked = final_answer(response)
    if marked is None:
        marked = response.strip().rpartition("\n")[2]
    return marked.strip(_DECORATION) or None


def final(response: str) -> str | None:
    """The final answer however many lines it has: inside the last `<answer>` tags, or else all that follows the last
    marker, or else the whole response.
    """
    marker = _last_marker(response)
    if marker is None:
        return text(response)
    return response[marker.end() :].partition("</answer>")[0].strip() or None


def box(response: str) -> str | None:
    r"""The content of the last closed `\boxed{...}`, braces nested to any depth."""
    found = _last_box(response)
    return found[1].strip() or None if found else None


def number(response: str) -> str | None:
    """The marked number, or else the last one: integers, decimals, `1,234`, `-5`, `3/4`, in lowest terms.

    What is marked is one number: a sum that is not worked out (`4+7`, `2^3`, `3 1/2`) is an abstention.
    """
    value = number_value(response)
    return None if value is None else format_number(value)


def choice(response: str) -> str | None:
    """The letter of the option chosen (`B`, `(B)`, `B.`, `Answer: b`), in upper case, `A` to `J`."""
    marked = final_answer(response)
    if marked is not None:
        found = re.match(rf"\W{{0,8}}(?:option\s)?\W{{0,4}}{_NO_WORD}([A-J])(?!\w)", marked, re.IGNORECASE)
        return found[1].upper() if found else None
    if alone := re.fullmatch(r"\W*([A-J])\W*", response, re.IGNORECASE):
        return alone[1].upper()
    bracketed = re.findall(r"\(([A-J])\)|\*\*([A-J])\*\*", response)
    if bracketed:
        return "".join(bracketed[-1])
    if opening := re.match(r"\s*([A-J])[.):](?!\w)", response):
        return opening[1]
    # `I` and the article `a` are words far more often than they are options.
    bare = re.findall(r"(?<![\w'])(?!I\b)(?!A [a-z])([A-J])(?![\w'])", response)
    return bare[-1] if bare else None


def truth(response: str) -> str | None:
    """`true`, `false` or `unknown`: the marked one, or else the last one named."""
    marked = final_answer(response)
    found = re.findall(r"\b(true|false|unknown)\b", (response if marked is None else marked).lower())
    if not found:
        return None
    named: str = found[-1] if marked is None else found[0]
    return named


def path(response: str) -> str | None:
    """Names in order, separated by single spaces: `A -> B, D` on the marked or last line is `A B D`."""
    last = line(response)
    return " ".join(re.findall(r"\w+", last)) or None if last else None


def expression(response: str) -> str | None:
    """An arithmetic expression without spaces, marked or on the last line that has one; `= value` is dropped."""
    marked = final_answer(response)
    for candidate in [marked] if marked is not None else reversed(response.splitlines()):
        plain = _LATEX_SIGN.sub(lambda sign: _SIGNS[sign[1]], candidate).translate(_ASCII_OPERATORS)
        left, _, right = plain.partition("=")
        if re.fullmatch(r"[\s$*]*[0-9]+\s*", left) and re.search(r"[0-9)]\s*[+\-*/]\s*[(0-9]", right):
            left = right.partition("=")[0]  # `91 = 13*7` says the same as `13*7 = 91`
        found = re.findall(r"[0-9(+\-][0-9+\-*/(). ]*", left)
        best = re.sub(r"\s[+\-*/(\s]*\Z", "", max(found, key=len, default="")).replace(" ", "").rstrip(".")
        if re.search(r"[0-9]", best):
            return best
    return None


def json_value(response: str) -> str | None:
    """The last JSON object or array (fenced or bare), re-written with sorted keys, no spaces, and `2.0` as `2`."""
    source = _fenced(response, ("json",)) or response
    value = _decode(source.strip())
    if value is None:
        for value in _json_values(source):  # noqa: B007
            pass
    return value


def program(response: str) -> str | None:
    """The last fenced code block (one marked as Python before others), or the whole response if it is itself code."""
    fenced = _fenced(response, ("python", "py", "python3"))
    if fenced is not None:
        return fenced.strip("\n") or None
    code = response.strip()
    return code if _is_code(code) else None


def sql(response: str) -> str | None:
    """The last fenced query, or the bare text from the first line that begins one, without a final semicolon."""
    fenced = _fenced(response, ("sql", "duckdb"))
    if fenced is None:
        start = _QUERY.search(response)
        fenced = re.split(r";|\n[ \t]*\n", response[start.end() :], maxsplit=1)[0] if start else ""
    return fenced.strip().rstrip(";").rstrip() or None


def maths(response: str) -> str | None:
    r"""A mathematical expression: boxed or marked, or else the last `$...$`, or else the last number."""
    marked = final_answer(response)
    if marked is None:
        dollars = re.findall(r"\$([^$\n]{1,500})\$", response)
        marked = dollars[-1] if dollars else number(response)
    return re.sub(r"\s+", " ", marked).strip(" *`$").rstrip(".") or None if marked is not None else None


def actions(response: str) -> str | None:
    """What the lines `Action: ...` say, as `plain_action` spells it, joined by `; `."""
    return "; ".join(action_lines(response)) or None


PARSERS: Mapping[str, Parser] = {
    "text": text, "line": line, "final": final, "box": box, "number": number, "choice": choice, "truth": truth,
    "path": path, "expression": expression, "json": json_value, "program": program, "sql": sql, "maths": maths,
    "actions": actions,
}  # fmt: skip


def action_lines(response: str) -> list[str]:
    """The actions that a response writes, one `Action: ...` a line, in order; those that say nothing are left out."""
    return [action for line in _ACTION.findall(response) if (action := plain_action(line))]


def plain_action(action: str) -> str:
    """An action in lower case, its words and numbers alone: `search[Red kettle].` is `search red kettle`."""
    return " ".join(re.findall(r"[^\W_]+", action[:_MAX_ACTION].lower()))


def final_answer(response: str) -> str | None:
    r"""What the last marker announces: the rest of its line (or the next line that is not empty), or a `\boxed{}`'s
    content.  `None` if there is no marker; the empty string if nothing follows it.
    """
    boxed = _last_box(response)
    marker = _last_marker(response, -1 if boxed is None else boxed[0])
    if boxed is not None and (marker is None or boxed[0] > marker.start()):
        return boxed[1]
    if marker is None:
        return None
    bullet = _BULLET.match(response, marker.end())
    start = bullet.end() if bullet else marker.end()
    rest = response[start:].lstrip(_DECORATION + ":").partition("\n")[0]
    if inner := _last_box(rest):
        return inner[1]
    return rest.partition("</answer>")[0].strip(_DECORATION)


def _last_marker(response: str, told: int = -1) -> re.Match[str] | None:
    """The last marker that is no heading and no remark: after closed tags, or the place where the answer is `told`
    already, `the answer is` announces one only where a value follows.
    """
    found = [m for m in _MARKER.finditer(response) if not (m["hashes"] and _HEADING.match(response, m.end()))]
    closed = response.rfind("</answer>")
    told = max([told, *(m.start() for m in found if m["tag"] and m.start() < closed)])
    for marker in reversed(found):
        if not marker["prose"] or marker.start() < told or told < 0 or _VALUE.match(response, marker.end()):
            return marker
    return None


def number_value(response: str) -> Fraction | None:
    """The exact value of the marked number (after the last `=` of an equation), or else of the last number.

    `None` where there is no number, or the marked one is only a part of a larger expression.
    """
    marked = final_answer(response)
    if marked is None:
        found = list(_NUMBER.finditer(_plain(response)))
        return _value(found[-1]) if found else None
    candidate = _SIGN.sub(r"\1", _result(_plain(marked)))
    match = _NUMBER.search(candidate)
    if match is None or _AFTER.match(candidate, match.end()) or _BEFORE.search(candidate[: match.start()]):
        return None
    return _value(match)


def _result(marked: str) -> str:
    """What an equation comes to: all behind the last `=` that does not stand in a remark on a number before it.

    The 42 of `x = 6*7 = 42`, of `42 (since x=3)` and of `42, because a=3 and b=39`.
    """
    rest = marked
    for _ in range(_MAX_SIDES):
        left, equals, right = rest.rpartition("=")
        if not equals:
            return rest if _NUMBER.search(rest) else marked.rpartition("=")[2]
        clauses = _CLAUSE.split(left)
        if left.count("(") <= left.count(")") and not _REASON.search(left) and all("=" in c for c in clauses[:-1]):
            return right
        rest = left
    return marked.rpartition("=")[2]


def format_number(value: Fraction) -> str:
    """`93`, `0.75` where the decimal ends within six places, else `1/3`."""
    if value.denominator == 1:
        return str(value.numerator)
    if 10**6 % value.denominator == 0:
        scaled = value.numerator * (10**6 // value.denominator)
        whole, below = divmod(abs(scaled), 10**6)
        return f"{'-' if scaled < 0 else ''}{whole}.{below:06d}".rstrip("0")
    return f"{value.numerator}/{value.denominator}"


_QUERY = re.compile(
    r"""^[ \t]*(?:(?:sql|query|answer)[ \t]*:[ \t]*)?
        (?=select\b|with\s+(?:recursive\s+)?\w+\s+as\b|from\s+\w+\s+select\b)""",
    re.IGNORECASE | re.MULTILINE | re.VERBOSE,
)
_SIGNS = {"times": "*", "cdot": "*", "div": "/", "left": "", "right": ""}
_LATEX_SIGN = re.compile(r"\\(times|cdot|div|left|right)(?![A-Za-z])")
_ASCII_OPERATORS = str.maketrans("\u2212\u2013\u00d7\u00b7\u00f7[]", "--**/()")
_FRACTION = re.compile(r"\\[dt]?frac\s?\{(-?[0-9]{1,100})\}\s?\{([0-9]{1,100})\}")
_MIXED = re.compile(r"(?<=[0-9])(?=\\[dt]?frac)")


def _plain(source: str) -> str:
    ascii_signs = source.replace("\N{MINUS SIGN}", "-").replace("\N{EN DASH}", "-").replace("{,}", ",")
    if "frac" not in ascii_signs:
        return ascii_signs
    return _FRACTION.sub(r"\1/\2", _MIXED.sub(" ", ascii_signs))  # `3\frac{1}{2}` is `3 1/2`, not `31/2`


def _value(match: re.Match[str]) -> Fraction | None:
    if len(match[0]) > _MAX_DIGITS or abs(int((match["exponent"] or "e0")[1:])) > _MAX_DIGITS:
        return None
    value = Fraction(match["digits"].replace(",", "") + (match["exponent"] or ""))
    if match["below"] is not None:
        if int(match["below"]) == 0:
            return None
        value /= int(match["below"])
    return -value if match["sign"] else value


def _last_box(response: str) -> tuple[int, str] | None:
    """Start and content of the last closed box."""
    for opening in reversed(list(_BOX.finditer(response))[-8:]):
        depth = 1
        for i in range(opening.end(), len(response)):
            depth += {"{": 1, "}": -1}.get(response[i], 0)
            if depth == 0:
                return opening.start(), response[opening.end() : i]
    return None


def _fenced(response: str, languages: tuple[str, ...]) -> str | None:
    """The last block between ``` fences, preferring one in `languages`; an unclosed last block runs to the end."""
    parts = response.split("```")
    blocks = [part.partition("\n") for part in parts[1::2]]
    named = [body for language, newline, body in blocks if newline and language.strip().lower() in languages]
    other = [body if newline else language for language, newline, body in blocks if not newline or not language.strip()]
    candidates = named or other
    return candidates[-1] if candidates else None


def _decode(source: str) -> str | None:
    try:
        return _dump(json.loads(source, parse_float=_json_number, parse_constant=_reject))
    except (ValueError, RecursionError):
        return None


def _json_values(source: str) -> Iterator[str]:
    decoder = json.JSONDecoder(parse_float=_json_number, parse_constant=_reject)
    end = 0
    for tried, start in enumerate(re.finditer(r"[{\[]", source)):
        if tried >= 1000:
            return
        if start.start() < end:
            continue
        try:
            value, end = decoder.raw_decode(source, start.start())
            yield _dump(value)
        except (ValueError, RecursionError):
            continue


def _dump(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _json_number(written: str) -> float | int:
    """A whole number is an `int` however it is spelled, so that `2.0` and `2` are one answer."""
    value = float(written)
    return int(value) if value.is_integer() else value


def _reject(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


def _is_code(source: str) -> bool:
    """True for Python that does something: not prose, not a lone word or literal."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return any(not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Name | ast.Constant)) for s in body)
