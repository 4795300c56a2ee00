"""The command line: finds the command, prints an error as one line, sets the exit code."""

import io
import sys
import traceback
from collections.abc import Sequence

import click

from stream_scorer import __version__, standard_error
from stream_scorer.errors import ScorerError
from stream_scorer.lazy import LazyGroup, ReaderGoneError
from stream_scorer.logs import last_line
from stream_scorer.standard_error import leave

COMMANDS = {
    "run": "stream_scorer.run:run",
    "demo": "stream_scorer.demo:demo",
    "replay": "producer.cli:replay",
    "score": "stream_scorer.offline:score",
    "check": "stream_scorer.check:check",
    "alerts": "stream_scorer.alerts:alerts",
    "dead-letters": "stream_scorer.dead_letters.cli:dead_letters",
    "verify": "stream_scorer.verify.command:verify",
    "monitor": "stream_scorer.monitor.command:monitor",
    "console": "stream_scorer.console.command:console",
    "what-if": "stream_scorer.what_if.command:what_if",
    "model": "models.cli:model",
    "kafka": "stream_scorer.kafka_command:kafka",
}


@click.group(
    cls=LazyGroup,
    places=COMMANDS,
    context_settings={"max_content_width": 100, "show_default": True},
)
@click.version_option(__version__)
def cli() -> None:
    """Score a Kafka topic of transactions with an ONNX model and alert on fraud; lose nothing.

    \b
    stream-scorer demo                       see it work, with a Kafka of its own
    stream-scorer kafka                      a Kafka for trying things, in the foreground
    stream-scorer run                        score; settings are SCORER_... variables
    stream-scorer replay transactions.csv    feed a file in
    stream-scorer alerts --follow            watch
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; a ScorerError is one line on standard error and its exit code."""
    try:
        code = cli.main(arguments, prog_name="stream-scorer", standalone_mode=False)
    except ScorerError as exc:
        last_line(str(exc), exc.exit_code)
        leave(exc.exit_code)
    except click.ClickException as exc:
        text = io.StringIO()
        exc.show(text)
        standard_error.write(text.getvalue())
        leave(exc.exit_code)
    except (click.Abort, KeyboardInterrupt):
        leave(130)
    except ReaderGoneError:  # the reader of our output went away: `... | head`
        sys.stderr.close()
        leave(141)
    except OSError as exc:  # what is not met where it happens: a full disk behind our output
        last_line(f"{exc.filename or 'output'}: {exc.strerror}", 1)
        leave(1)
    except Exception:  # noqa: BLE001 - ours: Python's own last word may wait for ever
        standard_error.write(traceback.format_exc())
        leave(1)
    leave(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
