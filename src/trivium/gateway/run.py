"""The run folder that a gateway writes into."""

from __future__ import annotations

from pathlib import Path

from trivium.errors import UserError
from trivium.store import Run


def record_at(out: Path, upstream: str | None, key_env: str | None) -> Run:
    """The run in folder `out`, made where there is none.  Only who owns it may read it: it holds what people said.

    Raises UserError for a folder that is something else, or the record of another upstream.
    """
    if not out.exists():
        if upstream is None:
            raise UserError(f"{out} does not exist yet, so say what to record: --upstream http://HOST:PORT/v1")
        run = Run.create(out.parent, out.name, {"verb": "gateway", "upstream": upstream, "key_env": key_env})
        run.path.chmod(0o700)
        return run
    run = Run.open(out)
    if run.verb != "gateway":
        raise UserError(f"{out} is a run of trivium {run.verb}; choose another --out")
    if upstream is not None and run.settings["upstream"] != upstream:
        raise UserError(
            f"{out} is a record of {run.settings['upstream']}; choose another --out, or leave --upstream out to go on"
        )
    return run
