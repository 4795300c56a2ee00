"""The commands `stream-scorer model ...`, each in a module of its own."""

import click

from stream_scorer.lazy import LazyGroup

COMMANDS = {
    "train": "models.train_command:train",
    "compare": "models.compare_command:compare",
    "convert": "models.convert_command:convert",
    "inspect": "models.inspect_command:inspect",
    "verify": "models.inspect_command:verify",
    "switch": "models.switch_command:switch",
}


@click.group(cls=LazyGroup, places=COMMANDS)
def model() -> None:
    """Make, convert and look at the models that score.

    \b
    stream-scorer model train creditcard.csv -o my.onnx     fit one, measured on later rows
    stream-scorer model compare creditcard.csv              beside other kinds, as a report
    stream-scorer model convert my.keras --features ...     bring your own
    stream-scorer model inspect my.onnx                     what it says of itself
    stream-scorer model switch my.onnx                      let the running replicas take it
    """
