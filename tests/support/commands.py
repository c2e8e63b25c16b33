"""The command line as a process of its own."""

from __future__ import annotations

import sys

TRIVIUM = [sys.executable, "-c", (
    "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "runpy.run_module('trivium', run_name='__main__')"
)]  # fmt: skip
"""`python -m trivium`; Ctrl-C reaches it even where the tests run in a shell's background, whose children ignore it."""
