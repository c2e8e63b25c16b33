"""Many clients of a server at once, as cheap as they can be: what is measured is the server.

`python -m benchmarks.clients` reads one line of JSON, `{"address": ..., "bodies": [...]}`, asks for every body at once
on a connection of its own, and answers with one line: seconds from the first byte sent to the last received, the usage
of each reply, seconds to each first piece, and what went wrong.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

Facts = dict[str, Any]


async def ask(host: str, port: int, path: str, body: Facts) -> Facts:
    """One request: `usage`, `first` (seconds until the first piece), and `error` where there is no whole answer."""
    data = json.dumps(body).encode()
    began = time.perf_counter()
    try:
        reader, writer = await asyncio.open_connection(host, port, limit=1 << 20)
        head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nConnection: close\r\n"
        writer.write(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
        status = int((await reader.readline()).split()[1])
        while (await reader.readline()).strip():
            pass
        first, usage, whole = 0.0, None, not body.get("stream")
        async for line in reader:
            if b"{" in line:
                first = first or time.perf_counter() - began
                # Nearly all lines are pieces, and only the last one with JSON has numbers in its usage.
                if b'"usage":{' in line:
                    usage = json.loads(line.removeprefix(b"data: "))["usage"]
            whole = whole or line.startswith(b"data: [DONE]")
        writer.close()
    except (OSError, ValueError, IndexError) as error:
        return {"usage": None, "first": 0.0, "error": f"{type(error).__name__}: {error}"}
    error = "" if status == 200 and whole and usage else f"status {status}, {'whole' if whole else 'cut off'}"
    return {"usage": usage, "first": first, "error": error}


async def all_at_once(address: str, bodies: Sequence[Facts]) -> Facts:
    """The facts of one answer line."""
    where = urlsplit(address)
    path = f"{where.path}/chat/completions"
    began = time.perf_counter()
    replies = await asyncio.gather(*(ask(where.hostname or "", where.port or 80, path, body) for body in bodies))
    seconds = time.perf_counter() - began
    return {
        "seconds": seconds, "usage": [reply["usage"] for reply in replies],
        "first": [reply["first"] for reply in replies],
        "errors": sorted({reply["error"] for reply in replies} - {""}),
    }  # fmt: skip


if __name__ == "__main__":
    asked = json.loads(sys.stdin.readline())
    print(json.dumps(asyncio.run(all_at_once(asked["address"], asked["bodies"]))))
