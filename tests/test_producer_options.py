"""The rules of the command line of `replay`; nothing here reaches for a broker."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from producer.cli import replay
from producer.options import BUSY_RATE, Options, to_milliseconds, to_speed
from producer.steps import Way
from stream_scorer.config import Settings
from stream_scorer.errors import BadInput

DEFAULTS = {
    "file": "a.csv",
    "generate": None,
    "seed": None,
    "rate": None,
    "speed": None,
    "start_at": None,
    "loop": False,
    "limit": None,
    "key": "transaction_id",
    "labels": False,
    "label_delay": None,
    "resume": None,
    "on_malformed": "stop",
    "as_json": False,
}


def options(**changed: object) -> Options:
    return Options(**{**DEFAULTS, **changed})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changed", "want"),
    [
        ({"file": None}, "one of them"),
        ({"generate": 5}, "one of them"),
        ({"seed": 5}, "--seed goes with --generate"),
        ({"rate": 5.0, "speed": 1.0}, "exclude each other"),
        ({"label_delay": 1.0}, "--label-delay goes with --labels"),
        ({"file": "-", "loop": True}, "read again"),
        ({"file": "-", "resume": Path("r")}, "read again"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(changed: dict[str, object], want: str) -> None:
    with pytest.raises(click.UsageError, match=want):
        options(**changed).check()


def test_the_defaults_go_together() -> None:
    options().check()
    options(file=None, generate=5, seed=1, rate=2.0, labels=True, label_delay=1.0).check()


@pytest.mark.parametrize(("text", "speed"), [("max", "max"), ("1", 1.0), ("0.5", 0.5)])
def test_a_speed_is_max_or_a_number(text: str, speed: float | str) -> None:
    assert to_speed(text) == speed


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "fast"])
def test_another_speed_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        to_speed(text)


@pytest.mark.parametrize(
    "text", ["2026-01-01T00:00:00Z", "2026-01-01", "2026-01-01T01:00:00+01:00"]
)
def test_a_time_without_offset_is_utc(text: str) -> None:
    assert to_milliseconds(text) == 1_767_225_600_000


def test_a_time_that_is_none_is_refused() -> None:
    with pytest.raises(click.BadParameter):
        to_milliseconds("yesterday")


def test_the_pace_follows_rate_or_speed() -> None:
    assert options().pace()(5.0) is None
    assert options(speed="max").pace()(5.0) is None
    pace = options(rate=2.0).pace()
    assert [pace(None), pace(None)] == [0, 0.5]
    pace = options(speed=10.0).pace()
    assert [pace(5.0), pace(25.0)] == [0, 2]


def test_time_is_needed_for_a_speed_and_for_a_start() -> None:
    assert options().way() == Way()
    assert options(speed=2.0).way().timed
    assert options(start_at=7).way() == Way(timed=True, start_at_ms=7)


def test_only_a_busy_client_lets_events_wait_for_each_other() -> None:
    settings = Settings.load(environ={})
    assert options(rate=BUSY_RATE).client(settings) == {"linger.ms": "5"}
    assert options().client(settings) == {"linger.ms": "5"}
    assert options(rate=10.0).client(settings) == {}
    assert options(speed=10.0).client(settings) == {}
    chosen = Settings.load(environ={"SCORER_KAFKA_PRODUCER_LINGER_MS": "1"})
    assert options().client(chosen) == {}


@pytest.mark.parametrize(
    ("arguments", "column"),
    [(["--labels"], "Class"), (["--speed", "1"], "Time"), (["--key", "x"], "x")],
)
def test_a_column_that_lacks_is_named_before_anything_is_sent(
    tmp_path: Path, arguments: list[str], column: str
) -> None:
    (tmp_path / "a.csv").write_text("V1\n1\n", encoding="utf-8")
    result = CliRunner().invoke(replay, [str(tmp_path / "a.csv"), *arguments])
    assert isinstance(result.exception, BadInput)
    assert f"has no column '{column}'" in str(result.exception)


def test_help_shows_an_example() -> None:
    result = CliRunner().invoke(replay, ["--help"])
    assert result.exit_code == 0
    assert "Example: stream-scorer replay" in result.output
