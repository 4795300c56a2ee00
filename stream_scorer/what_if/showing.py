"""What-if's figures as a table, as sentences and as JSON."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from rich.table import Column, Table
from rich.text import Text

from stream_scorer.alerts import printable
from stream_scorer.what_if.figures import Best, Costs, Figures
from stream_scorer.what_if.sides import Side

NOTHING = "nothing"  # the threshold of "alert on nothing"


@dataclass(frozen=True, slots=True)
class Answer:
    """What one model would have done."""

    side: Side
    now: float  # the threshold of the settings
    figures: Sequence[Figures]  # by rising threshold
    best: Best | None  # None: neither costs nor a capacity were given


def as_object(answers: Sequence[Answer], costs: Costs, *, seed: int) -> dict[str, object]:
    """Return everything as it is printed by --json; null: there is no such figure."""
    return {
        "costs": {
            "false_alert": costs.false_alert,
            "missed_fraud": "amount" if costs.missed_fraud is None else costs.missed_fraud,
            "alerts_a_day": costs.alerts_a_day,
        },
        "seed": seed,
        "models": [
            {
                "model": answer.side.model,
                "sha256": answer.side.sha256,
                "frauds": len(answer.side.scored.frauds),
                "genuine": len(answer.side.scored.genuine),
                "genuine_weight": answer.side.scored.genuine_weight,
                "unlabelled": len(answer.side.scored.unlabelled),
                "repeated": answer.side.repeated,
                "left_out": answer.side.bad.count,
                "left_out_example": answer.side.bad.example,
                "days": answer.side.scored.days,
                "threshold_now": answer.now,
                "thresholds": [asdict(each) for each in answer.figures],
                "best": answer.best and asdict(answer.best),
            }
            for answer in answers
        ],
    }


def as_table(answers: Sequence[Answer]) -> Table:
    """Return the figures, threshold by threshold, two models one under the other."""
    with_cost = any(each.cost is not None for answer in answers for each in answer.figures)
    with_money = any(each.money_missed is not None for a in answers for each in a.figures)
    names = ["threshold", "alerts a day", "precision", "recall"]
    names += ["money caught", "money missed"] * with_money + ["cost"] * with_cost
    names = ["model"] * (len(answers) > 1) + names
    # Folded where it is narrow: a digit is never left out.
    table = Table(*(Column(n, justify="right", overflow="fold") for n in names), box=None)
    rows = [(figures, answer) for answer in answers for figures in answer.figures]
    for figures, answer in sorted(rows, key=lambda row: as_number(row[0].threshold)):
        cells = [printable(answer.side.model)] * (len(answers) > 1)
        cells.append(" ".join([*marks(figures, answer), threshold_text(figures.threshold, 6)]))
        cells += [amount_text(figures.alerts_a_day)]
        cells += [share_text(figures.precision), share_text(figures.recall)]
        if with_money:
            cells += [amount_text(figures.money_caught), amount_text(figures.money_missed)]
        cells += [amount_text(figures.cost)] * with_cost
        table.add_row(*map(Text, cells))
    return table


def marks(figures: Figures, answer: Answer) -> list[str]:
    """Return what is special about a row."""
    said = ["over"] * (not figures.within_capacity)
    said += ["now"] * (figures.threshold == answer.now)
    said += ["best"] * (answer.best is not None and figures == answer.best.figures)
    return said


def sentences(answers: Sequence[Answer], costs: Costs) -> Iterator[str]:
    """Yield what the table rests on, and what it does not say."""
    for answer in answers:
        yield from about(answer.side)
    if len({answer.side.transactions for answer in answers}) > 1:
        yield "The models scored different transactions: their figures are not of the same ones."
    if costs.alerts_a_day is not None:
        yield f"over: more than {costs.alerts_a_day:g} alerts a day, on average"
    for answer in answers:
        if answer.best is not None:
            yield best_text(answer, answer.best, costs)
    if any(answer.best for answer in answers):
        yield (
            "The best threshold was chosen on these very transactions: expect a little less later."
        )
    else:
        yield "For costs and the best threshold: --false-alert-cost, --alerts-a-day, or both."


def about(side: Side) -> Iterator[str]:
    """Yield what one model's figures rest on."""
    scored = side.scored
    weighed = f", each counted {scored.genuine_weight:g} times" * (scored.genuine_weight != 1)
    days = f", {scored.days:,.3g} days" if scored.days else ""
    yield (
        f"{printable(side.model)}: {len(scored.frauds):,} frauds, {len(scored.genuine):,} genuine"
        f"{weighed}, {len(scored.unlabelled):,} without a label{days}"
    )
    if len(scored.unlabelled):
        yield (
            "  Without a label: in alerts a day, each once; not in precision, recall, money and "
            "cost."
        )
    if side.repeated:
        yield f"  {side.repeated:,} further scores of the same transactions are not counted."
    if side.bad.count:
        yield f"  {side.bad.count:,} left out, such as {printable(side.bad.example)}"
    if not scored.has_money:
        unknown = int(np.isnan(scored.amounts).sum())
        yield f"  No money: the Amount of {unknown:,} of the frauds is not known."
    if scored.days is None:
        yield "  No alerts a day: all have one time, or none."
    elif scored.days < 1:
        yield f"  Alerts a day are extrapolated from {scored.days * 24:.2g} hours."


def best_text(answer: Answer, best: Best, costs: Costs) -> str:
    """Say which threshold is the best one, how sure that is, and what it would have brought."""
    low, high = (threshold_text(each) for each in best.threshold_interval)
    what = "least cost" if costs.false_alert is not None else "most frauds caught"
    within = "" if costs.alerts_a_day is None else f", at most {costs.alerts_a_day:g} alerts a day"
    text = (
        f"Best for {printable(answer.side.model)} ({what}{within}): "
        f"{threshold_text(best.figures.threshold)} [{low}, {high}]"
    )
    if best.cost_interval is not None:
        least, most = map(amount_text, best.cost_interval)
        text += f", cost {amount_text(best.figures.cost)} [{least}, {most}]"
    return f"{text}; {best.confidence:.0%} bootstrap, {best.rounds:,} resamplings"


def as_number(threshold: float | None) -> float:
    """Return what orders thresholds; nothing alerts beyond all of them."""
    return float("inf") if threshold is None else threshold


def threshold_text(threshold: float | None, digits: int = 9) -> str:
    """Return a threshold as a person reads it; nine digits tell every float32 from the next."""
    return NOTHING if threshold is None else f"{threshold:.{digits}g}"


def share_text(share: float | None) -> str:
    """Return a share with three decimals, a dash where there is none."""
    return "-" if share is None else f"{share:.3f}"


def amount_text(amount: float | None) -> str:
    """Return money, or a number of alerts, as a person reads it."""
    if amount is None:
        return "-"
    if amount >= 1e12:  # noqa: PLR2004 - likewise
        return f"{amount:.3g}"
    return f"{amount:,.0f}" if amount >= 100 else f"{amount:,.2f}"  # noqa: PLR2004 - digits
