"""The page as one HTML file: its modules as one script, its style and its data inside, and a policy that names both.

A browser loads no modules from a file:// address.  Each module becomes a function that returns what it exports, called
in the order of the imports; that is all of the language that the page's modules use for imports and exports.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trivium.store.files import json_line

_IMPORT = re.compile(r'^import\s+(?:(\{[^{}]*\})|\*\s+as\s+(\w+))\s+from\s+"\./([\w.-]+)";[ \t]*$', re.MULTILINE)
_EXPORT = re.compile(r"^export\s+((?:async\s+function|function|const|class)\s*\*?\s*)(\w+)", re.MULTILINE)
_LEFT = re.compile(r"^(?:import|export)\b.*|\bimport\s*[(.].*", re.MULTILINE)
_AS = re.compile(r"\s+as\s+")
_SCRIPT = re.compile(r'<script type="module" src="assets/([\w.-]+)"></script>')
_STYLE = re.compile(r'<link rel="stylesheet" href="assets/([\w.-]+)">')
_CHARSET = '<meta charset="utf-8">'


def page(folder: Path, data: Mapping[str, Any]) -> bytes:
    """The page of a folder with answers by address in it; it needs nothing else."""
    html = (folder / "index.html").read_text(encoding="utf-8")
    script, style = _SCRIPT.search(html), _STYLE.search(html)
    if script is None or style is None or _CHARSET not in html:
        raise ValueError(f"{folder}/index.html has no {_SCRIPT.pattern}, {_STYLE.pattern} or {_CHARSET}")
    code, css = bundle(folder, script[1]), (folder / style[1]).read_text(encoding="utf-8")
    for name, text in ((script[1], code), (style[1], css)):
        if re.search(r"</(?:script|style)|<!--", text, re.IGNORECASE):
            raise ValueError(f"{name} holds a tag or a comment of HTML, which would end it inside a page")
    # Cut once and joined once: text of the data is never looked at for a place to put something.
    before, between = html[: script.start()], html[script.end() :]
    before = before.replace(style[0], f"<style>{css}</style>").replace(_CHARSET, f"{_CHARSET}\n{_policy(code, css)}")
    parts = [
        before.encode(), b'<script type="application/json" id="trivium-data">',
        json_line(data).strip().replace(b"<", b"\\u003c"), b"</script>\n<script>", code.encode(), b"</script>",
        between.encode(),
    ]  # fmt: skip
    return b"".join(parts)


def bundle(folder: Path, entry: str) -> str:
    """A module and all it imports as one script."""
    parts: dict[str, str] = {}
    _add(folder, entry, parts, ())
    return '"use strict";\nconst modules = {};\n' + "\n".join(parts.values())


def _add(folder: Path, name: str, parts: dict[str, str], above: tuple[str, ...]) -> None:
    if name in parts:
        return
    if name in above:
        raise ValueError(f"modules import each other: {' -> '.join([*above, name])}")
    code = (folder / name).read_text(encoding="utf-8")
    for _, _, other in _IMPORT.findall(code):
        _add(folder, other, parts, (*above, name))
    exported = [found[2] for found in _EXPORT.finditer(code)]
    code = _EXPORT.sub(r"\1\2", _IMPORT.sub(_bound, code))
    if left := _LEFT.search(code):
        raise ValueError(f"{name}: cannot make one script of this: {left[0]}")
    parts[name] = f"modules[{json.dumps(name)}] = (() => {{\n{code}\nreturn {{ {', '.join(exported)} }};\n}})();"


def _bound(found: re.Match[str]) -> str:
    names, whole, module = found.groups()
    return f"const {_AS.sub(': ', names) if names else whole} = modules[{json.dumps(module)}];"


def _policy(code: str, css: str) -> str:
    script, style = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (code, css))
    rules = (
        f"default-src 'none'; script-src 'sha256-{script}'; style-src 'sha256-{style}'; img-src data:; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'"
    )
    return f'<meta http-equiv="Content-Security-Policy" content="{rules}">'
