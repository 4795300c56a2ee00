"""Kafka's errors in a person's words."""

import logging

import pytest
from confluent_kafka import KafkaError

from stream_scorer.clients import SAME_ERROR_S, ErrorLog
from tests.fakes import Clock


def test_broker_that_is_away_is_logged_once_in_a_while(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    log = ErrorLog(clock)
    with caplog.at_level(logging.WARNING):
        for _ in range(100):
            log(KafkaError(KafkaError._TRANSPORT, "refused"))
            log(KafkaError(KafkaError._ALL_BROKERS_DOWN, "down"))
        assert len(caplog.records) == 2
        clock.now += SAME_ERROR_S
        log(KafkaError(KafkaError._TRANSPORT, "refused"))
    assert len(caplog.records) == 3
