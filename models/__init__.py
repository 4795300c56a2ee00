"""Train the fraud model and export it as one ONNX file that carries all it needs to be served."""

import stream_scorer  # noqa: F401 - before onnxruntime, whose telemetry it turns off
