"""Score a Kafka topic of transactions with an ONNX model, alert on fraud, and lose nothing."""

__version__ = "0.1.0"
