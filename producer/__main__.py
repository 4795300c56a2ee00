"""Run `stream-scorer replay` as `python -m producer`."""

import sys

from stream_scorer.cli import main

main(["replay", *sys.argv[1:]])
