"""What the Python jobs have alike: the topics, the model on one thread, and what an alert holds.

Each job runs in an environment of its own, so nothing of stream_scorer is imported here.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime

BOOTSTRAP = os.environ["PEER_BOOTSTRAP"]
GROUP = os.environ["PEER_GROUP"]
SOURCE = os.environ["PEER_SOURCE"]
ALERTS = os.environ["PEER_ALERTS"]
FEATURES = os.environ["PEER_FEATURES"].split(",")
EXACTLY_ONCE = "PEER_EXACTLY_ONCE" in os.environ
THRESHOLD = np.float32(0.8)
# Seconds: each job that commits does so ten times a second, so each repeats as much after a crash.
COMMIT_S = 0.1

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(os.environ["PEER_MODEL"], options)


def score(events: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the alerts of decoded events, scored as one batch."""
    if not events:
        return []
    rows = np.array([[event[name] for name in FEATURES] for event in events])
    (probability,) = session.run(["probability"], {"features": rows})
    return [
        alert(events[i], float(probability[i])) for i in np.flatnonzero(probability >= THRESHOLD)
    ]


def alert(event: Mapping[str, Any], probability: float) -> dict[str, Any]:
    """Return what is published of an event that is likely fraud."""
    return {
        "transaction_id": event["transaction_id"],
        "probability": probability,
        "features": {name: event[name] for name in FEATURES},
    }
