"""The results as a Markdown table with what it takes to make it again."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import confluent_kafka

from stream_scorer.errors import BadInput
from stream_scorer.kafka_jars import KAFKA_VERSION
from tests.faults.ordinary import Shown
from tests.faults.registry import BOTH, Row
from tests.faults.verifier import Result

BEGIN, END = "<!-- faults -->", "<!-- /faults -->"
NO_CELLS = " | ".join("" for _ in range(3))


@dataclass(frozen=True)
class Finished:
    """A row with one guarantee, done: what was found, or what broke it off."""

    row: Row
    guarantee: str
    seconds: float
    result: Result | None
    error: str = ""

    @property
    def holds(self) -> bool:
        """Tell whether every invariant held and nothing broke the row off."""
        return not self.error and self.result is not None and not self.result.broken


def as_markdown(
    finished: Sequence[Finished],
    shown: Sequence[Shown],
    not_run: Mapping[str, str],
    *,
    made_by: str,
) -> str:
    """Return both tables, with versions; `made_by` is the command, the days and the commits."""
    by_row: dict[str, dict[str, Finished]] = {}
    for each in finished:
        by_row.setdefault(each.row.id, {})[each.guarantee] = each
    library, _ = confluent_kafka.libversion()
    made_by = (
        f"{made_by}: Apache Kafka {KAFKA_VERSION}, confluent-kafka "
        f"{confluent_kafka.__version__} (librdkafka {library}), Python "
        f"{platform.python_version()}, {platform.machine()}. Recovery: 95th percentile of the "
        "seconds until every partition had moved on."
    )
    outer = " | ".join(f"{each.replace('-', ' ')}: lost | repeated | recovery" for each in BOTH)
    lines = [made_by]
    if by_row:
        lines += ["", f"| row | fault | {outer} |", "|---" * 8 + "|"]
    for name, cells in sorted(by_row.items()):
        title = next(iter(cells.values())).row.title
        figures = " | ".join(cells_of(cells.get(guarantee)) for guarantee in BOTH)
        lines.append(f"| {name} | {title} | {figures} |")
    if shown:
        lines += ["", "| row | input or fault | shown by | result |", "|---" * 4 + "|"]
        lines += [
            f"| {each.row.id} | {each.row.title} | {each.shown_by} | "
            f"{each.found if each.holds else '**broken**'} |"
            for each in sorted(shown, key=lambda one: one.row.id)
        ]
    if not_run:
        lines += ["", "Not run:"]
        lines += [f"- {name}: {reason}" for name, reason in sorted(not_run.items())]
    return "\n".join(lines) + "\n"


def cells_of(finished: Finished | None) -> str:
    """Return the three cells of one row with one guarantee."""
    if finished is None:
        return NO_CELLS
    if not finished.holds or finished.result is None:
        return "**broken** | | "
    result = finished.result
    took = result.recover_p95_s
    recovery = "" if took is None else f"{took:.1f} s"
    return f"{result.lost} | {result.repeated} | {recovery}"


def write(path: Path, table: str) -> None:
    """Put the table between the marks in a file, or into a file of its own where there is none."""
    if not path.exists():
        path.write_text(table, encoding="utf-8")
        return
    text = path.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise BadInput(f"{path} has no {BEGIN} and {END}: want both, or a file that is not there")
    before, rest = text.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    path.write_text(f"{before}{BEGIN}\n{table}{END}{after}", encoding="utf-8")
