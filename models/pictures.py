"""The report's pictures, drawn from its figures: SVG, as addresses that hold the picture itself."""

import base64
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

Figures = Mapping[str, Any]

# Okabe and Ito's, told apart by the colour-blind; with different dashes, on a grey print too.
GENUINE, FRAUD = "#0072B2", "#D55E00"
CHOSEN = FRAUD
COLOURS = (GENUINE, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C8C8C")
DASHES = ("--", "-.", ":")
STYLE = {
    "svg.hashsalt": "stream-scorer",  # the same figures give the same bytes
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "legend.frameon": False,
}
# Inches; as wide as a page of the report.
WIDTH = 7.2


def draw(figures: Figures) -> dict[str, str]:
    """Return each picture of the report by name, as the address of an `img`."""
    drawn = {}
    for name, picture in PICTURES.items():
        with mpl.rc_context(STYLE):  # type: ignore[arg-type] # its keys are literals
            canvas = picture(figures)
            content = BytesIO()
            canvas.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
        drawn[name] = f"data:image/svg+xml;base64,{base64.b64encode(content.getvalue()).decode()}"
    return drawn


def _canvas(height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, list[Axes]]:
    figure = Figure((WIDTH, height), layout="constrained")
    return figure, list(np.ravel(figure.subplots(rows, columns)))


def _line(figures: Figures, name: str) -> dict[str, Any]:
    """Return how a model's line looks: the same in all pictures."""
    if name == figures["choice"]["name"]:
        return {"color": CHOSEN, "linewidth": 2.6, "label": name, "zorder": 3}
    place = list(figures["models"]).index(name)
    return {
        "color": COLOURS[place % len(COLOURS)],
        "linestyle": DASHES[place % len(DASHES)],
        "linewidth": 1.3,
        "label": name,
    }


def _by_class(axes: Axes, histogram: Figures) -> None:
    for kind, colour in (("genuine", GENUINE), ("fraud", FRAUD)):
        axes.stairs(
            histogram[kind], histogram["edges"], label=kind, color=colour, fill=True, alpha=0.25
        )
        axes.stairs(histogram[kind], histogram["edges"], color=colour)


def _histograms(figures: Figures) -> Figure:
    histograms = figures["look"]["histograms"]
    columns = 4
    canvas, axes = _canvas(11.0, -(-len(histograms) // columns), columns)
    for each, (name, histogram) in zip(axes, histograms.items(), strict=False):
        _by_class(each, histogram)
        each.set_title(name, fontsize=9, loc="left")
        each.set_yticks([])
        each.grid(visible=False)
    axes[0].legend(fontsize=8)
    return canvas


def _amount(figures: Figures) -> Figure:
    canvas, (axes,) = _canvas(2.8)
    _by_class(axes, figures["look"]["amount"])
    ticks = np.array([0, 1, 10, 100, 1000, 10_000])
    low, high = axes.get_xlim()
    shown = [tick for tick in ticks if low <= np.log10(1 + tick) <= high]
    axes.set_xticks(np.log10(1 + np.array(shown)), [f"{tick:,}" for tick in shown])
    axes.set_xlabel("Amount, logarithmic")
    axes.set_ylabel("share of the class's rows")
    axes.legend()
    return canvas


def _time(figures: Figures) -> Figure:
    by_hour = figures["look"]["by_hour"]
    canvas, axes = _canvas(4.2, 2)
    edges = by_hour["time_from"] + by_hour["step_s"] * np.arange(len(by_hour["genuine"]) + 1)
    for each, kind, colour in zip(axes, ("genuine", "fraud"), (GENUINE, FRAUD), strict=True):
        each.stairs(by_hour[kind], edges / 3600, color=colour, fill=True, alpha=0.5)
        each.set_ylabel(f"{kind} a step")
        each.margins(y=0.18)  # room for the names of the parts
        for part in ("validation", "test"):
            start = figures["split"][part]["time_from"] / 3600
            each.axvline(start, color="black", linestyle="--", linewidth=1)
            each.annotate(f" {part}", (start, 1), xycoords=("data", "axes fraction"), va="top")
    axes[-1].set_xlabel("Time, hours")
    return canvas


def _correlations(figures: Figures) -> Figure:
    look = figures["look"]
    canvas, (axes,) = _canvas(6.6)
    names = look["correlation_names"]
    image = axes.imshow(look["correlations"], cmap="RdBu_r", vmin=-1, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.grid(visible=False)
    canvas.colorbar(image, shrink=0.7, label="correlation")
    return canvas


def _dots(figures: Figures) -> Figure:
    models = figures["models"]
    order = sorted(models, key=lambda name: models[name]["test"]["average_precision"]["value"])
    canvas, (axes,) = _canvas(3.2)
    for place, name in enumerate(order):
        test = models[name]["test"]["average_precision"]
        colour = CHOSEN if name == figures["choice"]["name"] else GENUINE
        axes.plot([test["low"], test["high"]], [place, place], color=colour, linewidth=2)
        axes.plot(test["value"], place, "o", color=colour, markersize=7)
        validation = models[name]["validation_average_precision"]["value"]
        axes.plot(validation, place, "x", color="black", markersize=6)
    axes.set_yticks(range(len(order)), order)
    axes.set_xlabel("average precision: dot and line test with interval, cross validation")
    return canvas


def _curves(figures: Figures) -> Figure:
    canvas, (axes,) = _canvas(4.6)
    for name, model in figures["models"].items():
        recall, precision = np.array(model["curve"]).T
        (line,) = axes.plot(recall, precision, **_line(figures, name))
        line.set_label(f"{name} ({model['test']['average_precision']['value']:.3f})")
    axes.set_xlabel("recall: share of the frauds that is alerted")
    axes.set_ylabel("precision: share of the alerts that is fraud")
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.02)
    axes.legend(fontsize=8, loc="lower left")
    return canvas


def _calibration(figures: Figures) -> Figure:
    canvas, (axes,) = _canvas(4.6)
    axes.plot([0, 1], [0, 1], color="#8c8c8c", linewidth=1, label="as predicted")
    for name, model in figures["models"].items():
        rows = model["reliability"]
        predicted, seen, low, high = (
            np.array([row[key] for row in rows]) for key in ("predicted", "seen", "low", "high")
        )
        line = _line(figures, name)
        if name == figures["choice"]["name"]:
            error = np.array([seen - low, high - seen]).clip(min=0)
            axes.errorbar(predicted, seen, error, marker="o", capsize=3, **line)
        else:
            axes.plot(predicted, seen, **line)
    axes.set_xlabel("predicted probability, mean of the bin")
    axes.set_ylabel("share of frauds that was seen")
    axes.legend(fontsize=8, loc="upper left")
    return canvas


PICTURES: dict[str, Callable[[Figures], Figure]] = {
    "histograms": _histograms,
    "amount": _amount,
    "time": _time,
    "correlations": _correlations,
    "dots": _dots,
    "curves": _curves,
    "calibration": _calibration,
}
