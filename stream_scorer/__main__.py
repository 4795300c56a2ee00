"""`python -m stream_scorer` is `stream-scorer`."""

from stream_scorer.cli import main

main()
