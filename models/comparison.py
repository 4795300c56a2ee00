"""Compare the kinds of model on one file: tune on validation, measure once on the test."""

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from models import fitting, folds
from models.balanced import compare_balanced
from models.candidates import FAMILIES, LEFT_OUT, RECIPE_WHAT, SIDE_BY_SIDE
from models.costs import Costs, mean_fraud_amount
from models.evaluate import CONFIDENCE
from models.fits import Budget
from models.imbalance import STRATEGIES
from models.look import counts, look
from models.measures import draws
from models.order import Order, described, in_units, stated
from models.progress import Tell
from models.reading import TrainingFile
from models.recipe import RECIPE
from models.results import Judge, choose
from models.scaling import fit_amount_and_time
from models.training import TOOLS, tools
from models.transactions import Floats
from models.tuning import Contender, Result, Setup, contend, finish, tune

SCHEMA_VERSION = 1
NO_STRATEGY = "none"
MORE_TOOLS = ("imbalanced-learn", "lightgbm", "matplotlib", "jinja2")


def compare(file: TrainingFile, order: Order, tell: Tell) -> dict[str, Any]:
    """Return all figures, JSON throughout: the same for the same file, order and machine."""
    parts = folds.parts(file.transactions)
    missed = order.missed_fraud_cost
    costs = Costs(
        order.false_alert_cost,
        mean_fraud_amount(parts.before_test) if missed is None else missed,
    )
    resamples = draws(parts.test.frauds, rounds=order.budget.rounds, seed=order.seed)
    judge = Judge(
        parts=parts,
        resamples=resamples,
        validation_resamples=draws(
            parts.validation.frauds, rounds=order.budget.rounds, seed=order.seed
        ),
        threshold=order.threshold,
        costs=costs,
        seed=order.seed,
    )
    setup = Setup(
        parts,
        fit_amount_and_time(parts.train),
        order.budget,
        order.seed,
        next_step=_steps(order.budget, tell),
    )
    tuned, tried = {}, {}
    for family in FAMILIES:
        tuned[family], tried[family] = tune(family, setup)
    strategies = {family: _strategies(tuned[family], setup) for family in SIDE_BY_SIDE}
    # Nothing is done about the imbalance unless it helps on validation: max takes the first.
    best = {
        family: max(
            strategies.get(family, {NO_STRATEGY: tuned[family]}).values(),
            key=lambda each: each.validation_ap,
        )
        for family in FAMILIES
    }
    results = {family: _finish(contender, setup) for family, contender in best.items()}
    results[RECIPE] = _recipe(setup)
    short, again = {}, {}
    for name, result in results.items():
        short[name], again[name] = judge.in_short(result)
    about = {family: _about(best[family], tried[family]) for family in FAMILIES}
    about[RECIPE] = {
        "what": RECIPE_WHAT,
        "keras": True,
        "settings": asdict(order.budget.recipe),
        "strategy": NO_STRATEGY,
        "tried": [],
    }
    models = {
        name: {**about[name], **short[name], **judge.at_length(result, short[name])}
        for name, result in results.items()
    }
    side_by_side = {
        family: {
            strategy: short[family]
            if contender is best[family]
            else judge.in_short(_finish(contender, setup))[0]
            for strategy, contender in contenders.items()
        }
        for family, contenders in strategies.items()
    }
    balanced = compare_balanced(list(tuned.values()), setup, order.threshold, resamples)
    tell("done", 1.0)
    return {
        "schema_version": SCHEMA_VERSION,
        "file": described(file, order),
        "command": order.command,
        "seed": order.seed,
        "threshold": order.threshold,
        "confidence": CONFIDENCE,
        "budget": stated(order.budget),
        "costs": {**asdict(costs), "threshold_by_theory": costs.by_theory},
        "split": {name: counts(part) for name, part in parts.named().items()},
        "scaling": in_units(setup.scaling),
        "look": look(parts.train, file.transactions),
        "models": models,
        "left_out": LEFT_OUT,
        "imbalance": side_by_side,
        "balanced": balanced,
        "choice": choose(models, again),
        "tools": tools((*TOOLS, *MORE_TOOLS)),
    }


def _steps(budget: Budget, tell: Tell) -> Callable[[str], None]:
    """Return what to call before each fit: it tells which share of all fits is done."""
    extra = len(SIDE_BY_SIDE) * (len(STRATEGIES) - 1)
    total = len(FAMILIES) * (budget.settings + 2) + 2 * extra + 2
    done = 0

    def next_step(text: str) -> None:
        nonlocal done
        tell(text, done / total)
        done += 1

    return next_step


def _strategies(tuned: Contender, setup: Setup) -> dict[str, Contender]:
    """Return the tuned contender and, with its settings, each strategy against imbalance."""
    found = {NO_STRATEGY: tuned}
    for strategy in STRATEGIES:
        if strategy != NO_STRATEGY:
            setup.next_step(f"{tuned.family}, {strategy}")
            found[strategy] = contend(tuned.family, tuned.settings, strategy, setup)
    return found


def _finish(contender: Contender, setup: Setup) -> Result:
    setup.next_step(f"{contender.family}, {contender.strategy}, final fit")
    return finish(contender, setup)


def _recipe(setup: Setup) -> Result:
    """Fit as `model train` does, on train for the validation's scores, then on all before the test.

    It calibrates itself on what its nets skipped.
    """
    recipe = replace(setup.budget.recipe, seed=setup.seed)
    scores: list[Floats] = []
    for rows, scored in (
        (setup.parts.train, setup.parts.validation),
        (setup.parts.before_test, setup.parts.test),
    ):
        setup.next_step(f"{RECIPE}, {recipe.blocks} nets")
        fitted = fitting.fit(rows, recipe, lambda _text, _share: None)
        scores.append(fitted.keras_score(scored.features)[0])
    return Result(validation=scores[0], test=scores[1])


def _about(contender: Contender, tried: list[dict[str, object]]) -> dict[str, Any]:
    family = FAMILIES[contender.family]
    return {
        "what": family.what,
        "keras": family.keras,
        "settings": dict(contender.settings),
        "strategy": contender.strategy,
        "tried": tried,
    }
