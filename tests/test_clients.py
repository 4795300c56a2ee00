"""Kafka's errors in a person's words."""

import logging

import pytest
from confluent_kafka import KafkaError, KafkaException

from stream_scorer.clients import (
    SAME_ERROR_S,
    ErrorLog,
    consumer_config,
    producer_config,
    settled,
    why_silent,
)
from stream_scorer.config import Settings
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


def test_question_to_a_topic_just_made_is_asked_again() -> None:
    answers = iter([KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.NOT_COORDINATOR, None])

    def ask() -> str:
        code = next(answers)
        if code is not None:
            raise KafkaException(KafkaError(code))
        return "settled"

    assert settled(ask, timeout_s=5) == "settled"


@pytest.mark.parametrize(
    ("code", "timeout_s"),
    [(KafkaError.TOPIC_AUTHORIZATION_FAILED, 5.0), (KafkaError.NOT_COORDINATOR, -1.0)],
    ids=["no right", "no time left"],
)
def test_answer_that_waiting_does_not_change_is_raised(code: int, timeout_s: float) -> None:
    asked = 0

    def ask() -> None:
        nonlocal asked
        asked += 1
        raise KafkaException(KafkaError(code))

    with pytest.raises(KafkaException):
        settled(ask, timeout_s=timeout_s)
    assert asked == 1


def test_connection_is_tried_again_within_a_second_unless_a_person_says_otherwise() -> None:
    key = "reconnect.backoff.max.ms"
    for side in (consumer_config, producer_config):
        assert int(side(Settings())[key]) <= 1000
        assert side(Settings(kafka={key: "7000"}))[key] == "7000"


@pytest.mark.parametrize(
    ("said", "tells"),
    [
        (KafkaError(KafkaError._TRANSPORT, "h:1: Disconnected (in state UP)"), "it closes"),
        (KafkaError(KafkaError._TRANSPORT, "h:1: 1 request(s) timed out: disconnect"), "it closes"),
        (
            KafkaError(KafkaError._TRANSPORT, "h:1: Broken pipe (after 0ms in state UP)"),
            "it closes",
        ),
        (KafkaError(KafkaError._TRANSPORT, "h:1/1: Connection refused"), "Connection refused"),
        (KafkaError(KafkaError._SSL, "handshake failed"), "handshake failed"),
    ],
)
def test_broker_that_closes_what_comes_is_told_from_one_that_is_not_there(
    said: KafkaError, tells: str
) -> None:
    down = KafkaError(KafkaError._ALL_BROKERS_DOWN)
    assert tells in why_silent([down, said], Settings())
