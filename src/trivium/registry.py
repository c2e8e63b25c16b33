"""Names on the command line to objects: `vote:n=8`, `gym:countdown`, `tiny:1M`, `file:rows.csv,question=q`.

A spec is `name[:item,item,...]`; an item is `key=value` or, first only, a bare value.  The factory's own signature is
the schema: keys are checked against it, values are converted by its annotations, and a wrong one is answered with the
nearest right one.
"""

from __future__ import annotations

import importlib
import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from trivium.errors import UnknownName, UserError

T = TypeVar("T")
_KEY = re.compile(r"[a-z_][a-z0-9_]*=")


@dataclass(frozen=True)
class Registry(Generic[T]):
    """Factories by name, imported when first asked for.

    `where` maps a name to `module:attribute`.  The first line of the factory's docstring is its summary.
    """

    kind: str
    where: dict[str, str] = field(default_factory=dict)

    def names(self) -> list[str]:
        return sorted(self.where)

    def factory(self, name: str) -> Callable[..., T]:
        if name not in self.where:
            raise UnknownName(self.kind, name, self.where, f"See: trivium list {self.plural}")
        module, attribute = self.where[name].split(":")
        made: Callable[..., T] = getattr(importlib.import_module(module), attribute)
        return made

    @property
    def plural(self) -> str:
        return self.kind[:-1] + "ies" if self.kind.endswith("y") else self.kind + "s"

    def summary(self, name: str) -> str:
        return (inspect.getdoc(self.factory(name)) or "").partition("\n")[0]

    def build(self, spec: str, **extra: Any) -> T:
        """Make the object a spec describes.  `extra` are arguments the program supplies; a spec may not set them."""
        name, args, options = parse_spec(spec)
        factory = self.factory(name)
        args, options = check_options(f"{self.kind} {name}", factory, args, options, exclude=extra)
        return factory(*args, **options, **extra)


def parse_spec(spec: str) -> tuple[str, list[str], dict[str, str]]:
    """`name:a,k=v` to `("name", ["a"], {"k": "v"})`."""
    name, _, rest = spec.strip().partition(":")
    if not name:
        raise UserError(f"empty name in {spec!r}; expected NAME or NAME:option=value,...")
    args: list[str] = []
    options: dict[str, str] = {}
    for item in filter(None, (part.strip() for part in rest.split(","))):
        if _KEY.match(item):
            key, _, value = item.partition("=")
            if key in options:
                raise UserError(f"option {key!r} is given twice in {spec!r}")
            options[key] = value
        elif options or args:
            raise UserError(f"cannot read {item!r} in {spec!r}; expected option=value")
        else:
            args.append(item)
    return name, args, options


def format_spec(name: str, options: Mapping[str, Any], args: Sequence[Any] = ()) -> str:
    """The inverse of `parse_spec`; `format_spec("gym", {"size": 3}, ["sudoku"])` is `gym:sudoku,size=3`."""
    items = [*map(str, args), *(f"{k}={v}" for k, v in options.items())]
    return name + (":" + ",".join(items) if items else "")


def check_options(
    what: str, factory: Callable[..., Any], args: list[str], options: Mapping[str, str], exclude: Mapping[str, Any] = {}
) -> tuple[list[Any], dict[str, Any]]:
    """Convert textual options by the factory's annotations; unknown names and values get a message, not a traceback."""
    parameters = {
        k: p for k, p in inspect.signature(factory).parameters.items() if k not in exclude and not k.startswith("_")
    }
    hints = typing.get_type_hints(factory.__init__ if inspect.isclass(factory) else factory)
    positional = [k for k, p in parameters.items() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if len(args) > len(positional):
        raise UserError(f"{what} takes no bare value, got {args[len(positional)]!r}; options: {_listed(parameters)}")
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())  # the factory checks such keys itself
    parameters = {k: p for k, p in parameters.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
    for key in options:
        if key not in parameters and not open_ended:
            raise UnknownName(f"option of {what}:", key, parameters)
    given = dict(zip(positional, args, strict=False))
    if both := given.keys() & options.keys():
        raise UserError(f"{what}: {both.pop()} is given twice")
    missing = [
        k for k, p in parameters.items()
        if p.default is p.empty and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL) and k not in given and k not in
        options
    ]  # fmt: skip
    if missing:
        written = ",".join(f"{k}=VALUE" for k in missing)
        raise UserError(f"{what} needs {' and '.join(missing)}; write it as {what.split()[-1]}:{written}")
    made = {k: _convert(what, k, v, hints.get(k, str)) for k, v in (given | dict(options)).items()}
    return [made.pop(k) for k in given], made


def _listed(parameters: Mapping[str, Any]) -> str:
    return ", ".join(parameters) or "none"


def _convert(what: str, key: str, text: str, hint: Any) -> Any:
    options = (
        typing.get_args(hint)
        if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union
        else (hint,)
    )
    if text == "none" and type(None) in options:
        return None
    if typing.get_origin(hint) is typing.Literal:
        if text not in typing.get_args(hint):
            raise UnknownName(f"value of {what} {key}:", text, typing.get_args(hint))
        return text
    for kind in options:
        try:
            if kind is bool:
                return {"true": True, "false": False, "1": True, "0": False}[text.lower()]
            if kind in (int, float, str):
                return kind(text)
        except (ValueError, KeyError):
            continue
    wanted = " or ".join(getattr(o, "__name__", str(o)) for o in options if o is not type(None))
    raise UserError(f"{what}: {key}={text!r} is not a valid {wanted}")
