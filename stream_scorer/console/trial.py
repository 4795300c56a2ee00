"""One transaction's probability while a person turns its features; nothing is written."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection, select

from stream_scorer.console import schema
from stream_scorer.errors import BadInput
from stream_scorer.model import Model
from stream_scorer.reasons import REASONS, explain, occlude
from stream_scorer.records import Matrix

# Effects that are shown.
SHOWN = 6
# Share of training's rows beyond either end of what is usual; by how much a bin may miss it.
TAIL, ROUNDED = 0.05, 0.005


@dataclass(frozen=True, slots=True)
class Effect:
    """One feature's part: by how much its typical value would lower the log-odds."""

    feature: str
    value: float
    baseline: float
    effect: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the model says of a transaction."""

    probability: float
    effects: Sequence[Effect]  # the largest, either way, first


def typical(model: Model) -> dict[str, float]:
    """Return the median genuine transaction."""
    return dict(zip(model.feature_names, model.baseline.tolist(), strict=True))


def of_alert(connection: Connection, model: Model, alert_id: str) -> tuple[dict[str, float], str]:
    """Return an alert's features and the sha256 of its model; raise BadInput where they lack."""
    alert = schema.alert.c
    row = connection.execute(
        select(alert.body, alert.model_sha256).where(alert.alert_id == alert_id)
    ).one_or_none()
    if row is None:
        raise BadInput("there is no such alert here")
    features = json.loads(row.body).get("features") or {}
    lacking = [name for name in model.feature_names if not is_number(features.get(name))]
    if lacking:
        raise BadInput(f"the alert lacks {', '.join(lacking[:5])}, which the model reads")
    return {name: float(features[name]) for name in model.feature_names}, row.model_sha256


def is_number(value: object) -> bool:
    """Tell a finite number from anything else."""
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and abs(value) < 1e300  # noqa: PLR2004 - near the end of float64
        and math.isfinite(value)
    )


def usual(model: Model) -> dict[str, tuple[float, float]]:
    """Return between which values nine in ten of training's rows lie, one in twenty beyond each.

    As near as the edges of the bins are; features without a histogram are left out.
    """
    found = {}
    for name, known in model.histograms.items():
        reached = np.cumsum(known.counts) / max(1, known.counts.sum())
        low, high = np.searchsorted(reached, [TAIL + ROUNDED, 1 - TAIL - ROUNDED], side="right")
        low, high = min(low, len(reached) - 1), min(high, len(reached) - 1)
        found[name] = (float(known.edges[low]), float(known.edges[high + 1]))
    return found


def limits(model: Model, start: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """Return between which values each feature is turned: training's extremes, and `start`."""
    found = {}
    for name, usual in typical(model).items():
        known = model.histograms.get(name)
        values = [usual, start[name]]
        values += [float(known.edges[0]), float(known.edges[-1])] if known else []
        low, high = min(values), max(values)
        found[name] = (low, high) if low < high else (low - 1, high + 1)
    return found


def leading(model: Model, start: Mapping[str, float]) -> list[str]:
    """Return the features to turn first: the reasons, or what could raise the score most."""
    row = matrix(model, start)
    logit, _ = model.score(row)
    ((reasons, _),) = explain(model, row, logit)
    if reasons:
        return [reason["feature"] for reason in reasons]
    ends = limits(model, start)
    names = list(model.feature_names)
    turned = np.repeat(row, 2 * len(names), axis=0)
    for place, name in enumerate(names):
        turned[2 * place, place], turned[2 * place + 1, place] = ends[name]
    rises = model.score(turned)[0].reshape(-1, 2).max(axis=1) - logit[0]
    return [names[i] for i in np.argsort(-rises, kind="stable")[:REASONS].tolist()]


def judge(model: Model, values: Mapping[str, float]) -> Verdict:
    """Return what the model says; the effects are those of occlusion, as an alert's reasons."""
    row = matrix(model, values)
    logit, probability = model.score(row)
    effects = np.nan_to_num(occlude(model, row, logit)[0])
    usual = typical(model)
    order = np.argsort(-np.abs(effects), kind="stable")[:SHOWN].tolist()
    names = [model.feature_names[i] for i in order]
    return Verdict(
        float(probability[0]),
        [
            Effect(name, values[name], usual[name], float(effects[i]))
            for i, name in zip(order, names, strict=True)
            if effects[i]
        ],
    )


def matrix(model: Model, values: Mapping[str, float]) -> Matrix:
    """Return one raw row, float64 (1, features)."""
    return np.array([[values[name] for name in model.feature_names]], dtype=np.float64)
