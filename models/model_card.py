"""Write the model card from what the model file says of itself, and from nothing else."""

import json
import math
from collections.abc import Mapping

from models import compared
from models.card_figures import Figures, figure, figures, reliability, time_effect, weights

# At the threshold, on rows later than any that was learnt from.
AIM = {"recall": 0.70, "precision": 0.90}


def render(texts: Mapping[str, str], *, sha256: str, size: int) -> str:
    """Return the card, Markdown, of a bundle's metadata, its sha256 and its size in bytes."""
    evaluation, trained_on = json.loads(texts["evaluation"]), json.loads(texts["trained_on"])
    title = (
        f"# Model card: {texts['name']} {texts['version']}\n\n"
        "Gives each card transaction the probability that it is a fraud. Written by "
        "`stream-scorer` from the model file itself; do not edit it.\n\n"
        f"- sha256 of the file: `{sha256}`\n"
        f"- size: {size:,} bytes, one ONNX graph"
    )
    if not evaluation:
        return "\n\n".join([title, *_brought(texts, trained_on)]) + "\n"
    sections = (
        title,
        _use(evaluation),
        figures(evaluation),
        reliability(evaluation),
        time_effect(evaluation, trained_on),
        *([compared.section(json.loads(texts["comparison"]))] if "comparison" in texts else []),
        _inputs(json.loads(texts["feature_names"]), trained_on, evaluation),
        _data(texts["training_data_sha256"], trained_on, evaluation),
        _recipe(trained_on),
        _limits(trained_on, evaluation),
        _reproduce(trained_on, json.loads(texts["tools"])),
    )
    return "\n\n".join(sections) + "\n"


def summary(texts: Mapping[str, str]) -> str:
    """Return the figures of a trained bundle in three lines, for the terminal."""
    evaluation, trained_on = json.loads(texts["evaluation"]), json.loads(texts["trained_on"])
    figures = (
        f"average precision {figure(evaluation['average_precision'])}, at {evaluation['threshold']}"
        f" recall {figure(evaluation['recall'])}, precision {figure(evaluation['precision'])}"
    )
    return (
        f"Fitted on {trained_on['rows']:,} rows ({trained_on['frauds']} frauds), tested on "
        f"{evaluation['rows']:,} later ones ({evaluation['frauds']})\n"
        f"{weights(trained_on)}\n{figures}"
    )


def _brought(texts: Mapping[str, str], trained_on: Figures) -> tuple[str, ...]:
    """Return the sections of a bundle made of somebody's net: nothing was measured here."""
    names, golden = json.loads(texts["feature_names"]), json.loads(texts["golden"])
    typical = "medians" if texts["training_data_sha256"] else "centres of the scaling"
    baseline = zip(names, json.loads(texts["baseline"]), strict=True)
    origin = (
        "## Origin\n\n"
        f"Converted from `{trained_on['converted_from']}`. How it was trained, on what, and how "
        "well it does, the file does not say. Measure it on labelled transactions that are later "
        "than its training."
    )
    contract = (
        "## Inputs and outputs\n\n"
        f"`features`, float64 (batch, {len(names)}), raw values in this order: {', '.join(names)}. "
        "`logit` and `probability`, float32 (batch,). The scaling is inside.\n\n"
        f"Reasons compare with these values ({typical}): "
        f"{', '.join(f'{name} {value:.6g}' for name, value in baseline)}."
    )
    rows = (
        "## Golden rows\n\n"
        f"{len(golden['probability'])} made-up rows with the probabilities that the converted "
        f"model itself gave, from {min(golden['probability']):.4g} to "
        f"{max(golden['probability']):.4g}; each start of the scorer repeats them."
    )
    return origin, contract, rows, _reproduce(trained_on, json.loads(texts["tools"]))


def _use(evaluation: Figures) -> str:
    return (
        "## Intended use\n\n"
        "To rank card transactions for review by people, and to alert from a probability of "
        f"{evaluation['threshold']} on. Not to refuse a payment or to judge a person unreviewed, "
        "and not for transactions from elsewhere than the data below: their features would not "
        "mean the same. Train on your own, with the command at the end."
    )


def _inputs(names: list[str], trained_on: Figures, evaluation: Figures) -> str:
    return (
        "## Inputs and outputs\n\n"
        f"`features`, float64 (batch, {len(names)}), raw values in this order: {', '.join(names)}. "
        "`logit` and `probability`, float32 (batch,). The scaling is inside: standardised, then "
        f"clipped at {trained_on['recipe']['clip_sd']:g} standard deviations, so that a value "
        "further out says no more. Inputs must be finite: check before, for an infinite one can "
        "pass for a large one. Rank by logit: probabilities tie at 1. The file gives Keras's own "
        f"probabilities within {evaluation['largest_difference_from_keras']:.1g} on the test rows."
    )


def _data(digest: str, trained_on: Figures, evaluation: Figures) -> str:
    hours = (evaluation["time_to"] - trained_on["time_from"]) / 3600
    return (
        "## Data\n\n"
        f"{trained_on['source']}\n\n"
        f"- file: `{trained_on['file']}`, sha256 `{digest}`; {hours:.1f} hours of transactions\n"
        f"- fitted on: Time {trained_on['time_from']:,.0f} to {trained_on['time_to']:,.0f} s, "
        f"{trained_on['rows']:,} rows, {trained_on['frauds']} of them frauds\n"
        f"- rows left out since they repeat an earlier one: {trained_on['repeated_rows_left_out']}"
        f"\n- weights: {weights(trained_on)}\n\n"
        "No row of the file is in the model: its golden rows are made up, its baseline row is a "
        "median feature by feature, its histograms count rows by feature."
    )


def _recipe(trained_on: Figures) -> str:
    recipe = trained_on["recipe"]
    rows = "\n".join(
        f"| {name} | {', '.join(value) if isinstance(value, list) else f'{value:g}'} |"
        for name, value in recipe.items()
    )
    return (
        "## Recipe\n\n"
        f"The fitted rows are cut into {recipe['blocks']} blocks of time with equally many frauds; "
        "each net skips one block and scores it. Each net: noise, dense, normalisation, relu, "
        "dropout, dense; AdamW with warm-up and cosine; plain cross-entropy, each row counting "
        "once; no early stop. Slope and offset (Platt) were fitted on those held-out scores from "
        f"Time {trained_on['calibrated_from']:,.0f} s on, with the weights above: "
        f"{trained_on['calibration_slope']:.3f} and {trained_on['calibration_offset']:.3f}. Served "
        "is the mean of the nets' logits, calibrated, folded into one net with "
        f"{recipe['blocks'] * recipe['units']} hidden units.\n\n"
        f"| number | value |\n|---|---|\n{rows}"
    )


def _limits(trained_on: Figures, evaluation: Figures) -> str:
    hours = (evaluation["time_to"] - trained_on["time_from"]) / 3600
    return (
        "## Limits\n\n"
        f"- One period of {hours:.1f} hours: it says nothing of other weeks, other cards, or "
        "fraudsters who have learnt. Watch the live figures.\n"
        "- The recipe was chosen on time-ordered folds of the ULB data, the latest rows among "
        "them: expect a little less on later transactions.\n"
        f"- {against_the_aim(evaluation)}\n"
        f"- {evaluation['frauds']} frauds in the test: the intervals are wide, and one false alert "
        "moves the precision visibly.\n"
        "- V1 to V28 are principal components that the publisher computed: they have no names, "
        "and a reason can only point to a number.\n"
        f"- Weights: {weights(trained_on)}. Where they are an estimate, so are the precision, the "
        "average precision and the calibration."
    )


def against_the_aim(evaluation: Figures) -> str:
    """Return whether recall and precision reach the project's aim, and what is short of it."""
    found = {name: evaluation[name]["value"] for name in AIM}
    short = [
        f"{name} {value:.3f}" if value is not None else f"no {name}"
        for name, value in found.items()
        if value is None or value < AIM[name]
    ]
    aim = " and ".join(f"{name} {wanted:.2f}" for name, wanted in AIM.items())
    aimed = f"The aim at 0.8 is {aim}, that is {aimed_frauds(evaluation)} frauds found"
    if not short:
        return f"{aimed}: reached on this test."
    return (
        f"{aimed}: this test falls short of it with {' and '.join(short)}. So few frauds decide "
        "that another period or seed may do so by one or two transactions more or less."
    )


def aimed_frauds(evaluation: Figures) -> str:
    """Return how many of the test's frauds the aimed recall is."""
    frauds = int(evaluation["frauds"])
    return f"{math.ceil(AIM['recall'] * frauds)} of {frauds}"


def _reproduce(trained_on: Figures, tools: Mapping[str, str]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in tools.items())
    return (
        "## Make it again\n\n"
        f"```\n{trained_on['command']}\n```\n\n"
        "The same bytes on the same machine; on another kind of processor other bytes, and figures "
        f"that differ in the third digit. Made with {versions}."
    )
