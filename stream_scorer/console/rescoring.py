"""One alert scored again from its source record, as `stream-scorer verify` does, in words."""

from contextlib import closing

from confluent_kafka import Message

from stream_scorer.codecs import decoder_maker
from stream_scorer.config import Settings
from stream_scorer.console.shelf import Shelf
from stream_scorer.model import Model
from stream_scorer.places import PlaceReader
from stream_scorer.verify.rescoring import Verdict, Verifier
from stream_scorer.verify.showing import in_words

SHOWN = 5  # fields that differ


def verify(settings: Settings, shelf: Shelf, body: str) -> str:
    """Say what comes of an alert, as it stands on the topic, when its source is scored again.

    Raises BadInput where the model file is of no use, KafkaTrouble where Kafka does not answer.
    """
    model = shelf.card().model

    def find(sha256: str) -> Model | str:
        here = f"the model file here is {model.sha256[:12]}, the alert's was {sha256[:12]}"
        return model if model.sha256 == sha256 else here

    with closing(PlaceReader(settings)) as places:
        verifier = Verifier(
            find_model=find,
            make_decoder=decoder_maker(settings),
            cluster_id=places.cluster_id,
            fetch=places.fetch,
        )
        (verdict,) = verifier([Message(topic=settings.alerts_topic, value=body.encode())])
    return said(verdict)


def said(verdict: Verdict) -> str:
    """Return a verdict in one sentence or two."""
    if verdict.kind == "identical":
        return "Verified: scored again from its source record, it has the same bytes."
    parts = [in_words(each) for each in verdict.differences[:SHOWN]] or [verdict.detail]
    if len(verdict.differences) > SHOWN:
        parts.append(f"and {len(verdict.differences) - SHOWN} more")
    return f"Scored again from its source record: {verdict.kind}. {'; '.join(parts)}."
