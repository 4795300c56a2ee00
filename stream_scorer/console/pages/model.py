"""Model: what it is, how far the stream has moved from it, its challenger, and what if."""

import numpy as np
from nicegui import run, ui

from stream_scorer.console.context import Context
from stream_scorer.console.history import Histories
from stream_scorer.console.pages.elements import Words, columns, rows_table
from stream_scorer.console.pages.frame import frame
from stream_scorer.console.pages.what_if_threshold import ThresholdPanel
from stream_scorer.console.pages.what_if_transaction import TransactionPanel
from stream_scorer.console.pages.words import UNKNOWN, age, number
from stream_scorer.console.people import Person, Role
from stream_scorer.console.scorer_metrics import Asking, Scorer, judgement
from stream_scorer.console.shelf import Card
from stream_scorer.drift import FEWEST_ROWS
from stream_scorer.errors import BadInput
from stream_scorer.model import Model

# A feature's picture; what the row holds is data to it, never part of it.
PICTURE = """
<q-td :props="props">
  <svg v-if="props.value" role="img" class="spark" viewBox="0 0 100 24" preserveAspectRatio="none"
    :aria-label="props.value.words">
    <title>{{ props.value.words }}</title>
    <rect v-for="(height, i) in props.value.now" :key="i" :x="i * 100 / props.value.now.length"
      :width="90 / props.value.now.length" :y="24 - 23 * height" :height="23 * height" />
    <polyline :points="props.value.before.map((height, i) =>
      [i, i + 1].map(x => x * 100 / props.value.before.length + ',' + (24 - 23 * height)).join(' ')
    ).join(' ')" />
  </svg>
</q-td>
"""
# Seconds between two looks at the scorer's figures: they cover a day.
TICK_S = 10.0


def covers(scorer: Scorer) -> str:
    """Say what the drift figures are of."""
    if scorer.rows is None:
        return "Not known: the scorer tells no drift."
    seconds = UNKNOWN if scorer.seconds is None else age(scorer.seconds * 1000)
    said = f"Of {scorer.rows:,} records within {seconds}."
    if not scorer.judged:
        return f"{said} Fewer than {FEWEST_ROWS:,} records: not judged."
    if not scorer.psi:
        return f"{said} The model has no training histograms to compare with."
    missing = UNKNOWN if scorer.missing is None else f"{scorer.missing:.2%}"
    score = UNKNOWN if scorer.score_psi is None else f"{scorer.score_psi:.3f}"
    if scorer.score_psi is not None:
        score += f" ({judgement(scorer.score_psi)})"
    return f"{said} Index of the score: {score}. Records that lack a feature: {missing}."


def drift_rows(scorer: Scorer) -> list[dict[str, str]]:
    """Return one row a feature, the largest index first."""
    return [
        {
            "feature": name,
            "index (PSI)": f"{psi:.3f}",
            "says": judgement(psi),
            "beyond training": f"{scorer.outside[name]:.2%}" if name in scorer.outside else UNKNOWN,
            "records": number(scorer.rows),
        }
        for name, psi in sorted(scorer.psi.items(), key=lambda each: (-each[1], each[0]))
    ]


def challenged(scorer: Scorer) -> str:
    """Say how a challenger differs."""
    if not scorer.challenged:
        return "No record on which a challenger would have decided otherwise, or there is none."
    return (
        f"Records on which only the champion alerts: {number(scorer.champion_only)}; only the "
        f"challenger: {number(scorer.challenger_only)}; on which the challenger gives no number: "
        f"{number(scorer.not_finite)}. Since the scorer started."
    )


def serving(scorer: Scorer, card: Card | None) -> str:
    """Say which model the scorer runs."""
    if not scorer.sha256:
        return "The scorer does not name its model."
    said = f"The scorer runs {scorer.name} {scorer.version}, {scorer.sha256[:12]}"
    if card is None:
        return f"{said}."
    same = scorer.sha256 == card.model.sha256
    return f"{said}: the same." if same else f"{said}: NOT the model of this page's file."


class Panel:
    """The parts that come from elsewhere and change."""

    def __init__(self, asking: Asking, card: Card | None) -> None:
        """Draw nothing yet."""
        self.asking = asking
        self.card = card
        self.scorer: Scorer | str = ""

    async def look(self) -> None:
        """Draw anew what the scorer says, if it says something else."""
        found = await run.io_bound(self.asking.latest)
        if found is not None and found != self.scorer:
            self.scorer = found
            self.draw.refresh()

    @ui.refreshable_method
    def draw(self) -> None:
        """Draw what the scorer says."""
        scorer = self.scorer
        Words("h2", "Drift")
        if isinstance(scorer, str):
            Words("p", scorer or "Asking the scorer.")
            return
        Words("p", serving(scorer, self.card))
        Words("p", covers(scorer))
        if scorer.judged and scorer.psi:
            draw_drift(scorer, self.card)
        Words("h2", "Challenger")
        Words("p", challenged(scorer))


def draw_drift(scorer: Scorer, card: Card | None) -> None:
    """Draw one row a feature, each with its picture where the scorer and the file are at hand."""
    model = card.model if card is not None and card.model.sha256 == scorer.sha256 else None
    names = ["feature", "index (PSI)", "says", "beyond training", "records"]
    rows = drift_rows(scorer)
    drawn = {row["feature"]: picture(scorer, model, row["feature"]) for row in rows}
    if any(drawn.values()):
        Words("p", "Pictures: bars are the records, the line is training; bins as of training.")
        names.insert(3, "picture")
    table = rows_table(
        columns(
            *names,
            wide=("beyond training", "records"),
            right=("index (PSI)", "beyond training", "records"),
        ),
        [{**row, "picture": drawn[row["feature"]]} for row in rows],
    )
    table.add_slot("body-cell-picture", PICTURE)


def picture(scorer: Scorer, model: Model | None, name: str) -> dict[str, object] | None:
    """Return shares of a feature's bins, now and in training, as heights up to 1, and in words."""
    known = model.histograms.get(name) if model is not None else None
    seen = np.array(scorer.seen.get(name, ()), dtype=np.float64)
    if known is None or len(seen) != len(known.counts) or not seen.sum():
        return None
    now, before = seen / seen.sum(), known.counts / known.counts.sum()
    most = max(now.max(), before.max())
    at = int(np.argmax(np.abs(now - before)))
    low, high = known.edges[at : at + 2]
    return {
        "now": (now / most).round(3).tolist(),
        "before": (before / most).round(3).tolist(),
        "words": f"{name} from {low:.4g} to {high:.4g}: {now[at]:.1%} of the records, "
        f"{before[at]:.1%} in training",
    }


def draw_card(card: Card) -> None:
    """Draw what the model file says of itself."""
    with ui.element("dl").classes("facts"):
        for name, text in card.facts.items():
            Words("dt", name)
            Words("dd", text)
    if card.text:
        with ui.expansion("The whole card").classes("w-full"):
            Words("pre", card.text).classes("bytes").props(
                'tabindex="0" role="region" aria-label="The whole card"'
            )
    else:
        Words("p", "It does not say how it was trained and tested.")


async def draw_what_if(context: Context, histories: Histories, person: Person, alert: str) -> None:
    """Draw the sliders, for who may turn them."""
    Words("h2", "What if the threshold were another?")
    if not person.may(Role.ANALYST):
        Words("p", "This wants the role analyst.")
        return
    await ThresholdPanel(context, histories, person).draw()
    Words("h2", "What if a transaction were another?")
    Words("p", "Nothing is written, sent or kept.")
    transaction = TransactionPanel(context, person, alert)
    try:
        verdict = await run.io_bound(transaction.prepare)
    except BadInput as exc:
        Words("p", str(exc))
        return
    if verdict is not None:
        transaction.draw(verdict)


def register(context: Context) -> None:
    """Add the page."""
    settings = context.settings
    asking = Asking(settings.console_metrics)
    histories = Histories(context.database, context.clock)

    @ui.page("/model")
    async def model(alert: str = "") -> None:
        with frame(context, "Model", "/model") as person:
            card = None
            try:
                card = await run.io_bound(context.shelf.card)
            except BadInput as exc:
                Words("p", str(exc))
            if card is not None:
                draw_card(card)
            panel = Panel(asking, card)
            panel.draw()
            await draw_what_if(context, histories, person, alert)
            ui.timer(TICK_S, panel.look)
