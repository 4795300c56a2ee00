"""Write the report of a comparison: one HTML file that holds its pictures and loads nothing."""

from collections.abc import Mapping
from typing import Any

import jinja2

from models import pictures
from models.card_figures import figure
from models.imbalance import OVERSAMPLED_RATIO, UNDERSAMPLED_RATIO
from models.measures import ALERTS_A_DAY

# How the table calls each figure of `measures.NAMES`, and with how many digits it is given.
HEADINGS = {
    "average_precision": ("average precision", 3),
    "roc_auc": ("ROC AUC", 3),
    "precision": ("precision", 3),
    "recall": ("recall", 3),
    "f1": ("F1", 3),
    f"precision_at_{ALERTS_A_DAY}_a_day": (f"precision, top {ALERTS_A_DAY} a day", 3),
    "brier_score": ("Brier score", 5),
    "accuracy": ("accuracy", 4),
}
# Features named as those that go with fraud most.
STRONGEST = 5


def render(figures: Mapping[str, Any]) -> str:
    """Return the report, HTML, of what `comparison.compare` found."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("models", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure"] = figure
    environment.filters["settings"] = settings
    return environment.get_template("report.html.j2").render(
        **figures,
        pictures=pictures.draw(figures),
        headings=HEADINGS,
        strongest=strongest(figures["look"]),
        ratios={"oversampled": OVERSAMPLED_RATIO, "undersampled": UNDERSAMPLED_RATIO},
    )


def settings(values: Mapping[str, Any]) -> str:
    """Return settings in a line."""

    def text(value: object) -> str:
        if isinstance(value, tuple | list):
            return "-".join(map(text, value))
        if isinstance(value, bool):
            return "yes" if value else "no"
        return f"{value:g}" if isinstance(value, float) else str(value)

    return ", ".join(f"{name.replace('_', ' ')} {text(value)}" for name, value in values.items())


def strongest(look: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Return the features whose correlation with the label is furthest from 0."""
    with_label = zip(look["correlation_names"][:-1], look["correlations"][-1][:-1], strict=True)
    return sorted(with_label, key=lambda each: -abs(each[1]))[:STRONGEST]
