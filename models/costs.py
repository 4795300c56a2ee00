"""What a threshold costs, and which one would have cost least on validation."""

from dataclasses import dataclass

import numpy as np

from models.measures import DAY_S, alerting, probabilities
from models.transactions import AMOUNT, Floats, Transactions

# Of a false alert, in the currency of Amount, unless told otherwise: a call to a customer, say.
# An assumption, not a measurement.
FALSE_ALERT_COST = 5.0


@dataclass(frozen=True, slots=True)
class Costs:
    """In the currency of Amount."""

    false_alert: float
    missed_fraud: float

    @property
    def by_theory(self) -> float:
        """Where an alert and its omission cost the same, if probabilities mean what they say."""
        return self.false_alert / (self.false_alert + self.missed_fraud)


def mean_fraud_amount(rows: Transactions) -> float:
    """Return what the frauds of `rows` took on average."""
    return float(rows.features[rows.frauds, AMOUNT].mean())


def cheapest_threshold(rows: Transactions, logits: Floats, costs: Costs) -> float:
    """Return the probability from which on alerts would have cost least on `rows`.

    1 if no alert at all would have been cheapest.
    """
    order = np.argsort(-logits, kind="stable")
    falling, frauds, weights = logits[order], rows.frauds[order], rows.weights[order]
    ends = np.append(np.flatnonzero(np.diff(falling)), len(falling) - 1)
    false = np.cumsum(weights * ~frauds)[ends]
    missed = frauds.sum() - np.cumsum(frauds)[ends]
    cost = costs.false_alert * false + costs.missed_fraud * missed
    best = int(np.argmin(cost))
    if costs.missed_fraud * frauds.sum() <= cost[best]:
        return 1.0
    return float(probabilities(falling[ends[best : best + 1]])[0])


def at_threshold(
    rows: Transactions, logits: Floats, threshold: float, costs: Costs
) -> dict[str, float]:
    """Return what happens on `rows` if alerts are given from `threshold` on; JSON throughout."""
    alerts = alerting(probabilities(logits), threshold)
    frauds, amounts = rows.frauds, rows.features[:, AMOUNT]
    caught, missed = int((alerts & frauds).sum()), int((~alerts & frauds).sum())
    false = float(rows.weights[alerts & ~frauds].sum())
    days = float(rows.times[-1] - rows.times[0]) / DAY_S
    return {
        "threshold": threshold,
        "frauds_caught": caught,
        "frauds_missed": missed,
        "false_alert_rows": int((alerts & ~frauds).sum()),
        "false_alerts": false,
        "alerts_a_day": (caught + false) / days if days else 0.0,
        "amount_caught": float(amounts[alerts & frauds].sum()),
        "amount_missed": float(amounts[~alerts & frauds].sum()),
        "cost": costs.false_alert * false + costs.missed_fraud * missed,
        "cost_without_alerts": costs.missed_fraud * (caught + missed),
    }
