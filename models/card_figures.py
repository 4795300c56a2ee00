"""The parts of the model card that are measurements."""

from collections.abc import Mapping
from typing import Any

Figures = Mapping[str, Any]  # decoded JSON, in the shapes that `training` and `evaluate` write


def figure(interval: Figures, digits: int = 3) -> str:
    """Return a figure with its interval, or that there is none."""
    if interval["value"] is None:
        return "none (no alert)"
    value, low, high = (f"{interval[key]:.{digits}f}" for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def weights(trained_on: Figures) -> str:
    """Say how many transactions a row stands for."""
    weight, until = trained_on["genuine_weight"], trained_on["complete_until"]
    if weight == 1:
        return "each row stands for itself (the file was taken to be complete)"
    start = "" if until is None else f" after Time {until:,.0f} s, for itself up to then"
    return f"a genuine row stands for {weight:g} transactions{start}; a fraud for itself"


def figures(evaluation: Figures) -> str:
    """Return the section with the figures of the test."""
    caught = evaluation["fraud_amount_alerted"] / (evaluation["fraud_amount"] or 1)
    return (
        "## Figures\n\n"
        f"On the {evaluation['rows']:,} rows from Time {evaluation['time_from']:,.0f} to "
        f"{evaluation['time_to']:,.0f} s, all later than any row it was fitted or calibrated on: "
        f"{evaluation['frauds']} frauds, and genuine rows that stand for "
        f"{evaluation['genuine_weighted']:,.0f}. In brackets {evaluation['confidence']:.0%} "
        "bootstrap intervals (frauds and genuine rows drawn again apart). Ranked by logit.\n\n"
        "| figure | value |\n|---|---|\n"
        f"| average precision | {figure(evaluation['average_precision'])} |\n"
        f"| recall at {evaluation['threshold']} | {figure(evaluation['recall'])} |\n"
        f"| precision at {evaluation['threshold']} | {figure(evaluation['precision'])} |\n"
        f"| alerts | {evaluation['alerts']} |\n"
        f"| frauds alerted, missed | {evaluation['true_alerts']}, "
        f"{evaluation['frauds'] - evaluation['true_alerts']} |\n"
        f"| false alerts: rows, transactions they stand for | {evaluation['false_alerts']}, "
        f"{evaluation['false_alerts_weighted']:.1f} |\n"
        f"| share of the frauds' Amount that alerted | {caught:.3f} |\n"
        f"| log loss a transaction, a fraud | {evaluation['log_loss']:.5f}, "
        f"{evaluation['log_loss_per_fraud']:.2f} |\n"
        f"| Brier score | {evaluation['brier_score']:.6f} |\n"
        f"| expected calibration error, all rows | {evaluation['calibration_error']:.6f} |\n"
        f"| the same, rows from {evaluation['calibration_error_from']} on | "
        f"{evaluation['calibration_error_above']:.3f} |"
    )


def reliability(evaluation: Figures) -> str:
    """Return the section with the reliability table."""
    rows = "\n".join(
        f"| {row['from']:g} to {row['to']:g} | {row['rows']:,} | {row['frauds']} | "
        f"{row['predicted']:.4f} | {row['seen']:.4f} [{row['low']:.4f}, {row['high']:.4f}] |"
        for row in evaluation["reliability"]
    )
    return (
        "## Reliability\n\n"
        "Share of frauds that was predicted and seen (weighted), with a "
        f"{evaluation['confidence']:.0%} interval (Poisson counts, Jeffreys' prior).\n\n"
        f"| probability | rows | frauds | predicted | seen |\n|---|---|---|---|---|\n{rows}"
    )


def time_effect(evaluation: Figures, trained_on: Figures) -> str:
    """Return the section on `Time`, as measured."""
    shifts = "\n".join(
        f"| {row['shift']} ({row['shift_s']:,.0f} s added) | {row['largest_probability_change']:g} "
        f"| {row['largest_logit_change']:g} |"
        for row in evaluation["time_effect"]
    )
    moved = any(row["largest_logit_change"] for row in evaluation["time_effect"])
    conclusion = (
        "So the scores depend on Time: keep its origin and its unit as they were in training."
        if moved
        else "So the model knows no hour of day and cannot use one, and no clock can mislead it."
    )
    left_out = ", ".join(trained_on["recipe"]["left_out"])
    return (
        "## What Time does\n\n"
        f"Features that are read but do not weigh: {left_out or 'none'}. Time must be there and "
        "finite, as every feature, and it ordered the rows for training and test. Measured on this "
        "file, all test rows, Time shifted:\n\n"
        "| Time | largest change of a probability | of a logit |\n|---|---|---|\n"
        f"{shifts}\n\n"
        f"{conclusion}"
    )
