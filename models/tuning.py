"""Fit one contender, and choose its settings by what it does on validation."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import ParameterSampler

from models import transactions
from models.calibration import Platt, fit_platt
from models.candidates import FAMILIES, TIME
from models.fits import Budget, Rows, Score, Settings
from models.folds import Parts
from models.imbalance import STRATEGIES
from models.measures import rank
from models.scaling import Scaling
from models.transactions import Floats, Transactions
from stream_scorer.errors import ScorerError


@dataclass(frozen=True, slots=True)
class Setup:
    """What all fits of a comparison share; the scaling was fitted on the train rows alone."""

    parts: Parts
    scaling: Scaling
    budget: Budget
    seed: int
    # Told what is fitted next.
    next_step: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Contender:
    """A model as it was fitted on train; `validation` float64 (n,) are its raw scores there."""

    family: str
    settings: Settings
    strategy: str
    validation: Floats
    validation_ap: float


@dataclass(frozen=True, slots=True)
class Result:
    """Calibrated logits of validation, by the fit on train, and of the test, by the last fit."""

    validation: Floats
    test: Floats
    platt: Platt | None = None


def tune(family: str, setup: Setup) -> tuple[Contender, list[dict[str, object]]]:
    """Return the best of the settings drawn, and what all of them did, in the order drawn."""
    grid = {**FAMILIES[family].grid, TIME: (False, True)}
    drawn = list(ParameterSampler(grid, setup.budget.settings, random_state=setup.seed))
    tried = []
    for number, settings in enumerate(drawn, start=1):
        setup.next_step(f"{family}, settings {number} of {len(drawn)}")
        tried.append(contend(family, settings, "none", setup))
    best = max(tried, key=lambda each: each.validation_ap)  # the first of equals
    return best, [
        {"settings": dict(each.settings), "validation_average_precision": each.validation_ap}
        for each in tried
    ]


def contend(family: str, settings: Settings, strategy: str, setup: Setup) -> Contender:
    """Fit on train and score validation."""
    score = fit_one(family, settings, strategy, setup.parts.train, setup)
    validation = setup.parts.validation
    scores = score(validation.features)
    return Contender(family, settings, strategy, scores, validation_ap(validation, scores))


def validation_ap(rows: Transactions, scores: Floats) -> float:
    """Return the weighted average precision of raw scores float64 (n,)."""
    return float(rank(rows, scores, threshold=0.5).measure(np.ones(len(rows)))[0])


def finish(contender: Contender, setup: Setup) -> Result:
    """Calibrate on validation, fit again on all rows before the test, score the test."""
    validation = setup.parts.validation
    platt = fit_platt(contender.validation, validation.frauds, validation.weights)
    score = fit_one(
        contender.family,
        contender.settings,
        contender.strategy,
        setup.parts.before_test,
        setup,
    )
    return Result(platt(contender.validation), platt(score(setup.parts.test.features)), platt)


def fit_one(
    family: str, settings: Settings, strategy: str, rows: Transactions, setup: Setup
) -> Score:
    """Return the score, of raw float64 (n, 30), that was fitted on `rows`."""
    used = np.array([settings[TIME] or name != "Time" for name in transactions.FEATURES])

    def prepared(features: Floats) -> Floats:
        return setup.scaling(features)[:, used].astype(np.float64)

    resampled = STRATEGIES[strategy](prepared(rows.features), rows.frauds, setup.seed)
    own = {name: value for name, value in settings.items() if name != TIME}
    score = FAMILIES[family].fit(Rows(*resampled, setup.seed), own, setup.budget)

    def checked(features: Floats) -> Floats:
        scores = score(prepared(features))
        if not np.isfinite(scores).all():
            raise ScorerError(
                f"{family} ({strategy}) gives a score that is not finite; want numbers: does a "
                "feature hold values far out of its range?"
            )
        return scores

    return checked
