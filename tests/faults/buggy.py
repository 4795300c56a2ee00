"""`python -m tests.faults.buggy NAME`: a scorer with that bug of `bugs.py`, by its settings."""

import os
import sys

import click

from stream_scorer.config import Settings
from stream_scorer.errors import ScorerError
from tests.faults.altered import run
from tests.faults.bugs import parts_of

if __name__ == "__main__":
    try:
        run(Settings.load(environ=os.environ), parts_of(sys.argv[1]))
    except ScorerError as exc:
        click.echo(f"stream-scorer: {exc}", err=True)
        sys.exit(exc.exit_code)
