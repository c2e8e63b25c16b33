"""`trivium key`: the API keys of `trivium serve`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import typer

from trivium.cli.output import print_columns, print_json
from trivium.errors import UnknownName, UserError

ACTIONS = ("create", "list", "revoke")


def command(
    action: str = typer.Argument(..., help="One of: " + ", ".join(ACTIONS) + "."),
    name: str | None = typer.Argument(None, help="Whose key it is; for create and revoke."),
    requests_per_minute: int | None = typer.Option(None, min=1, help="For create: default no limit."),
    tokens_per_day: int | None = typer.Option(None, min=1, help="For create: read and sampled; default no limit."),
    keys: Path | None = typer.Option(None, help="File of the keys; default: in the user's configuration."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Create an API key (shown once, kept as a hash), list them, or revoke one.

    A server that found the file of keys when it started notices at once; one that was started without it asks for no
    key until it is started again.
    """
    if action not in ACTIONS:
        raise UnknownName("action", action, ACTIONS)
    from trivium.serve.keys import KeyFile, default_path

    file = KeyFile(keys or default_path())
    if action != "create" and (requests_per_minute or tokens_per_day):
        raise UserError(f"trivium key {action} takes no limits; they are given to create")
    if action == "list":
        if name is not None:
            raise UserError("trivium key list takes no name")
        rows = [{k: v for k, v in asdict(key).items() if k != "hash"} for key in file.keys()]  # noqa: SIM118
        if as_json:
            print_json(rows)
            return
        print_columns((str(row["name"]), _described(row)) for row in rows)
        return
    if name is None:
        raise UserError(f"trivium key {action} needs a name: trivium key {action} NAME")
    if action == "revoke":
        file.revoke(name)
        said = f"{name} may not come in any more"
        print_json({"name": name, "revoked": True}) if as_json else print(said)
        return
    secret = file.create(name, requests_per_minute, tokens_per_day)
    if as_json:
        print_json({"name": name, "key": secret})
    else:
        print(f"{secret}\nThis is the only time it is shown; {file.path} keeps a hash of it.")


def _described(row: dict[str, object]) -> str:
    limits = [f"{row[k]:,} {k.replace('_', ' ').replace(' per ', ' a ')}"
              for k in ("requests_per_minute", "tokens_per_day") if row[k] is not None]  # fmt: skip
    state = f"revoked {row['revoked']}" if row["revoked"] else f"since {row['created']}"
    return ", ".join([state, *limits])
