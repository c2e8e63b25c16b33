"""`python -m trivium`: the same command line."""

from trivium.cli.main import run

run()
