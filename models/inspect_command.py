"""`stream-scorer model inspect` and `verify`: what a bundle says of itself, and if it holds."""

import json
import shlex
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from models.card_figures import figure
from models.extra import train_extra
from stream_scorer.errors import BadInput
from stream_scorer.model import Model

FILE = click.argument("file", type=click.Path(path_type=Path))
# Entries of the metadata that hold plain text; the others are JSON.
PLAIN = {"bundle_schema", "name", "version", "training_data_sha256"}


@click.command()
@FILE
@click.option("--json", "as_json", is_flag=True, help="All of the metadata as JSON.")
@click.option(
    "--card",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the model card, Markdown, to this file.",
)
def inspect(file: Path, *, as_json: bool, card: Path | None) -> None:
    """Show what a bundle says of itself: features, figures, where it comes from.

    \b
    Example: stream-scorer model inspect my.onnx

    Its golden rows are scored first, as at every start of the scorer.
    """
    model = Model.load(file)
    texts = model.session.get_modelmeta().custom_metadata_map
    try:
        entries = {key: text if key in PLAIN else json.loads(text) for key, text in texts.items()}
        if as_json:
            click.echo(json.dumps({"sha256": model.sha256, **entries}, indent=2))
        else:
            Console().print(*describe(model, entries), sep="\n")
        if card is not None:
            write_card(card, file, model, texts)
            click.echo(f"Card   {card}", err=True)
    except (AttributeError, TypeError, ValueError, IndexError) as exc:
        raise BadInput(f"{file} has metadata of another shape than a bundle's: {exc}") from exc


def describe(model: Model, entries: dict[str, Any]) -> list[Table]:
    """Return what a person wants to know, as tables."""
    about = Table("", Column("", overflow="fold"), box=None, show_header=False)
    about.add_row("model", escape(f"{model.name} {model.version}"))
    about.add_row("sha256", model.sha256)
    golden = entries["golden"]["probability"]
    about.add_row(
        "golden rows", f"{len(golden)}, from {min(golden):.4g} to {max(golden):.4g}: hold"
    )
    trained_on, evaluation = entries.get("trained_on", {}), entries.get("evaluation", {})
    for key in ("file", "converted_from", "rows", "frauds", "command"):
        if key in trained_on:
            about.add_row(key.replace("_", " "), escape(str(trained_on[key])))
    for key in ("average_precision", "recall", "precision"):
        if key in evaluation:
            about.add_row(key.replace("_", " "), figure(evaluation[key]))
    tools = ", ".join(f"{k} {v}" for k, v in entries.get("tools", {}).items())
    about.add_row("tools", escape(tools))
    features = Table("feature", "typical", "lowest trained on", "highest", box=None)
    histograms = entries.get("histograms", {})
    for name, typical in zip(model.feature_names, model.baseline.tolist(), strict=True):
        edges = histograms[name]["edges"] if name in histograms else ()
        limits = [f"{edges[0]:.6g}", f"{edges[-1]:.6g}"] if edges else ["?", "?"]
        features.add_row(escape(name), f"{typical:.6g}", *limits)
    return [about, features]


def write_card(card: Path, file: Path, model: Model, texts: dict[str, str]) -> None:
    """Write the model card; raise BadInput if the bundle does not say enough for one."""
    from models.model_card import render

    try:
        text = render(texts, sha256=model.sha256, size=file.stat().st_size)
    except KeyError as exc:
        raise BadInput(
            f"{file} has no {exc.args[0]!r} in its metadata: no card can be made"
        ) from exc
    try:
        card.write_text(text, encoding="utf-8")
    except OSError as exc:
        raise BadInput(f"cannot write {card}: {exc.strerror or exc}") from exc


@click.command()
@FILE
@click.option("--sha256", default="", help="What the file's sha256 must be.")
def verify(file: Path, *, sha256: str) -> None:
    """Check a bundle as a whole: sha256, contract, golden rows, ONNX checker, operators, weights.

    \b
    Example: stream-scorer model verify my.onnx --sha256 5902...

    Exits 0 only if all of it holds. Needs the extra `train`, for the checker; `stream-scorer check`
    does the rest without it.
    """
    model = Model.load(file, sha256=sha256)
    with train_extra():
        from models.wrap import check_bundle
    check_bundle(file.read_bytes(), name=str(file))
    click.echo(f"{file} holds: {model.name} {model.version}, sha256 {model.sha256}")
    click.echo(f"Next   SCORER_MODEL={shlex.quote(str(file))} stream-scorer check")
