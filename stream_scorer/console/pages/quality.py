"""Quality: how good the model is, as far as labels tell."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from nicegui import run, ui

from stream_scorer.console.context import Context
from stream_scorer.console.pages.elements import Words, columns, rows_table
from stream_scorer.console.pages.frame import frame
from stream_scorer.console.pages.words import UNKNOWN, age, moment_utc, number
from stream_scorer.console.quality import (
    DAY,
    FEWEST_LABELS,
    HOUR,
    Delay,
    Figures,
    Report,
    Reports,
    Share,
)

# Seconds between two looks whether there are newer figures.
TICK_S = 2.0
# Windows in the table below the picture; all are in the picture.
ROWS = 24
SHORT = 12  # characters of a sha256
NEXT = "Is `stream-scorer monitor` running?"
SHOWN = ("precision", "recall", "F1")
MEANINGS = {
    "precision": "frauds among the labelled alerts",
    "recall": "alerts among the frauds that are known",
    "F1": "harmonic mean of both",
}


def shares(figures: Figures) -> dict[str, Share]:
    """Return what is shown of a window, by name."""
    return dict(zip(SHOWN, (figures.precision, figures.recall, figures.f1), strict=True))


def in_words(name: str, share: Share) -> str:
    """Return a share with its count and interval, never one without them."""
    value = UNKNOWN if share.value is None else f"{share.value:.2f}"
    return f"{value} ({basis(name, share)})"


def basis(name: str, share: Share) -> str:
    """Return the count and the interval of a share."""
    if share.interval is None:
        of = {"precision": "no labelled alert", "recall": "no known fraud"}
        return of.get(name, "no alert and no fraud among the labelled")
    low, high = share.interval
    return f"{counts_of(name, share)}; {low:.2f} to {high:.2f}"


def counts_of(name: str, share: Share) -> str:
    """Return what a share is of."""
    if name == "F1":
        others = share.whole - share.part
        return f"{share.part:,} caught, {others:,} false or missed"
    of = "labelled alerts" if name == "precision" else "known frauds"
    return f"{share.part:,} of {share.whole:,} {of}"


def cell(name: str, figures: Figures) -> str:
    """Return a share as a table's cell."""
    if not figures.judged:
        return too_few(figures)
    return in_words(name, shares(figures)[name])


def too_few(figures: Figures) -> str:
    """Say that there are not enough labels."""
    return f"Not enough labels yet ({figures.labelled} of {FEWEST_LABELS})."


def short(figures: Figures) -> str:
    """Return a model's name for people."""
    return figures.model.sha256[:SHORT] or UNKNOWN


def models(report: Report) -> dict[str, str]:
    """Return the models there are figures of, by sha256."""
    return {each.model.sha256: short(each) for each in report.overall}


def status(report: Report, now: int) -> str:
    """Say in one sentence how fresh the figures are."""
    if report.seen_at is None:
        return "No figures yet. They come with labels from: stream-scorer monitor"
    since = moment_utc(report.seen_at)
    if report.silent(now):
        return f"No figures since {since}. {NEXT}"
    return f"Figures of {since}."


def backlog(figures: Figures, report: Report, now: int) -> str:
    """Say what waits for labels, and for how long."""
    waits = (
        f"{figures.alerts_unlabelled:,} of {figures.alerts:,} alerts and "
        f"{figures.scored - figures.labelled:,} of {figures.scored:,} scored transactions have no "
        "label."
    )
    if report.oldest_open is None:
        return f"{waits} No alert is open in the queue."
    return f"{waits} The oldest open alert in the queue is {age(now - report.oldest_open)} old."


def picture(windows: Sequence[Figures], title: str) -> dict[str, Any]:
    """Return precision and recall over time; the tooltip tells what each point is of."""
    series = []
    for name, colour in (("precision", "#0b57a4"), ("recall", "#b3541e")):
        points: list[list[Any]] = []
        for each in windows:
            share = shares(each)[name]
            if not each.judged or share.value is None or share.interval is None:
                points.append([each.start_ms, None, None, None, ""])
                continue
            low, high = share.interval
            shown = [round(figure, 4) for figure in (share.value, low, high)]
            points.append([each.start_ms, *shown, counts_of(name, share)])
        dimensions = ["time", name, f"{name}, low", f"{name}, high", "of"]
        line = {
            "type": "line",
            "dimensions": dimensions,
            "data": points,
            "itemStyle": {"color": colour},
            "symbolSize": 7,
        }
        faint = {"type": "dashed", "opacity": 0.4, "width": 1, "color": colour}
        series.append({**line, "name": name, "encode": {"x": 0, "y": 1, "tooltip": [1, 2, 3, 4]}})
        series += [
            {
                **line,
                "name": dimensions[place],
                "encode": {"x": 0, "y": place, "tooltip": []},
                "lineStyle": faint,
                "showSymbol": False,
                "silent": True,
                "tooltip": {"show": False},
            }
            for place in (2, 3)
        ]
    return {
        "animation": False,
        "aria": {"enabled": True},
        "grid": {"left": 50, "right": 20, "top": 40, "bottom": 45},
        "legend": {"data": ["precision", "recall"], "top": 0, "textStyle": {"color": "#767d86"}},
        "tooltip": {"trigger": "item"},
        "xAxis": {
            "type": "time",
            "name": title,
            "nameLocation": "middle",
            "nameGap": 28,
            "axisLabel": {"hideOverlap": True},
        },
        "yAxis": {"type": "value", "min": 0, "max": 1, "name": "share"},
        "series": series,
    }


def delay_rows(delay: Delay) -> list[dict[str, str]]:
    """Return how many came within which time."""
    return [
        {
            "within": age(float(seconds) * 1000)
            if seconds.isascii() and seconds.isdigit()
            else UNKNOWN,
            "labels": f"{count:,} of {delay.count:,}",
        }
        for seconds, count in list(delay.within.items())[:20]
    ]


class Sheet:
    """One person's page of figures."""

    def __init__(self, context: Context, reports: Reports, by: str, sha256: str) -> None:
        """Show windows of `by`, hour or day, of a model; an empty one: the newest."""
        self.context = context
        self.reports = reports
        self.by = by
        self.sha256 = sha256
        self.report = Report()
        self.choice: ui.select
        self.status: Words

    def model(self) -> Figures | None:
        """Return the figures of all time of the model that is looked at."""
        known = {each.model.sha256: each for each in reversed(self.report.overall)}
        newest = self.report.overall[0] if self.report.overall else None
        return known.get(self.sha256, newest)

    async def look(self) -> None:
        """Draw anew if there are newer figures, and say if there are none for long."""
        report = await run.io_bound(self.reports.latest)
        if report is None:  # the server stops
            return
        before, self.report = self.report, report
        self.status.set_text(status(report, self.context.clock()))
        if report.overall != before.overall:
            overall = self.model()
            self.choice.set_options(models(report), value=overall.model.sha256 if overall else None)
        if (report.seen_at, report.overall) != (before.seen_at, before.overall):
            self.draw.refresh()

    def choose(self, *, by: str | None = None, sha256: str | None = None) -> None:
        """Show other windows, or another model."""
        self.by, self.sha256 = by or self.by, sha256 or self.sha256
        ui.navigate.history.replace(f"/quality?{urlencode({'by': self.by, 'model': self.sha256})}")
        self.draw.refresh()

    @ui.refreshable_method
    def draw(self) -> None:
        """Draw the figures as they are now."""
        report, overall = self.report, self.model()
        if overall is None:
            Words(
                "p",
                "Nothing to show. Publish scores (SCORER_SCORES_TOPIC), label alerts, and start: "
                "stream-scorer monitor",
            )
            return
        Words("h2", f"Model {short(overall)}, all time")
        self.draw_shares(overall)
        Words("p", backlog(overall, report, self.context.clock()))
        Words("h2", "Confusion table")
        draw_confusion(overall)
        windows = report.of(self.by, overall.model.sha256)
        Words("h2", f"By {self.by}")
        self.draw_time(windows)
        self.draw_highest(report.of(DAY, overall.model.sha256))
        draw_delays(overall)
        Words("h2", "By model, all time")
        rows_table(
            columns("model", *SHOWN, "labelled", "scored", wide=("F1", "labelled", "scored")),
            [
                {
                    "model": short(each),
                    **{name: cell(name, each) for name in SHOWN},
                    "labelled": number(each.labelled),
                    "scored": number(each.scored),
                }
                for each in report.overall
            ],
        )
        if report.unread:
            Words("p", f"{report.unread} records hold figures of another release.")

    def draw_shares(self, overall: Figures) -> None:
        """Draw the three figures with what they are of."""
        if not overall.judged:
            Words("p", too_few(overall)).classes("few")
            return
        with ui.element("dl").classes("counters"):
            for name, share in shares(overall).items():
                with ui.element("div").props(f'data-figure="{name}"'):
                    Words("dt", name)
                    Words("dd", UNKNOWN if share.value is None else f"{share.value:.2f}")
                    Words("dd", basis(name, share)).classes("unit")
                    Words("dd", MEANINGS[name]).classes("unit")
        if overall.average_precision is not None:
            Words(
                "p",
                f"Average precision {overall.average_precision:.3f}, of "
                f"{overall.labelled:,} labelled transactions by their score.",
            )
        Words(
            "p",
            "Each with its counts and its interval (Wilson, 95 %). Recall knows labelled "
            "transactions only: a fraud that nobody labelled is in no figure.",
        )

    def draw_time(self, windows: Sequence[Figures]) -> None:
        """Draw precision and recall over time, and their counts in a table."""
        if not windows:
            Words("p", f"No {self.by} of this model is kept.")
            return
        zone = f"{self.by}s of transactions (in your zone; days begin at midnight UTC)"
        ui.echart(picture(windows, zone)).classes("rates").props(
            'role="img" aria-label="Precision and recall over time; the newest in the table below"'
        )
        rows_table(
            columns("begins", "precision", "recall", "labelled", wide=("labelled",)),
            [
                {
                    "begins": moment_utc(each.start_ms),
                    "precision": cell("precision", each),
                    "recall": cell("recall", each),
                    "labelled": f"{each.labelled:,} of {each.scored:,}",
                }
                for each in list(reversed(windows))[:ROWS]
            ],
        )

    def draw_highest(self, days: Sequence[Figures]) -> None:
        """Draw how good the highest scores of each day are."""
        known = [(each, each.top_k) for each in reversed(days) if each.top_k is not None]
        if not known:
            return
        Words("h2", "The highest scores of each day")
        rows_table(
            columns("day", "looked at", "precision"),
            [
                {
                    "day": moment_utc(each.start_ms)[:10],
                    "looked at": f"{top.k:,} highest, {top.labelled:,.1f} labelled",
                    "precision": UNKNOWN
                    if top.precision is None
                    else f"{top.precision:.2f} (of {top.labelled:,.1f} labelled)",
                }
                for each, top in known[:7]
            ],
        )


def draw_confusion(figures: Figures) -> None:
    """Draw what alerted against what it was."""
    rows_table(
        columns("decision", "fraud", "genuine", "no label", right=("fraud", "genuine", "no label")),
        [
            {
                "decision": "alerted",
                "fraud": number(figures.caught),
                "genuine": number(figures.false_alerts),
                "no label": number(figures.alerts_unlabelled),
            },
            {
                "decision": "did not alert",
                "fraud": number(figures.missed),
                "genuine": number(figures.passed),
                "no label": number(figures.scored - figures.labelled - figures.alerts_unlabelled),
            },
        ],
    )


def draw_delays(figures: Figures) -> None:
    """Draw how long labels take."""
    for title, delay in (
        ("From a transaction to its label", figures.label_delay),
        ("From an alert to its label", figures.alert_to_label),
    ):
        Words("h2", title)
        if delay.mean_s is None:
            Words("p", "No label yet.")
            continue
        Words("p", f"{age(delay.mean_s * 1000)} on average, of {delay.count:,} labels.")
        with ui.expansion("How many came within which time").classes("w-full"):
            rows_table(columns("within", "labels"), delay_rows(delay))


def register(context: Context) -> None:
    """Add the page."""
    reports = Reports(context.database, context.clock)

    @ui.page("/quality")
    async def quality(by: str = HOUR, model: str = "") -> None:
        with frame(context, "Quality", "/quality"):
            sheet = Sheet(context, reports, by if by in {HOUR, DAY} else HOUR, model)
            sheet.report = await run.io_bound(reports.latest) or Report()
            now = status(sheet.report, context.clock())
            sheet.status = Words("p", now).props('role="status"').classes("health")
            with ui.row().classes("items-center"):
                ui.select(
                    [HOUR, DAY],
                    value=sheet.by,
                    label="Over time by",
                    on_change=lambda event: sheet.choose(by=event.value),
                ).classes("w-32")
                overall = sheet.model()
                sheet.choice = ui.select(
                    models(sheet.report),
                    value=overall.model.sha256 if overall else None,
                    label="Model (sha256)",
                    on_change=lambda event: sheet.choose(sha256=event.value),
                ).classes("w-48")
            sheet.draw()
            ui.timer(TICK_S, sheet.look)
