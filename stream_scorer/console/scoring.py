"""`python -m stream_scorer.console.scoring`: scores one uploaded file, in a process of its own.

A file may be anything: here it takes neither the pages' time nor their memory, and can be killed.
Rows go to a file as lines of JSON; how far it is, and at the end the summary, to standard output.
"""

import json
import resource
import sys
import zipfile
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from stream_scorer.codecs.json import JsonDecoder
from stream_scorer.errors import BadInput, ScorerError
from stream_scorer.model import Model
from stream_scorer.offline import require_columns, score_batches
from stream_scorer.scorer import Scorer
from stream_scorer.tables import open_table

ROWS, MOST_ROWS, MOST_COLUMNS, BINS = 512, 2_000_000, 2_000, 20
# Bytes: of a sheet once unpacked, and of all this process may take.
UNPACKED, MEMORY = 1_000_000_000, 6_000_000_000
# Kinds of rows that could not be scored which the summary tells.
REASONS = 20


def main() -> int:
    """Score the file of the first argument, named as the second, into the third; return 0 or 1."""
    path, name, output, model, threshold = sys.argv[1:6]
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    try:
        score(Path(path), name, Path(output), Path(model), float(threshold))
    except ScorerError as exc:
        tell(problem=str(exc).replace(path, name))
        return 1
    except MemoryError:
        tell(problem=f"{name} takes more than {MEMORY // 10**9} GB of memory")
        return 1
    return 0


def score(path: Path, name: str, output: Path, model_file: Path, threshold: float) -> None:
    """Write every row's result; raise BadInput for a file that cannot be scored."""
    if path.suffix == ".xlsx":
        check_unpacked(path, name)
    model = Model.load(model_file, setting="SCORER_MODEL")
    scorer = Scorer(
        model=model,
        decoder=JsonDecoder(model.feature_names),
        threshold=threshold,
        cluster_id="",
    )
    histogram, decisions, problems = [0] * BINS, Counter[str](), Counter[str]()
    with open_table(str(path)) as table, output.open("w", encoding="utf-8") as rows:
        if len(table.columns) > MOST_COLUMNS:
            raise BadInput(f"{name} has {len(table.columns)} columns: want {MOST_COLUMNS} at most")
        require_columns(table, model)
        for batch in score_batches(scorer, table, ROWS, stem=Path(name).stem):
            for row in batch:
                decisions[row.decision] += 1
                if row.probability is None:
                    problems[row.reasons[:200]] += 1
                else:
                    histogram[min(BINS - 1, int(row.probability * BINS))] += 1
                shown = (row.line, row.transaction_id, row.probability, row.decision, row.reasons)
                rows.write(json.dumps(shown) + "\n")
            if decisions.total() > MOST_ROWS:
                raise BadInput(f"{name} has more than {MOST_ROWS:,} rows: want smaller files")
            size = table.records.size
            tell(progress=table.records.position() / size if size else 0.0)
        extra = [each for each in table.columns if each not in model.feature_names]
    if not decisions["fraud"] + decisions["genuine"]:
        why = problems.most_common(1)[0][0] if problems else "it has none"
        raise BadInput(f"{name}: no row could be scored: {why}")
    tell(
        summary={
            "rows": decisions.total(),
            "fraud": decisions["fraud"],
            "genuine": decisions["genuine"],
            "not_scored": decisions["not scored"],
            "problems": dict(problems.most_common(REASONS)),
            "histogram": histogram,
            "threshold": threshold,
            "model": {"name": model.name, "version": model.version, "sha256": model.sha256},
            "other_columns": extra[:100],
        }
    )


def check_unpacked(path: Path, name: str) -> None:
    """Raise BadInput for a sheet that unpacks to too much, before any of it is."""
    with suppress(zipfile.BadZipFile), zipfile.ZipFile(path) as sheet:
        size = sum(each.file_size for each in sheet.infolist())
        if size > UNPACKED:
            raise BadInput(
                f"{name} unpacks to {size / 10**9:.1f} GB: want {UNPACKED / 10**9:.0f} at most"
            )


def tell(**said: Any) -> None:  # noqa: ANN401 - what JSON holds
    """Say something to the console, as one line."""
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
