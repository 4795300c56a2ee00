"""`python -m stream_scorer.workers.worker`: one scorer of several; ends with its supervisor.

Settings come as JSON on the first line of standard input, so that no secret is in an argument or a
variable; when the pipe closes, the supervisor has ended and so does this. The port of its metrics
goes out by the file descriptor of the first argument; the second is its number.
"""

import os
import signal
import sys
import threading
import traceback

from pydantic import ValidationError

from stream_scorer import standard_error
from stream_scorer.config import Settings, explain
from stream_scorer.errors import ScorerError
from stream_scorer.logs import last_line
from stream_scorer.run import work


def main() -> int:
    """Score until a signal; return the exit code."""
    told, number = int(sys.argv[1]), int(sys.argv[2])
    line = sys.stdin.readline()

    def tell(port: int) -> None:
        os.write(told, f"{port}\n".encode())
        os.close(told)

    threading.Thread(target=end_with_supervisor, daemon=True).start()
    try:
        settings = Settings.model_validate_json(line)
        work(settings, listening=tell, worker=number)
    except ValidationError as exc:
        last_line(f"worker {number}: {explain(exc.errors()[0])}", 1)
        return 1
    except ScorerError as exc:
        last_line(f"worker {number}: {exc}", exc.exit_code)
        return exc.exit_code
    except Exception:  # noqa: BLE001 - ours: Python's own last word may wait for ever
        standard_error.write(traceback.format_exc())
        return 1
    return 0


def end_with_supervisor() -> None:
    """End as at SIGTERM once nobody holds the other end of standard input."""
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    standard_error.leave(main())
