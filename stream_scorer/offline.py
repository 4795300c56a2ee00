"""`stream-scorer score FILE`: each row's probability and decision, by the stream's own core."""

import csv
import heapq
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Column
from rich.table import Table as Grid
from rich.text import Text

from stream_scorer.alerts import why
from stream_scorer.codecs.json import JsonDecoder
from stream_scorer.config import Settings
from stream_scorer.errors import BadInput
from stream_scorer.events import Event, to_event
from stream_scorer.flags import settings_options
from stream_scorer.model import Model
from stream_scorer.policy import Policy
from stream_scorer.records import Headers
from stream_scorer.scorer import Scorer
from stream_scorer.tables import Malformed, Table, open_table

COLUMNS = ("line", "transaction_id", "probability", "decision", "reasons")
RISKIEST = 10  # rows shown in the summary
REASONS_SHOWN = 5  # kinds of rows that could not be scored


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A row in a record's place: the scorer does not know the difference."""

    name: str
    line: int
    event: Event

    def topic(self) -> str:
        return self.name

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self.line

    def key(self) -> None:
        return None

    def value(self) -> bytes:
        return self.event.value

    def headers(self) -> Headers | None:
        return None

    def timestamp(self) -> tuple[int, int]:
        return (0, 0)


@dataclass(frozen=True, slots=True)
class Scored:
    """What became of one row."""

    line: int
    transaction_id: str
    probability: float | None  # None: it could not be scored
    decision: str  # fraud, genuine or not scored
    reasons: str  # why it is a fraud, or why it could not be scored


@dataclass(slots=True)
class Counts:
    """The whole file in figures."""

    fraud: int = 0
    genuine: int = 0
    not_scored: int = 0
    reasons: dict[str, int] = field(default_factory=dict)  # of rows that could not be scored
    riskiest: list[tuple[float, int, Scored]] = field(default_factory=list)  # a heap

    def add(self, row: Scored) -> None:
        """Count one row."""
        if row.probability is None:
            self.not_scored += 1
            self.reasons[row.reasons] = self.reasons.get(row.reasons, 0) + 1
            return
        self.fraud += row.decision == "fraud"
        self.genuine += row.decision == "genuine"
        entry = (row.probability, -row.line, row)  # no two rows have one line
        if len(self.riskiest) < RISKIEST:
            heapq.heappush(self.riskiest, entry)
        else:
            heapq.heappushpop(self.riskiest, entry)


@click.command()
@click.argument("file")
@click.option("-o", "--output", help="Write every row's result as CSV; - is standard output.")
@click.option("--json", "as_json", is_flag=True, help="The summary as JSON.")
@settings_options("model", "model_sha256", "threshold", "max_batch_rows")
def score(*, file: str, output: str | None, as_json: bool, settings: Settings) -> int:
    """Score a CSV, XLSX, XLS or Parquet FILE (- is CSV on standard input), without Kafka.

    \b
    Example: stream-scorer score transactions.csv -o scored.csv

    Probabilities and decisions are the stream's own. Columns are found by name, in any order.
    """
    model = Model.load(settings.model, sha256=settings.model_sha256, setting="SCORER_MODEL")
    decoder = JsonDecoder(model.feature_names)
    scorer = Scorer(
        model=model,
        decoder=decoder,
        threshold=settings.threshold,
        cluster_id="",
        policy=Policy.of(settings, model.feature_names),
    )
    counts = Counts()
    console = Console(stderr=True)
    with ExitStack() as stack:
        table = stack.enter_context(open_table(file))
        require_columns(table, model)
        write = stack.enter_context(writer(output, file)) if output else ignore
        progress = stack.enter_context(Progress(console=console, disable=not console.is_terminal))
        task = progress.add_task(f"scoring {table.name}", total=table.records.size)
        for rows in score_batches(scorer, table, settings.max_batch_rows):
            for row in rows:
                counts.add(row)
                write(row)
            progress.update(task, completed=table.records.position())
    summary = summarize(counts, file, model, settings.threshold)
    if as_json:
        click.echo(json.dumps(summary), err=output == "-")
    else:
        Console(stderr=output == "-").print(*as_tables(summary), sep="\n")
        if not output:
            click.echo(f"Next: stream-scorer score {file} -o scored.csv   (every row)")
    if not counts.fraud + counts.genuine:
        raise BadInput(f"{table.name}: no row could be scored")
    return 0


def require_columns(table: Table, model: Model) -> None:
    """Raise BadInput unless every feature of the model has a column; the order does not matter."""
    missing = [name for name in model.feature_names if name not in table.columns]
    if missing:
        raise BadInput(
            f"{table.name} lacks {', '.join(missing)}: model {model.name} {model.version} wants "
            f"{', '.join(model.feature_names)}; found {', '.join(table.columns)}"
        )


def score_batches(
    scorer: Scorer, table: Table, size: int, *, stem: str = ""
) -> Iterator[list[Scored]]:
    """Yield the results of `size` rows at a time, in the file's order.

    `stem` names rows without an id; empty: the file's own.
    """
    stem = stem or ("stdin" if table.name == "standard input" else Path(table.name).stem)
    remaining = iter(table)
    while rows := list(islice(remaining, size)):
        events = [row if isinstance(row, Malformed) else to_event(row, stem=stem) for row in rows]
        records = [
            FileRecord(table.name, line.line, event)
            for line, event in zip(rows, events, strict=True)
            if isinstance(event, Event)
        ]
        results = score_records(scorer, records)
        yield [
            Scored(event.line, "", None, "not scored", event.reason)
            if isinstance(event, Malformed)
            else next(results)
            for event in events
        ]


def score_records(scorer: Scorer, records: Sequence[FileRecord]) -> Iterator[Scored]:
    """Yield the result of each record, in order."""
    outcome = scorer(records)
    rejects = {letter.record.offset(): letter.reject for letter in outcome.dead_letters}
    alerts = {alert.record.offset(): alert.value for alert in outcome.alerts}
    probabilities = iter(outcome.probability.tolist())
    for record in records:
        line, transaction_id = record.line, record.event.transaction_id
        if line in rejects:
            text = f"{rejects[line].code}: {rejects[line].reason}"
            yield Scored(line, transaction_id, None, "not scored", text)
        elif line in alerts:
            reasons = why(json.loads(alerts[line]))
            yield Scored(line, transaction_id, next(probabilities), "fraud", reasons)
        else:
            yield Scored(line, transaction_id, next(probabilities), "genuine", "")


@contextmanager
def writer(output: str, source: str) -> Iterator[Callable[[Scored], object]]:
    """Give a function that writes one result as a line of CSV; `-` is standard output.

    Raises BadInput if that cannot be written, or is the file that is read.
    """
    if Path(output).exists() and Path(source).exists() and Path(output).samefile(source):
        raise BadInput(f"--output {output} is the file that is read: want another")
    try:
        with ExitStack() as stack:
            file: TextIO = (
                sys.stdout
                if output == "-"
                else stack.enter_context(Path(output).open("w", encoding="utf-8", newline=""))
            )
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(COLUMNS)
            yield lambda row: rows.writerow(
                (
                    row.line,
                    row.transaction_id,
                    "" if row.probability is None else repr(row.probability),
                    row.decision,
                    row.reasons,
                )
            )
    except BrokenPipeError:
        raise  # the reader of our output has enough
    except OSError as exc:
        raise BadInput(f"--output {output}: {exc.strerror}") from exc


def ignore(_: Scored) -> None:
    """Write nothing."""


def summarize(counts: Counts, file: str, model: Model, threshold: float) -> dict[str, Any]:
    """Return the summary as it is printed by --json."""
    riskiest = [row for _, _, row in sorted(counts.riskiest, reverse=True)]
    return {
        "file": file,
        "model": {"name": model.name, "version": model.version, "sha256": model.sha256},
        "threshold": threshold,
        "rows": counts.fraud + counts.genuine + counts.not_scored,
        "fraud": counts.fraud,
        "genuine": counts.genuine,
        "not_scored": counts.not_scored,
        "not_scored_reasons": counts.reasons,
        "riskiest": [asdict(row) for row in riskiest],
    }


def as_tables(summary: dict[str, Any]) -> Iterator[Grid]:
    """Yield the summary as tables: the counts, the riskiest rows, what could not be scored."""
    counts = Grid("rows", "fraudulent", "genuine", "not scored", "threshold", "model", box=None)
    model = summary["model"]
    keys = ("rows", "fraud", "genuine", "not_scored", "threshold")
    counts.add_row(*(str(summary[key]) for key in keys), f"{model['name']} {model['version']}")
    yield counts
    columns = (Column(name, no_wrap=True) for name in ("line", "transaction", "probability"))
    riskiest = Grid(*columns, "decision", "why", box=None)
    for row in summary["riskiest"]:
        shown = (row["line"], row["transaction_id"], f"{row['probability']:.4f}", row["decision"])
        riskiest.add_row(*(Text(str(each)) for each in shown), Text(row["reasons"]))
    yield riskiest
    if summary["not_scored"]:
        refused = Grid("rows", "could not be scored because", box=None)
        reasons = Counter(summary["not_scored_reasons"]).most_common(REASONS_SHOWN)
        for reason, count in reasons:
            refused.add_row(str(count), Text(reason))
        rest = summary["not_scored"] - sum(count for _, count in reasons)
        if rest:
            refused.add_row(str(rest), "something else: every row with -o")
        yield refused
