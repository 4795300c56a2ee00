"""Writes the reference from the code, so that it cannot say something else."""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click
from prometheus_client import CollectorRegistry

from stream_scorer import certificates
from stream_scorer.cli import cli
from stream_scorer.config import SHIPPED_MODEL, Settings
from stream_scorer.metrics import Metrics
from stream_scorer.model import Model
from stream_scorer.monitor.board import Board

README = Path(__file__).parents[1] / "README.md"
SCHEMAS = Path(__file__).parent / "schemas"


def write(folder: Path) -> None:
    """Write all pages."""
    folder.mkdir(exist_ok=True)
    for name, text in (
        ("settings", settings()),
        ("metrics", metrics()),
        ("commands", commands()),
        ("codes", codes()),
        ("records", records()),
    ):
        (folder / f"{name}.md").write_text(text)


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table in Markdown."""
    columns = list(head)
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def settings() -> str:
    """Return each setting with its variable, default and meaning."""
    rows = []
    for name, field in Settings.model_fields.items():
        default = field.get_default(call_default_factory=True)
        shown = "" if default in ("", None, {}) or name == "model" else f"`{default}`"
        rows.append((f"`SCORER_{name.upper()}`", shown, field.description or ""))
    note = (
        "Environment, then a TOML file (`--config`; names in small letters without `SCORER_`), "
        "then flags: the later wins. `SCORER_<NAME>_FILE` reads a value from a file. Any "
        "librdkafka key is `SCORER_KAFKA_<KEY>`, for one side `SCORER_KAFKA_CONSUMER_<KEY>` or "
        "`SCORER_KAFKA_PRODUCER_<KEY>`."
    )
    return f"# Settings\n\n{note}\n\n{table(('setting', 'default', 'meaning'), rows)}\n"


def metrics() -> str:
    """Return each metric of `run` and of `monitor`."""
    scorer, monitor = CollectorRegistry(), CollectorRegistry()
    Metrics(scorer, Model.load(SHIPPED_MODEL))
    certificates.gauge(scorer)
    Board(monitor, top_k=100)
    parts = ["# Metrics"]
    for title, registry in (("Of `run`", scorer), ("Of `monitor`", monitor)):
        suffix = {"counter": "_total", "info": "_info"}
        rows = [
            (f"`{each.name}{suffix.get(each.type, '')}`", each.type, each.documentation)
            for each in registry.collect()
            if each.name.startswith(("scorer_", "monitor_"))
        ]
        parts += [f"## {title}", table(("metric", "kind", "what it is"), rows)]
    return "\n\n".join(parts) + "\n"


def commands() -> str:
    """Return the help of each command."""
    parts = ["# Commands", "Exit codes are with the [codes](codes.md)."]
    for name, command in walk(cli, "stream-scorer"):
        context = click.Context(command, info_name=name, max_content_width=100)
        parts += [f"## `{name}`", f"```text\n{command.get_help(context)}\n```"]
    return "\n\n".join(parts) + "\n"


def walk(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    """Yield each command below a group, by its whole name."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None:
            continue
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from walk(command, f"{path} {name}")


def codes() -> str:
    """Return what exit codes, and codes of dead letters, mean."""
    exits = (
        ("0", "done; `run`: after a signal, all that was scored is committed"),
        ("1", "a setting, file, model or Kafka is in the way: the last line says which"),
        ("2", "wrong usage"),
        ("3", "`run`: the fuse has blown; `verify`: a source or a model is not there"),
        ("130", "Ctrl-C in a command that is not `run`"),
        ("141", "the reader of the output went away"),
        ("143", "SIGTERM before `run` had begun"),
    )
    letters = (
        ("`DECODE`", "no JSON, not UTF-8, or an empty value"),
        ("`SCHEMA`", "another format, or a schema that cannot be used"),
        ("`TOMBSTONE`", "no value; `SCORER_TOMBSTONES=skip` passes over it"),
        ("`MISSING`", "a feature lacks"),
        ("`TYPE`", "a feature is no number"),
        ("`NONFINITE`", "NaN or infinity, in the record or as its score"),
        ("`RANGE`", "too large for a float64, or beyond `SCORER_LIMITS`"),
        ("`LIMIT`", "beyond `SCORER_LARGEST_RECORD_BYTES`, or nested too deeply"),
        ("`DUPLICATE`", "a key stands twice, with `SCORER_DUPLICATE_KEYS=reject`"),
        ("`HEADERS`", "a header's name is not UTF-8"),
        ("`UNREADABLE`", "a batch that cannot be unpacked, with `SCORER_UNREADABLE=dead-letter`"),
    )
    return (
        f"# Codes\n\n## Exit codes\n\n{table(('code', 'means'), exits)}\n\n"
        f"## Codes of dead letters\n\n{table(('`dlq.code`', 'means'), letters)}\n"
    )


def records() -> str:
    """Return what each topic holds: the schemas, with README's example of an alert."""
    text = README.read_text()
    (alert, *_) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    promise = (
        "Fields may be added; none goes, or changes its meaning, within a `schema_version`. In "
        "Avro an alert has the same fields (`docs/schemas/alert.avsc`)."
    )
    parts = ["# Records", promise, f"An alert:\n\n```json\n{alert}```"]
    for file in sorted(SCHEMAS.glob("*.schema.json")):
        schema = json.loads(file.read_text())
        parts += [
            f"## {schema['title']}",
            schema["description"],
            table(("field", "type", "what it is"), fields(schema)),
            f"`docs/schemas/{file.name}`",
        ]
    letter = (
        "The record's own key, value, headers and timestamp, and headers that begin with `dlq.`: "
        "`version`, `id`, `source.topic`, `source.partition`, `source.offset`, "
        "`source.timestamp`, `group`, `stage`, `code`, `reason`, `failed_at`, `app`, "
        "`model_sha256`, `attempt`, `payload`, `payload_sha256`, `payload_bytes`."
    )
    parts += ["## Dead letter", letter]
    return "\n\n".join(parts) + "\n"


def fields(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield name, type and description of each field, those of objects in it as well."""
    for name, each in schema["properties"].items():
        kind = each.get("type", "")
        if "const" in each:
            kind = f"`{each['const']}`"
        elif "enum" in each:
            kind = ", ".join(f"`{json.dumps(value)}`" for value in each["enum"])
        elif isinstance(kind, list):
            kind = " or ".join(kind)
        yield f"`{path}{name}`", kind, each.get("description", "")
        inner = each.get("items", each)
        if inner.get("properties"):
            yield from fields(inner, f"{path}{name}{'[]' if 'items' in each else ''}.")
