"""`python -m tests.faults`: runs the rows, prints a CHECK line each, writes the table."""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from stream_scorer.errors import BadInput, ScorerError
from tests.faults.disk import why_not as why_no_disk
from tests.faults.kept import Kept, commit_here
from tests.faults.ordinary import ROWS as ORDINARY
from tests.faults.ordinary import Ordinary, Shown, run_ordinary
from tests.faults.planted import plant_all
from tests.faults.registry import NOT_HERE, Row, all_rows
from tests.faults.runner import Scale, run_rows
from tests.faults.table import Finished, as_markdown, write

QUICK_RECORDS, RECORDS = 20_000, 200_000


@dataclass(frozen=True)
class Chosen:
    """What is run, and what is not, by the reason."""

    faults: Sequence[tuple[Row, str]]  # each with each of its guarantees
    ordinary: Sequence[Ordinary]
    not_run: dict[str, str]


def choose(only: str, guarantee: str) -> Chosen:
    """Return the rows asked for; raise BadInput for others."""
    rows, ordinary = all_rows(), {row.id: row for row in ORDINARY}
    known = sorted({*rows, *ordinary})
    names = only.split(",") if only else known
    unknown = [name for name in names if name not in known]
    if unknown:
        raise BadInput(f"--only names {unknown[0]!r}: want some of {','.join(known)}")
    disks = [name for name in names if name in rows and rows[name].small_disk]
    not_run = dict.fromkeys(disks, why) if disks and (why := why_no_disk()) else {}
    not_run |= {
        name: why for name in names if name in ordinary and (why := ordinary[name].why_not())
    }
    pairs = [(rows[name], each) for name in names if name in rows for each in rows[name].guarantees]
    chosen = Chosen(
        [(row, each) for row, each in pairs if guarantee in {"", each} and row.id not in not_run],
        []
        if guarantee
        else [ordinary[name] for name in names if name in ordinary and name not in not_run],
        not_run,
    )
    if not (chosen.faults or chosen.ordinary or chosen.not_run):
        raise BadInput(f"no row of {only} is run with {guarantee}")
    return chosen


@click.command()
@click.option("--only", default="", metavar="R01,R12", help="These rows; otherwise all.")
@click.option("--guarantee", type=click.Choice(["at-least-once", "exactly-once"]), default=None)
@click.option("--records", type=click.IntRange(min=1000), help="Records a row.")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True)
@click.option("--quick", is_flag=True, help="20,000 records a row, fewer and shorter faults.")
@click.option("--plant", is_flag=True, help="First plant every bug and see that it is caught.")
@click.option(
    "--table",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the table here: between its marks (README.md), or into a new file.",
)
@click.option(
    "--keep",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Keep each row that holds there, and do not run it again: after an interruption the same "
    "command goes on.",
)
def faults(  # noqa: PLR0913 - its options
    *,
    only: str,
    guarantee: str | None,
    records: int | None,
    seed: int,
    quick: bool,
    plant: bool,
    table: Path | None,
    keep: Path | None,
) -> None:
    """Break everything around the scorer and check that nothing is lost, nothing doubled.

    \b
    Example: python -m tests.faults --only R01,R02,R12 --quick

    Ends with 1 if a row does not hold, or a planted bug is not caught.
    """
    chosen = choose(only, guarantee or "")
    scale = Scale(records or (QUICK_RECORDS if quick else RECORDS), seed, quick)
    for name, why in chosen.not_run.items():
        click.echo(f"CHECK {name}: not run: {why}")
    kept = Kept(keep, scale, commit_here())
    caught = list(plant_all()) if plant else []
    console = Console(stderr=True)
    finished: list[Finished] = []
    shown: list[Shown] = []
    with Progress(console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("rows", total=len(chosen.faults) + len(chosen.ordinary))
        for each in kept.finish(chosen.faults, partial(run_rows, scale=scale)):
            finished.append(each)
            progress.advance(task)
        for one in kept.finish_ordinary(chosen.ordinary, partial(run_ordinary, quick=quick)):
            shown.append(one)
            progress.advance(task)
    verdicts = [each.holds for each in finished] + [each.holds for each in shown]
    if plant:
        click.echo(f"{sum(caught)} of {len(caught)} planted bugs are caught")
    click.echo(f"{sum(verdicts)} of {len(verdicts)} rows hold")
    if table is not None:
        command = shlex.join(["python", "-m", "tests.faults", *sys.argv[1:]])
        made_by = f"`{command}`, {kept.made()}"
        write(table, as_markdown(finished, shown, NOT_HERE | chosen.not_run, made_by=made_by))
        click.echo(f"The table is in {table}")
    sys.exit(0 if all(verdicts) and all(caught) else 1)


def main() -> None:
    """Run; an error of the input is one line."""
    try:
        faults.main(standalone_mode=False)
    except ScorerError as exc:
        click.echo(f"faults: {exc}", err=True)
        sys.exit(exc.exit_code)
    except click.ClickException as exc:
        exc.show()
        sys.exit(exc.exit_code)
    except click.Abort:
        sys.exit(130)


if __name__ == "__main__":
    main()
