"""What-if's figures as a picture: SVG or PNG, drawn by matplotlib."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stream_scorer.alerts import printable
from stream_scorer.errors import BadInput, ScorerError
from stream_scorer.what_if.figures import Costs, figures_at
from stream_scorer.what_if.showing import Answer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = (".svg", ".png")
# Of a curve. At 0 everything alerts, which would flatten all the rest.
POINTS, LOWEST = 400, 0.01
PANELS = {
    "precision": "precision",
    "recall": "recall",
    "alerts_a_day": "alerts a day",
    "money_missed": "money missed",
    "cost": "cost",
}
COLOURS = ("tab:blue", "tab:orange")


def check_picture(path: Path) -> None:
    """Raise, before any work, if the picture cannot be drawn or not be written there."""
    if path.suffix.lower() not in KINDS:
        raise BadInput(f"--picture {path}: want a name that ends in {' or '.join(KINDS)}")
    if not path.parent.is_dir():
        raise BadInput(f"--picture {path}: there is no directory {path.parent}")
    try:
        import matplotlib as mpl
    except ModuleNotFoundError as exc:
        raise ScorerError("--picture needs matplotlib: pip install 'stream-scorer[train]'") from exc
    mpl.use("agg")  # no window


def draw(path: Path, answers: Sequence[Answer], costs: Costs) -> None:
    """Write the picture, whole or not at all; the same figures give the same SVG.

    A panel for each figure that there is, over all thresholds; upright are the threshold that is
    set now (dotted) and each model's best one, with its interval shaded.
    """
    import matplotlib as mpl
    from matplotlib import pyplot as plt

    mpl.rcParams["svg.hashsalt"] = "stream-scorer"
    thresholds = np.linspace(LOWEST, 1, POINTS).tolist()
    curves = [figures_at(thresholds, answer.side.scored, costs) for answer in answers]
    panels = [name for name in PANELS if any(getattr(c[0], name) is not None for c in curves)]
    size = (8, 2.2 * len(panels))
    figure, axes = plt.subplots(len(panels), sharex=True, squeeze=False, figsize=size)
    for axis, name in zip(axes[:, 0], panels, strict=True):
        for answer, curve, colour in zip(answers, curves, COLOURS, strict=False):
            known = [each for each in curve if getattr(each, name) is not None]
            heights = [getattr(each, name) for each in known]
            axis.plot(
                [each.threshold for each in known], heights, color=colour, label=name_of(answer)
            )
            if answer.best and answer.best.figures.threshold is not None:
                low, high = (1.0 if t is None else t for t in answer.best.threshold_interval)
                axis.axvline(answer.best.figures.threshold, color=colour)
                axis.axvspan(low, high, color=colour, alpha=0.15)
        axis.axvline(answers[0].now, color="grey", linestyle=":")
        axis.set_ylabel(PANELS[name])
        axis.set_yscale("symlog" if name == "alerts_a_day" else "linear")
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
    axes[0, 0].legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)
    axes[-1, 0].set_xlabel("threshold (dotted: now; full: best, with its interval)")
    figure.tight_layout()
    write(figure, path)
    plt.close(figure)


def write(figure: "Figure", path: Path) -> None:
    """Write a figure under another name first; raise BadInput if it cannot be written."""
    kind, unfinished = path.suffix.lower()[1:], path.with_name(f".{path.name}.unfinished")
    try:
        figure.savefig(unfinished, format=kind, metadata={"Date": None} if kind == "svg" else None)
        unfinished.replace(path)
    except OSError as exc:
        unfinished.unlink(missing_ok=True)
        raise BadInput(f"--picture {path}: {exc.strerror or exc}") from exc


def name_of(answer: Answer) -> str:
    """Return a model's name; a dollar sign would begin a formula."""
    return printable(f"{answer.side.model}, {answer.side.sha256[:12]}").replace("$", r"\$")
