"""The libraries of the extra `train`: imported by the commands that need them, and by no other."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from stream_scorer.extras import extra

EXTRA = {
    "imblearn",
    "jinja2",
    "keras",
    "lightgbm",
    "matplotlib",
    "onnx",
    "pandas",
    "pyarrow",
    "sklearn",
    "tensorflow",
    "tf2onnx",
}


@contextmanager
def train_extra() -> Iterator[None]:
    """Import inside of this: 1.9 GB that serving does without, and seconds to import.

    Raises ScorerError with what to install if one of the libraries is not there.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"  # the one that can be exported
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow is loud as it starts
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # and tells tf2onnx how to be newer
    with extra("train", EXTRA, what="training"):
        yield
