"""Bytewax: the source's batches through the model as they come. It commits no offsets to a group.

Its recovery store, which takes their place, is left off: that is in its favour.
"""

from collections.abc import Iterable, Sequence

import bytewax.operators as op
import orjson
from alike import ALERTS, BOOTSTRAP, SOURCE, score
from bytewax.connectors.kafka import KafkaSinkMessage, KafkaSourceMessage
from bytewax.connectors.kafka import operators as kop
from bytewax.dataflow import Dataflow
from bytewax.run import cli_main

Source = KafkaSourceMessage[bytes | None, bytes | None]


def alerts_of(batch: Sequence[Source]) -> Iterable[KafkaSinkMessage[bytes, bytes]]:
    """Return the alerts of one batch."""
    events = []
    for message in batch:
        try:
            events.append(orjson.loads(message.value or b""))
        except ValueError:
            continue
    return [
        KafkaSinkMessage(each["transaction_id"].encode(), orjson.dumps(each))
        for each in score(events)
    ]


flow = Dataflow("fraud")
source = kop.input("transactions", flow, brokers=[BOOTSTRAP], topics=[SOURCE], batch_size=512)
scored = op.flat_map_batch("score", source.oks, alerts_of)
kop.output("alerts", scored, brokers=[BOOTSTRAP], topic=ALERTS, add_config={"linger.ms": "0"})
cli_main(flow)
