"""What many tests share: a small model, and one real Kafka for the whole session."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from stream_scorer.kafka_jars import KAFKA_VERSION
from stream_scorer.local_kafka import local_kafka
from stream_scorer.model import Model
from tests.bundles import write_bundle

# A machine that is busy with something else breaks no rule.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.fixture(scope="session")
def tiny_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the path of a linear bundle of three features."""
    return write_bundle(tmp_path_factory.mktemp("bundle") / "tiny.onnx")


@pytest.fixture(scope="session")
def tiny(tiny_path: Path) -> Model:
    """Return that bundle, loaded."""
    return Model.load(tiny_path)


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """Return the address of a real broker: one given, one in a container, or one of our own.

    No broker is a failure, never a skip.
    """
    given = os.environ.get("TEST_KAFKA_BOOTSTRAP")
    if given:
        yield given
        return
    with contextlib.ExitStack() as stack:
        if os.environ.get("TEST_KAFKA") == "docker":
            from testcontainers.community.kafka import KafkaContainer

            container = KafkaContainer("apache/kafka:4.1.0")
            yield stack.enter_context(container).get_bootstrap_server()
        else:
            version = os.environ.get("TEST_KAFKA_VERSION", KAFKA_VERSION)
            yield stack.enter_context(local_kafka(version=version)).bootstrap
