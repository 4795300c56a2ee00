"""The comparison of kinds of model that a bundle carries: taken from a report, told in its card."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.card_figures import Figures, figure
from stream_scorer.errors import BadInput

FIGURES = ("average_precision", "recall", "precision", "brier_score")


def read(path: Path, *, sha256: str) -> dict[str, Any]:
    """Return the few figures that a card tells of `path`, a JSON report of `model compare`.

    `sha256` is that of the file trained on. Raise BadInput if `path` is no such report, or one
    about other data.
    """
    try:
        report = json.loads(path.read_bytes())
        kept = _kept(report)
        compared = report["file"]["sha256"]
    except OSError as exc:
        raise BadInput(f"cannot read {path}: {exc.strerror or exc}") from exc
    except (ValueError, KeyError, TypeError) as exc:
        raise BadInput(f"{path} is no comparison; want what model compare --json wrote") from exc
    if compared != sha256:
        raise BadInput(
            f"{path} compares on a file of sha256 {compared}; want one on the training file, "
            f"{sha256}"
        )
    return kept


def _kept(report: Mapping[str, Any]) -> dict[str, Any]:
    models, choice = report["models"], report["choice"]
    return {
        "command": report["command"],
        "budget": report["budget"],
        "seed": report["seed"],
        "threshold": report["threshold"],
        "confidence": report["confidence"],
        "weights": report["file"]["weights"],
        "test": report["split"]["test"],
        "models": {
            name: {
                "strategy": models[name]["strategy"],
                "validation_average_precision": models[name]["validation_average_precision"],
                **{each: models[name]["test"][each] for each in FIGURES},
            }
            for name in choice["by_validation"]
        },
        "chosen": choice["name"],
        "rule": choice["rule"],
        "average_precision_on_test_minus_others": choice["average_precision_on_test_minus_others"],
    }


def section(comparison: Figures) -> str:
    """Return the section of the card that tells it."""
    test, chosen = comparison["test"], comparison["chosen"]
    rows = "\n".join(
        f"| {f'**{name}**' if name == chosen else name} | {each['strategy']} | "
        f"{figure(each['validation_average_precision'])} | {figure(each['average_precision'])} | "
        f"{figure(each['recall'])} | {figure(each['precision'])} | "
        f"{figure(each['brier_score'], 6)} |"
        for name, each in comparison["models"].items()
    )
    ahead = ", ".join(
        f"{name} {figure(by)}"
        for name, by in comparison["average_precision_on_test_minus_others"].items()
    )
    at = comparison["threshold"]
    return (
        "## Beside other kinds of model\n\n"
        f"```\n{comparison['command']}\n```\n\n"
        f"On the same file, budget {comparison['budget']['name']} "
        f"({comparison['budget']['settings']} settings of each kind tried on validation), seed "
        f"{comparison['seed']}; then each measured once on the {test['rows']:,} rows from Time "
        f"{test['time_from']:,.0f} to {test['time_to']:,.0f} s, {test['frauds']} of them frauds. "
        f"In brackets {comparison['confidence']:.0%} bootstrap intervals; AP is average "
        f"precision. Weights: {comparison['weights']}.\n\n"
        f"| model | against the few frauds | AP on validation | AP | recall at {at:g} | "
        f"precision at {at:g} | Brier score |\n|---|---|---|---|---|---|---|\n{rows}\n\n"
        f"Chosen: {chosen}. The rule: {comparison['rule']}.\n\n"
        f"On the test its average precision is ahead of the others by: {ahead}. Where an interval "
        "holds 0, the two cannot be told apart."
    )
