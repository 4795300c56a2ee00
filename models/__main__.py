"""Make `python -m models train ...` the same command as `stream-scorer model train ...`."""

import sys

from stream_scorer.cli import main

if __name__ == "__main__":
    main(["model", *sys.argv[1:]])
