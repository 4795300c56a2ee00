"""The figures of one fitted and calibrated model, and what speaks for the one that is chosen."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import classification_report

from models.costs import Costs, at_threshold, cheapest_threshold
from models.evaluate import CONFIDENCE, interval
from models.folds import Parts
from models.measures import NAMES, Draws, alerting, probabilities, rank, with_intervals
from models.recipe import RECIPE
from models.reliability import reliability
from models.transactions import Floats, Transactions
from models.tuning import Result

RULE = (
    "the Keras net with the highest average precision on validation; but where that may be chance "
    "(the interval of its difference holds 0), the shipped recipe, of which nothing was picked on "
    "those rows. The test decides nothing"
)
AVERAGE_PRECISION = NAMES.index("average_precision")


@dataclass(frozen=True, slots=True)
class Resampled:
    """A model's average precision on each resample, float64 (rounds,): of validation, of test."""

    validation: Floats
    test: Floats


@dataclass(frozen=True, slots=True)
class Judge:
    """What all models of a comparison are measured by; `resamples` are of the test rows."""

    parts: Parts
    resamples: Draws
    validation_resamples: Draws
    threshold: float
    costs: Costs
    seed: int

    def in_short(self, result: Result) -> tuple[dict[str, Any], Resampled]:
        """Return what ranks a model, JSON, and its average precision on the same resamples."""
        earlier, validation = with_intervals(
            rank(self.parts.validation, result.validation, threshold=self.threshold),
            self.validation_resamples,
        )
        later, test = with_intervals(
            rank(self.parts.test, result.test, threshold=self.threshold), self.resamples
        )
        short = {
            "validation_average_precision": earlier["average_precision"],
            "test": later,
        }
        return short, Resampled(validation[:, AVERAGE_PRECISION], test[:, AVERAGE_PRECISION])

    def at_length(self, result: Result, short: Mapping[str, Any]) -> dict[str, Any]:
        """Return the rest of a model's figures, JSON throughout."""
        test, logits = self.parts.test, result.test
        probability = probabilities(logits)
        cheapest = cheapest_threshold(self.parts.validation, result.validation, self.costs)
        at_cheapest = rank(test, logits, threshold=cheapest)
        return {
            "platt": result.platt and {"slope": result.platt.slope, "offset": result.platt.offset},
            "curve": at_cheapest.curve(),
            "classification_report": _report(test, probability, self.threshold),
            **reliability(
                probability.astype(np.float32), test, confidence=CONFIDENCE, seed=self.seed
            ),
            "at_threshold": self._at(logits, self.threshold, short["test"]),
            "at_cheapest_threshold": self._at(
                logits, cheapest, with_intervals(at_cheapest, self.resamples)[0]
            ),
        }

    def _at(self, logits: Floats, threshold: float, measured: Mapping[str, Any]) -> dict[str, Any]:
        """Return what alerts from `threshold` on do on the test."""
        return {
            **at_threshold(self.parts.test, logits, threshold, self.costs),
            **{name: measured[name] for name in ("precision", "recall", "f1")},
        }


def _report(rows: Transactions, probability: Floats, threshold: float) -> dict[str, Any]:
    """Return scikit-learn's classification report, weighted."""
    report: dict[str, Any] = classification_report(
        rows.frauds,
        alerting(probability, threshold),
        labels=[False, True],
        target_names=["genuine", "fraud"],
        sample_weight=rows.weights,
        output_dict=True,
        zero_division=0.0,
    )
    return report


def choose(
    models: Mapping[str, Mapping[str, Any]], again: Mapping[str, Resampled]
) -> dict[str, Any]:
    """Return which model is taken by `RULE`, and how the others do beside it, JSON throughout.

    `again` holds all models' figures on the same resamples, so that the difference of two has an
    interval of its own.
    """

    def on_validation(name: str) -> float:
        value: float = models[name]["validation_average_precision"]["value"]
        return value

    def on_test(name: str) -> float:
        value: float = models[name]["test"]["average_precision"]["value"]
        return value

    by_validation = sorted(models, key=lambda name: -on_validation(name))
    first = next(name for name in by_validation if models[name]["keras"])
    ahead = interval(
        on_validation(first) - on_validation(RECIPE),
        again[first].validation - again[RECIPE].validation,
    )
    chosen = first if ahead["low"] is not None and ahead["low"] > 0 else RECIPE
    return {
        "name": chosen,
        "rule": RULE,
        "by_validation": by_validation,
        "first_keras_net": first,
        "first_ahead_of_recipe_on_validation": ahead,
        "average_precision_on_test_minus_others": {
            name: interval(on_test(chosen) - on_test(name), again[chosen].test - again[name].test)
            for name in by_validation
            if name != chosen
        },
    }
