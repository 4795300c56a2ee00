"""The rows that ordinary tests or a command of this repository show, each run in its own process.

To add one: its id, what it is about and the tests, as pytest names them. Tests that are skipped, or
are not there, show nothing: then the row does not hold.
"""

import json
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from tests.faults import contained
from tests.faults.trial import BrokenError

# Seconds. The longest, `tests.fuzz` in full, takes some minutes.
TIMEOUT_S = 1800.0
# Of the scorecard: what any single record may take.
MOST_MS = 50.0
# Characters of a failure that one line shows.
SHOWN = 600


@dataclass(frozen=True)
class Ordinary:
    """A row and what shows it: tests, or a script of ours with its arguments."""

    id: str
    title: str
    tests: tuple[str, ...] = ()
    script: tuple[str, ...] = ()  # if there are tests too: these with --quick, otherwise this
    read: Callable[[str], str] = str.strip  # says what a script has found; raises BrokenError
    why_not: Callable[[], str] = str  # says why this machine cannot show it; nothing if it can

    def shown_by(self, *, quick: bool) -> str:
        """Return the files, or the command, for the table."""
        if self.by_tests(quick=quick):
            return ", ".join(dict.fromkeys(f"`{each.split('::')[0]}`" for each in self.tests))
        return f"`python {' '.join(self.script)}`"

    def by_tests(self, *, quick: bool) -> bool:
        """Tell which of the two is run."""
        return bool(self.tests) and (quick or not self.script)


@dataclass(frozen=True)
class Shown:
    """An ordinary row, done: what was found, or why it does not hold."""

    row: Ordinary
    shown_by: str
    seconds: float
    found: str
    error: str = ""

    @property
    def holds(self) -> bool:
        """Tell whether all that shows the row passed."""
        return not self.error


def longest(printed: str) -> str:
    """Say how long the hardest of the hard records took; raise BrokenError if too long."""
    times = [ms for each in json.loads(printed)["longest_ms"].values() for ms in each.values()]
    found = f"max_ms={max(times):.1f} of {len(times)} records and policies"
    if not max(times) <= MOST_MS:
        raise BrokenError(f"{found}: want {MOST_MS:.0f} at most")
    return found


def uncaught(printed: str) -> str:
    """Join what the fuzzers say; raise BrokenError if one of the two says nothing."""
    lines = [line.partition("R42 ")[2] for line in printed.splitlines() if "CHECK R42" in line]
    if len(lines) != 2:
        raise BrokenError(f"want a line of examples and one of mutations: {printed}")
    return "; ".join(line.partition(" (")[0] for line in lines)


def of(file: str, *names: str) -> tuple[str, ...]:
    """Return tests as pytest names them, by what their names say."""
    return tuple(f"tests/{file}.py::test_{name}" for name in names)


ROWS = [
    Ordinary(
        "R36",
        "malformed events among good ones: code, bytes, the others' scores",
        (
            *of(
                "integration/test_bad_input",
                "bad_records_keep_their_bytes_and_the_good_ones_their_scores",
            ),
            *of("test_codecs", "bad_value_is_named_by_its_code"),
            *of("test_scorer", "good_records_score_as_if_the_bad_one_were_not_there"),
        ),
    ),
    Ordinary(
        "R37",
        "NaN, infinity, 1e400, -0.0, subnormals, bools, strings",
        (
            *of(
                "test_codecs",
                "bad_value_is_named_by_its_code",
                "what_is_written_is_read_bit_for_bit",
                "no_bytes_at_all_make_it_raise",
            ),
            *of("test_scorer", "score_that_is_not_finite_is_dead_lettered_never_compared"),
            *of("test_decision", "probability_that_is_not_finite_is_never_compared"),
        ),
    ),
    Ordinary(
        "R38",
        "tombstones, null and empty keys, empty values",
        (
            *of(
                "test_policy",
                "a_tombstone_is_a_dead_letter_unless_it_is_to_be_skipped",
                "a_skipped_tombstone_is_counted_and_its_offset_moves",
            ),
            *of("test_scorer", "transaction_id_is_the_events_else_the_key_else_the_place"),
            *of(
                "integration/test_bad_input",
                "bad_records_keep_their_bytes_and_the_good_ones_their_scores",
            ),
        ),
    ),
    Ordinary(
        "R39",
        "records of 1 to 60 MB",
        (
            *of(
                "integration/test_bad_input",
                "no_size_stops_the_scorer_and_a_dead_letter_fits_the_usual_topic",
                "a_batch_that_cannot_be_unpacked_stops_the_scorer_and_says_where",
            ),
            *of("test_policy", "a_record_of_just_the_largest_size_is_kept_whole"),
        ),
    ),
    Ordinary(
        "R40",
        "hard records: nested, 80,000 keys, a million digits",
        script=("benchmarks/odd_records.py", "--batches", "20", "--runs", "1", "--json"),
        read=longest,
    ),
    Ordinary(
        "R41",
        "headers: null, binary, twice, forged, names that are not UTF-8",
        (
            *of(
                "integration/test_bad_input",
                "bad_records_keep_their_bytes_and_the_good_ones_their_scores",
            ),
            *of(
                "integration/test_dead_letters", "redriven_records_are_byte_for_byte_what_was_sent"
            ),
            *of("test_scorer", "unreadable_headers_are_a_reject_and_are_asked_for_once"),
            *of("test_policy", "key_and_headers_count_and_are_left_out_where_they_are_long"),
            *of(
                "test_dead_letters",
                "an_attempt_that_is_no_sound_number_counts_as_the_first",
                "a_record_that_no_scorer_wrote_is_no_dead_letter",
            ),
        ),
    ),
    Ordinary(
        "R42",
        "drawn and mutated bytes through decode, score and dead letter",
        ("tests/test_fuzz.py",),
        script=("-m", "tests.fuzz"),
        read=uncaught,
    ),
    Ordinary(
        "R43",
        "10,000 random records, back from the dead letters byte for byte",
        (
            "tests/integration/test_dead_letters.py::test_redriven_records_are_byte_for_byte_what_was_sent",
        ),
    ),
    Ordinary(
        "R44",
        "nothing but bad records",
        (
            *of(
                "integration/test_bad_input",
                "topic_of_nothing_but_bad_records_stops_the_scorer_before_it_is_drained",
            ),
            "tests/test_fuse.py",
        ),
    ),
    Ordinary(
        "R45",
        "redriven after a fix, twice, and with kill -9 in the middle",
        (
            *of(
                "integration/test_dead_letters",
                "after_a_fix_what_was_dead_is_scored_and_a_second_run_redrives_nothing",
                "kill_in_the_middle_and_a_second_run_redrive_each_once",
                "what_a_killed_run_left_open_never_counts",
            ),
        ),
    ),
    Ordinary(
        "R47",
        "rights taken in mid-run, or lacking",
        (
            *of(
                "integration/test_security",
                "a_right_that_is_taken_meanwhile_loses_nothing_and_repeats_nothing",
                "a_right_that_lacks_stops_the_scorer_in_one_line_and_nothing_is_committed",
                "the_rights_of_the_readme_are_enough",
            ),
        ),
    ),
    Ordinary(
        "R48",
        "TLS: expired, another host, a stranger's authority, the wrong protocol",
        (
            "tests/integration/test_security.py::test_what_is_wrong_with_tls_is_told_within_fifteen_seconds",
        ),
    ),
    Ordinary(
        "R49",
        "a wrong password, and one that is changed in mid-run",
        (
            *of(
                "integration/test_security",
                "a_wrong_password_is_told_and_not_shown",
                "a_password_that_is_changed_meanwhile_is_told_and_loses_nothing",
            ),
        ),
    ),
    Ordinary(
        "R50",
        "a password and a card number, looked for in all that is told",
        (
            *of("integration/test_security", "no_secret_and_no_card_number_is_told_anywhere"),
            *of(
                "test_config",
                "secret_is_masked_and_never_taken_from_the_command_line",
                "a_mistyped_secret_is_not_shown",
            ),
            *of("test_codecs", "reason_names_the_field_and_never_the_value"),
        ),
    ),
    Ordinary(
        "R51",
        "metrics port: 1,000 idle connections, a reader that takes nothing, an endless request; "
        "100,000 merchants",
        (
            *of(
                "test_health",
                "idle_connections_cost_no_threads_and_do_not_keep_a_probe_out",
                "reader_that_takes_nothing_keeps_nobody_out_and_is_let_go",
                "endless_request_is_cut_off",
            ),
            *of("test_metrics", "series_do_not_grow_with_what_records_hold"),
        ),
    ),
    Ordinary(
        "R52",
        "models: another sha256, truncated, weights apart, wrong shapes or names, NaN, later opset",
        (
            "tests/test_model.py",
            *of("integration/test_commands", "start_that_cannot_work_says_so_in_one_line"),
        ),
    ),
    Ordinary(
        "R55",
        "a container's rights: user 10001, no capabilities, root read-only, 256 MB, one CPU",
        script=("-m", "tests.faults.contained"),
        why_not=contained.why_not,
    ),
    Ordinary(
        "R56",
        "probes: at the start, without partitions, with a loop that stands, draining",
        (
            *of("test_health", "probes_follow_the_loop"),
            *of(
                "test_service",
                "health_follows_the_loop",
                "once_it_is_told_to_stop_it_lives_and_is_not_ready",
            ),
        ),
    ),
]


def run_ordinary(
    chosen: Sequence[Ordinary], *, quick: bool, say: Callable[[str], None] = click.echo
) -> Iterator[Shown]:
    """Run each row and print its CHECK line."""
    for row in chosen:
        begun = time.monotonic()
        found, error = "", ""
        try:
            found = run_tests(row.tests) if row.by_tests(quick=quick) else run_script(row)
        except BrokenError as exc:
            error = str(exc)
        shown = Shown(row, row.shown_by(quick=quick), time.monotonic() - begun, found, error)
        verdict = f"BROKEN {error[-SHOWN:]}" if error else found
        say(f"CHECK {row.id}: {verdict} [{shown.seconds:.0f} s]")
        yield shown


def run_tests(tests: Sequence[str]) -> str:
    """Run tests and say how many passed; raise BrokenError unless all did, and there were some."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        printed = run("-m", "pytest", "-q", f"--junitxml={report}", *tests)
        (suite,) = ET.parse(report).getroot()  # noqa: S314 - pytest has just written it
    counts = {name: int(suite.get(name, "0")) for name in ("tests", "skipped")}
    if not counts["tests"] or counts["skipped"]:
        raise BrokenError(f"{counts['tests']} tests, {counts['skipped']} skipped: {printed}")
    return f"{counts['tests']} tests passed"


def run_script(row: Ordinary) -> str:
    """Run a script and say what it found; raise BrokenError unless it ends well."""
    return row.read(run(*row.script))


def run(*arguments: str) -> str:
    """Run Python; return what it printed, or raise BrokenError unless it ends with 0."""
    try:
        done = subprocess.run(
            [sys.executable, *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        raise BrokenError(f"not done within {TIMEOUT_S:.0f} s") from None
    if done.returncode:
        raise BrokenError(f"it ended with {done.returncode}: {done.stdout}{done.stderr}".strip())
    return done.stdout
