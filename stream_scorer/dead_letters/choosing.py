"""Which dead letters are meant: by code, time of failure and where the record came from."""

import re
import time
from collections.abc import Callable
from typing import Any

import click
import msgspec

from producer.options import to_milliseconds
from stream_scorer.dead_letters.letters import Letter

AGO = re.compile(r"(\d{1,6})([smhd])", re.ASCII)
PLACE = re.compile(r"[A-Za-z0-9._-]{1,249}/\d{1,10}/\d{1,18}", re.ASCII)
UNIT_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


class Choice(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What is wanted of each property; empty or None: anything."""

    codes: tuple[str, ...] = ()  # sorted
    since_ms: int | None = None  # the failure at or after this
    until_ms: int | None = None  # the failure before this
    partitions: tuple[int, ...] = ()  # of the source; sorted
    topic: str = ""  # the source
    ids: tuple[str, ...] = ()  # topic/partition/offset of the source; sorted

    def takes(self, letter: Letter) -> bool:
        """Tell whether a dead letter is one of those that are meant."""
        return (
            (not self.codes or letter.code in self.codes)
            and (self.since_ms is None or letter.failed_at_ms >= self.since_ms)
            and (self.until_ms is None or letter.failed_at_ms < self.until_ms)
            and (not self.partitions or letter.partition in self.partitions)
            and (not self.topic or letter.topic == self.topic)
            and (not self.ids or letter.id in self.ids)
        )


def to_moment(_: object, __: object, text: str | None) -> int | None:
    """Return an ISO time, or how long ago, as milliseconds since 1970."""
    if text is None:
        return None
    ago = AGO.fullmatch(text.strip())
    if ago:
        return int(time.time() * 1000) - int(ago[1]) * UNIT_MS[ago[2]]
    try:
        return to_milliseconds(text.strip())
    except click.BadParameter as exc:
        raise click.BadParameter(
            f"{text!r} is neither a time such as 2026-01-31T12:00:00Z nor how long ago, such as 2h"
        ) from exc


def choice_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a click command the filters; pass them as `choice`."""

    def run(
        *,
        codes: tuple[str, ...],
        since: int | None,
        until: int | None,
        partitions: tuple[int, ...],
        ids: tuple[str, ...],
        **rest: Any,  # noqa: ANN401 - the other options
    ) -> Any:  # noqa: ANN401 - what the command returns
        if since is not None and until is not None and since >= until:
            raise click.UsageError("--since is not before --until")
        for each in ids:
            if not PLACE.fullmatch(each):
                raise click.UsageError(f"--id is {each!r}: want TOPIC/PARTITION/OFFSET")
        choice = Choice(
            codes=tuple(sorted({code.upper() for code in codes})),
            since_ms=since,
            until_ms=until,
            partitions=tuple(sorted(set(partitions))),
            ids=tuple(sorted(set(ids))),
        )
        return command(choice=choice, **rest)

    run.__doc__ = command.__doc__
    run.__name__ = command.__name__
    run.__click_params__ = list(getattr(command, "__click_params__", []))  # type: ignore[attr-defined]
    options = (
        click.option("--code", "codes", multiple=True, help="Only this code; repeat for more."),
        click.option(
            "--since",
            callback=to_moment,
            metavar="TIME",
            help="Only failures since then: 2026-01-31T12:00Z (UTC if it does not say), or 2h for "
            "two hours ago (s, m, h, d).",
        ),
        click.option(
            "--until", callback=to_moment, metavar="TIME", help="Only failures before then."
        ),
        click.option(
            "--partition",
            "partitions",
            multiple=True,
            type=click.IntRange(0),
            help="Only records that came from this partition; repeat for more.",
        ),
        click.option(
            "--id",
            "ids",
            multiple=True,
            metavar="TOPIC/PARTITION/OFFSET",
            help="Only the record that stood there; repeat for more.",
        ),
    )
    wrapped: Callable[..., Any] = run
    for option in reversed(options):
        wrapped = option(wrapped)
    return wrapped
