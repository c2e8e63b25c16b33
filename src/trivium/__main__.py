"""`python -m trivium`: the same command line."""

import sys

from trivium.cli.main import run

sys.argv[0] = "trivium"  # what a run writes down as its command
run()
