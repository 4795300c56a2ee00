"""Live: what is happening now."""

from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import Any

from nicegui import run, ui

from stream_scorer.console.context import Context
from stream_scorer.console.pages.elements import Words, clicked_table, histogram, keys
from stream_scorer.console.pages.frame import frame
from stream_scorer.console.pages.words import UNKNOWN, age, clock_utc, number
from stream_scorer.console.pulse import NEWEST, Snapshot
from stream_scorer.console.queue import Listed
from stream_scorer.console.scorer_metrics import Asking, Scorer

# Seconds between two looks at the figures, and at the newest alerts: those are to be seen at once.
TICK_S, NEWEST_S = 0.5, 0.25
# Seconds after which ages are told anew, though no alert has come.
AGES_S = 10
# Of each series of the chart, so many points at most.
POINTS = 120
COUNTERS = (
    ("scored", "scored", "transactions/s"),
    ("alerts", "alerts", "in the last minute"),
    ("dead_letters", "dead letters", "in the last minute"),
    ("lag", "behind", "records"),
    ("open", "open alerts", "to look at"),
    ("latency", "event to alert", "median of the newest"),
)
COLUMNS: list[dict[str, Any]] = [
    {"name": "risk", "label": "Risk", "field": "risk", "align": "right"},
    {"name": "amount", "label": "Amount", "field": "amount", "align": "right"},
    {"name": "reason", "label": "First reason", "field": "reason", "align": "left"},
    {"name": "transaction", "label": "Transaction", "field": "transaction", "align": "left"},
    {"name": "age", "label": "Age", "field": "age", "align": "right"},
]


def health(snapshot: Snapshot) -> str:
    """Say in one sentence how things are."""
    if snapshot.silent_since is not None:
        since = clock_utc(snapshot.silent_since * 1000)
        return f"No answer since {since}: {snapshot.trouble}. Figures are the last known."
    rate, lag = snapshot.rate("scored"), latest(snapshot, "lag")
    alerts = last_minute(snapshot, "alerts")
    if rate is None:
        return "Looking at the scorer's progress."
    if not rate and not lag and not snapshot.newest:
        return "No transactions yet. Start with: stream-scorer replay FILE"
    return (
        f"Scoring {number(rate)} transactions/s, {number(lag)} records behind, "
        f"{number(alerts)} alerts in the last minute."
    )


def latest(snapshot: Snapshot, name: str) -> Any:  # noqa: ANN401 - a count, or None
    """Return a count as it is now."""
    return getattr(snapshot.moments[-1], name) if snapshot.moments else None


def last_minute(snapshot: Snapshot, name: str) -> float | None:
    """Return how far a count has moved within a minute."""
    rate = snapshot.rate(name, 60.0)
    if rate is None:
        return None
    known = [each for each in snapshot.moments if each.at >= snapshot.moments[-1].at - 60]
    moved: float = getattr(known[-1], name) - getattr(known[0], name)
    return moved


def cells(alert: Listed, now_ms: float) -> dict[str, str]:
    """Return an alert's cells in the list."""
    return {
        "id": alert.alert_id,
        "risk": f"{alert.probability:.4f}",
        "amount": UNKNOWN if alert.amount is None else number(alert.amount, 2),
        "reason": alert.reason or UNKNOWN,
        "transaction": alert.transaction_id,
        "age": age(now_ms - alert.alerted_at),
    }


def newer(snapshot: Snapshot, shown: Snapshot) -> str:
    """Say how many of the newest alerts are not shown yet; empty: none."""
    known = {each.alert_id for each in shown.newest}
    count = sum(each.alert_id not in known for each in snapshot.newest)
    return f"{count} or more" if count == NEWEST else str(count or "")


def latency(snapshot: Snapshot) -> str:
    """Return the median time from a transaction to its alert, of the newest alerts."""
    if not snapshot.newest:
        return UNKNOWN
    return f"{median(each.alerted_at - each.timestamp_ms for each in snapshot.newest):,.0f} ms"


def distribution(scores: Sequence[tuple[float, int]]) -> dict[str, Any]:
    """Return the scores that the scorer has given since it began, as a chart."""
    return histogram(
        [f"{bound:g}" for bound, _ in scores],
        [count or None for _, count in scores],
        across="probability up to",
        up="transactions",
    )


def chart() -> dict[str, Any]:
    """Return the rate chart, with nothing on it yet."""
    series = {"type": "line", "showSymbol": False, "data": []}
    return {
        "animation": False,
        "aria": {"enabled": True},
        "grid": {"left": 60, "right": 60, "top": 40, "bottom": 30},
        "legend": {"data": ["transactions/s", "alerts/s"], "top": 0},
        "tooltip": {"trigger": "axis"},
        "xAxis": {"type": "time", "axisLabel": {"hideOverlap": True}},
        "yAxis": [
            {"type": "value", "name": "transactions/s", "min": 0},
            {"type": "value", "name": "alerts/s", "min": 0, "splitLine": {"show": False}},
        ],
        "series": [
            {**series, "name": "transactions/s", "yAxisIndex": 0},
            {**series, "name": "alerts/s", "yAxisIndex": 1},
        ],
    }


def points(snapshot: Snapshot, name: str) -> list[list[float]]:
    """Return a count's rates over the last minutes: milliseconds since 1970, and a second."""
    known = [each for each in snapshot.moments if getattr(each, name) is not None]
    step = max(2, len(known) // POINTS)
    some = known[::step]
    return [
        [b.at * 1000, round((getattr(b, name) - getattr(a, name)) / (b.at - a.at), 3)]
        for a, b in pairwise(some)
    ]


def scores_panel(asking: Asking) -> None:
    """Draw the scores' distribution, or why it is not known."""
    Words("h2", "Scores since the scorer began")
    picture = ui.echart(distribution(())).classes("rates")
    picture.props('role="img" aria-label="Transactions by probability"')
    unknown = Words("p", "")

    async def draw() -> None:
        said = await run.io_bound(asking.latest)
        known = said.scores if isinstance(said, Scorer) else ()
        picture.set_visibility(bool(known))
        unknown.set_text(said if isinstance(said, str) else "")
        picture.options.clear()
        picture.options.update(distribution(known))

    ui.timer(5.0, draw)


def register(context: Context) -> None:
    """Add the page."""
    asking = Asking(context.settings.console_metrics)

    @ui.page("/live")
    def live() -> None:
        with frame(context, "Live", "/live"):
            sentence = Words("p", "").classes("health").props('role="status"')
            labels = {}
            with ui.element("dl").classes("counters"):
                for name, title, unit in COUNTERS:
                    with ui.element("div"):
                        Words("dt", title)
                        labels[name] = Words("dd", UNKNOWN)
                        Words("dd", unit).classes("unit")
            picture = (
                ui.echart(chart())
                .classes("rates")
                .props(
                    'role="img" aria-label="Transactions and alerts a second, last five minutes"'
                )
            )
            with ui.row().classes("items-center"):
                Words("h2", "Newest alerts")
                pause = ui.switch("Pause (p)")
                more = Words("span", "")
            table = clicked_table(COLUMNS, lambda row: ui.navigate.to(f"/alerts?open={row}"))
            keys(
                lambda event: (
                    pause.set_value(not pause.value)
                    if event.key == "p" and event.action.keydown
                    else None
                )
            )
            scores_panel(asking)
            # Rows do not move under the pointer.
            hovered: list[bool] = []
            table.on("mouseenter", lambda: hovered.append(True))
            table.on("mouseleave", lambda _: hovered.clear())
            shown: list[Snapshot] = []
            shown_at: list[tuple[int, int]] = []

            def tick() -> None:
                snapshot = context.pulse.snapshot
                sentence.set_text(health(snapshot))
                values = {
                    "scored": number(snapshot.rate("scored")),
                    "alerts": number(last_minute(snapshot, "alerts")),
                    "dead_letters": number(last_minute(snapshot, "dead_letters")),
                    "lag": number(latest(snapshot, "lag")),
                    "open": number(snapshot.open_alerts) if snapshot.moments else UNKNOWN,
                    "latency": latency(snapshot),
                }
                for name, value in values.items():
                    labels[name].set_text(value)

            def show_newest() -> None:
                snapshot, now = context.pulse.snapshot, context.clock()
                state = (snapshot.number, now // (1000 * AGES_S))
                if (pause.value or hovered) and shown:
                    new = newer(snapshot, shown[0])
                    more.set_text(f"{new} new, waiting" if new else "")
                    return
                more.set_text("")
                if state not in shown_at:
                    shown_at[:], shown[:] = [state], [snapshot]
                    table.rows = [cells(each, now) for each in snapshot.newest]

            def draw() -> None:
                snapshot = context.pulse.snapshot
                for place, name in enumerate(("scored", "alerts")):
                    picture.options["series"][place]["data"] = points(snapshot, name)

            tick()
            show_newest()
            draw()
            ui.timer(TICK_S, tick)
            ui.timer(NEWEST_S, show_newest)
            ui.timer(2.0, draw)
