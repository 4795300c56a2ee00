"""From a file of labelled transactions to the bytes of a checked, measured model file."""

import importlib.metadata
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

import tensorflow as tf

from models import bundle, export, folds, golden, profile
from models.evaluate import Scored, evaluate
from models.fitting import Fitted, fit
from models.progress import Tell
from models.reading import TrainingFile
from models.recipe import Recipe
from models.time_effect import time_effect
from models.transactions import FEATURES, Sampling, Transactions

TOOLS = ("keras", "numpy", "onnx", "onnxruntime", "pandas", "pyarrow", "scikit-learn", "tf2onnx")


@dataclass(frozen=True, slots=True)
class Order:
    """What to train and how to call it. `test_from` in seconds of `Time`, None for the default."""

    name: str
    version: str
    # Where the transactions come from and under which licence, for whoever gets the model.
    source: str
    # What to type to get this model again.
    command: str
    sampling: Sampling
    test_from: float | None = None
    # What `compared.read` took from a report about the same file.
    comparison: Mapping[str, object] = field(default_factory=dict)
    recipe: Recipe = field(default_factory=Recipe)


def train(file: TrainingFile, order: Order, progress: Tell) -> bytes:
    """Return the bundle fitted on the rows before the test period and measured on those in it."""
    rows, test = folds.split(file.transactions, test_from=order.test_from)
    fitted = fit(rows, order.recipe, lambda text, share: progress(text, 0.9 * share))
    progress("export", 0.9)
    folded = export.fold(fitted.nets, fitted.platt, used=fitted.used)
    graph = export.to_onnx(fitted.scaling, folded, name=order.name)
    content = graph.SerializeToString()
    scored = Scored(test, *bundle.score(content, test.features))
    difference = bundle.check_parity(
        fitted.keras_score(test.features)[1], scored.probability, rows="test rows"
    )
    progress("evaluation", 0.92)
    baseline = profile.baseline(rows.features[~rows.frauds], rows.weights[~rows.frauds])
    metadata = bundle.Metadata(
        name=order.name,
        version=order.version,
        feature_names=FEATURES,
        training_data_sha256=file.sha256,
        baseline=baseline,
        golden=golden.make(
            rows, baseline=baseline, keras_score=fitted.keras_score, seed=order.recipe.seed
        ),
        histograms=profile.histograms(FEATURES, rows.features, rows.weights),
        score_histogram=bundle.score_histogram(content, rows.features, rows.weights),
        weightless=[name for name, used in zip(FEATURES, fitted.used, strict=True) if not used],
        evaluation={
            **evaluate(scored, seed=order.recipe.seed),
            "time_effect": time_effect(content, test.features),
            "largest_difference_from_keras": difference,
        },
        comparison=order.comparison,
        trained_on=_trained_on(file, order, rows, fitted),
        tools=tools(),
    )
    bundled = bundle.pack(graph, metadata)
    progress("done", 1.0)
    return bundled


def _trained_on(
    file: TrainingFile, order: Order, rows: Transactions, fitted: Fitted
) -> dict[str, object]:
    """Return what the model saw and how; the histograms' counts carry the same weights."""
    return {
        "source": order.source,
        "file": file.name,
        "command": order.command,
        "repeated_rows_left_out": file.repeated,
        "rows": len(rows),
        "frauds": int(rows.frauds.sum()),
        "time_from": float(rows.times[0]),
        "time_to": float(rows.times[-1]),
        "genuine_weight": order.sampling.genuine_weight,
        "complete_until": order.sampling.complete_until,
        "genuine_weighted": float(rows.weights[~rows.frauds].sum()),
        "calibrated_from": fitted.calibrated_from,
        "calibration_slope": fitted.platt.slope,
        "calibration_offset": fitted.platt.offset,
        "recipe": asdict(order.recipe),
    }


def tools(names: Sequence[str] = TOOLS) -> dict[str, str]:
    """Return the versions of Python, TensorFlow and the distributions `names`."""
    return {
        "python": platform.python_version(),
        # By module: the distribution is called tensorflow-cpu on some machines.
        "tensorflow": tf.__version__,
        **{name: importlib.metadata.version(name) for name in names},
    }
