"""Score a Kafka topic of transactions with an ONNX model, alert on fraud, and lose nothing."""

import os

__version__ = "0.1.0"

# From 1.32 on, onnxruntime's wheels keep a name for the machine and send events to their maker from
# their import on, unless told not to (their Privacy.md).
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
