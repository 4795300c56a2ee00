"""Train the fraud model and export it as one ONNX file that carries all it needs to be served."""
