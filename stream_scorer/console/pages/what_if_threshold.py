"""What another threshold, other costs or another capacity would have done to labelled alerts."""

from nicegui import run, ui

from stream_scorer.console.context import Context
from stream_scorer.console.history import Histories, History
from stream_scorer.console.pages.elements import Words
from stream_scorer.console.pages.quality import in_words
from stream_scorer.console.pages.sliders import number_of, slider
from stream_scorer.console.pages.words import UNKNOWN, moment_utc, number
from stream_scorer.console.people import Person, Role
from stream_scorer.console.quality import FEWEST_LABELS, Share
from stream_scorer.errors import BadInput
from stream_scorer.what_if.figures import Best, Costs, Figures

MOST_COST, MOST_MISSED = 100.0, 2000.0


def made_of(history: History) -> str:
    """Say what the figures are computed from, and what they cannot know."""
    scored = history.scored
    left_out = [
        f"{count:,} {what}"
        for count, what in (
            (history.others, "alerts of other models are left out"),
            (history.unread, "alerts that name no threshold are left out"),
        )
        if count
    ]
    days = f"{moment_utc(history.first_ms)} to {moment_utc(history.last_ms)}"
    return (
        f"From {history.labelled:,} labelled alerts ({len(scored.frauds):,} fraud, "
        f"{len(scored.genuine):,} genuine) and {len(scored.unlabelled):,} without a label, of "
        f"model {history.model_version}, {days}{''.join(f'; {each}' for each in left_out)}. "
        f"Alerts begin at {history.floor:g}: what scored less is not here, so no lower threshold "
        "can be judged, and a fraud that never alerted is in no figure. For those, publish scores "
        "and use: stream-scorer what-if"
    )


def outcome(history: History, found: Figures, *, limited: bool) -> dict[str, str]:
    """Return what a threshold would have done, by name."""
    frauds = len(history.scored.frauds)
    caught, false = found.frauds_caught, round(found.false_alerts)
    rate = UNKNOWN if found.alerts_a_day is None else f"{number(found.alerts_a_day, 1)} a day"
    fits = "" if not limited else ", within capacity" if found.within_capacity else ", too many"
    return {
        "Alerts": f"{number(found.alerts)} ({rate}{fits})",
        "Frauds kept": f"{caught:,} of {frauds:,} that alerted",
        "False alerts": f"{false:,} of {len(history.scored.genuine):,}",
        "Precision": in_words("precision", Share(caught, caught + false)),
        "Money of frauds lost": number(found.money_missed, 2),
        "Cost": number(found.cost, 2),
    }


def advice(found: Best) -> str:
    """Say which threshold costs least."""
    low, high = (
        "alert on nothing" if end is None else f"{end:.4f}" for end in found.threshold_interval
    )
    at = found.figures.threshold
    return (
        f"Cheapest within the capacity: {'alert on nothing' if at is None else f'{at:.4f}'} "
        f"({found.confidence:.0%} interval {low} to {high}), cost "
        f"{number(found.figures.cost, 2)}. It was chosen on the alerts it is measured on."
    )


class ThresholdPanel:
    """One analyst's sliders."""

    def __init__(self, context: Context, histories: Histories, person: Person) -> None:
        """Draw nothing yet."""
        self.context = context
        self.histories = histories
        self.person = person
        self.history: History | None = None
        self.threshold = context.settings.threshold
        self.false_alert, self.missed, self.capacity = 5.0, 0.0, 0.0
        self.turned = 0  # counts what was asked: a late answer to an earlier question is dropped
        self.labels: dict[str, Words] = {}
        self.advice: Words

    def costs(self) -> Costs:
        """Return what mistakes cost as the sliders say."""
        return Costs(self.false_alert, self.missed or None, self.capacity or None)

    async def draw(self) -> None:
        """Draw the sliders, or why there are none."""
        history = self.history = await run.io_bound(self.histories.latest)
        if history is None:
            Words("p", "No alerts yet. Label some on the page Alerts.")
            return
        Words("p", made_of(history))
        if not history.judged:
            both = "" if history.labelled < FEWEST_LABELS else " Want frauds and genuine ones."
            Words("p", f"Not enough labels yet ({history.labelled} of {FEWEST_LABELS}).{both}")
            return
        if not history.scored.has_money:  # a missed fraud cannot cost its amount
            self.missed = 100.0
        self.threshold = max(self.threshold, history.floor)
        days = history.scored.days
        most = max(10.0, round(2 * history.at(0.0, Costs()).alerts / days)) if days else 0.0
        with ui.element("div").classes("turns"):
            slider("Threshold", history.floor, 1.0, self.threshold, self.turn_threshold, digits=4)
            slider("Cost of a false alert", 0.0, MOST_COST, self.false_alert, self.turn_false)
            least = 0.0 if history.scored.has_money else 1.0
            zero = " (0: its amount)" if not least else ""
            slider(
                f"Cost of a missed fraud{zero}", least, MOST_MISSED, self.missed, self.turn_missed
            )
            if most:
                slider(
                    "Alerts a day that can be looked at (0: any number)",
                    0.0,
                    most,
                    self.capacity,
                    self.turn_capacity,
                    digits=0,
                )
        with ui.element("dl").classes("counters").props('aria-live="polite"'):
            for name in outcome(history, history.at(self.threshold, self.costs()), limited=False):
                with ui.element("div").props(f'data-outcome="{name}"'):
                    Words("dt", name)
                    self.labels[name] = Words("dd", UNKNOWN).classes("fact")
        self.advice = Words("p", "").props('role="status"')
        await self.show()

    async def turn_threshold(self, value: object) -> None:
        """Take another threshold."""
        self.threshold = number_of(value, 0.0, 1.0)
        await self.show(advise=False)

    async def turn_false(self, value: object) -> None:
        """Take another cost of a false alert."""
        self.false_alert = number_of(value, 0.0, MOST_COST)
        await self.show()

    async def turn_missed(self, value: object) -> None:
        """Take another cost of a missed fraud."""
        self.missed = number_of(value, 0.0, MOST_MISSED)
        await self.show()

    async def turn_capacity(self, value: object) -> None:
        """Take another capacity."""
        self.capacity = number_of(value, 0.0, 1e9)
        await self.show()

    async def show(self, *, advise: bool = True) -> None:
        """Compute the figures away from the event loop, and show them."""
        history = self.history
        if history is None:
            return
        self.turned += 1
        turn, threshold, costs = self.turned, self.threshold, self.costs()

        def ask() -> Figures:
            self.context.acting(self.person, Role.ANALYST)
            return history.at(threshold, costs)

        try:
            found = await run.io_bound(ask)
            if found is None or turn != self.turned:
                return
            limited = costs.alerts_a_day is not None
            for name, text in outcome(history, found, limited=limited).items():
                self.labels[name].set_text(text)
            if not advise:
                return
            best = await run.io_bound(history.best, costs)
        except BadInput as exc:
            self.advice.set_text(str(exc))
            return
        if best is not None and costs == self.costs():
            self.advice.set_text(advice(best))
