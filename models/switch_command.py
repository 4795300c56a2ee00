"""`stream-scorer model switch`: tell every replica which model to run, on the control topic."""

import json
from pathlib import Path

import click

from stream_scorer import clients
from stream_scorer.config import Settings
from stream_scorer.control import MODEL_KEY, require_name
from stream_scorer.errors import BadInput, DeliveryError
from stream_scorer.flags import settings_options
from stream_scorer.model import Model

# Seconds. The broker's answer to one record; longer means that it is away.
ANSWER_TIMEOUT_S = 30.0


@click.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--back", is_flag=True, help="Take the request back: SCORER_MODEL counts again.")
@settings_options("control_topic")
def switch(*, file: Path | None, back: bool, settings: Settings) -> None:
    """Ask every replica for the model in FILE, by its name and sha256.

    \b
    Example: stream-scorer model switch fraud-2.onnx --control-topic scorer-control

    Each replica must have a file of that name beside its SCORER_MODEL. It checks it, lets it score
    SCORER_SHADOW_ROWS rows in shadow, and swaps between two batches; or it refuses and says why in
    its log and in scorer_model_changes_total. The topic must be compacted: a replica that starts
    later reads the request there.
    """
    if (file is None) is not back:
        raise BadInput("model switch wants either a FILE or --back")
    if file is not None:
        require_name(file.name, f"FILE is {file.name!r}")
    if not settings.control_topic:
        raise BadInput("SCORER_CONTROL_TOPIC is not set: want the topic that the replicas read")
    clients.require_topics(settings, [settings.control_topic])
    value, text = None, "SCORER_MODEL"
    if file is not None:
        model = Model.load(file)
        value = json.dumps({"file": file.name, "sha256": model.sha256}).encode()
        text = f"{file.name}, model {model.name} {model.version} ({model.sha256[:12]})"
    failures: list[str] = []
    producer = clients.producer(settings)
    producer.produce(
        settings.control_topic,
        value,
        MODEL_KEY,
        on_delivery=lambda error, _: failures.append(error.str()) if error else None,
    )
    if producer.flush(ANSWER_TIMEOUT_S) or failures:
        reason = "".join(failures) or f"no answer for {ANSWER_TIMEOUT_S:.0f} s"
        raise DeliveryError(f"topic {settings.control_topic!r} did not take the request: {reason}")
    click.echo(f"Asked on {settings.control_topic} for {text}")
    click.echo("Next   look at scorer_model_info of each replica, or at its log")
