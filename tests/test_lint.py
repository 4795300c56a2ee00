"""What would show a password or trust anybody is refused off the loopback interface."""

import pytest

from stream_scorer.config import Settings
from stream_scorer.errors import BadInput
from stream_scorer.lint import insecure, is_loopback

FAR = {"bootstrap.servers": "broker.example:9093"}
SASL = {"sasl.mechanism": "PLAIN", "sasl.username": "me", "sasl.password": "geheim"}


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"security.protocol": "SASL_PLAINTEXT", **SASL}, "sends the secret in the clear"),
        (
            {"security.protocol": "sasl_plaintext", "sasl.mechanism": "OAUTHBEARER"},
            "OAUTHBEARER over sasl_plaintext",
        ),
        (SASL, "security.protocol is plaintext: want sasl_ssl"),
        (
            {"security.protocol": "ssl", "enable.ssl.certificate.verification": "false"},
            "anybody could be the broker",
        ),
        (
            {"security.protocol": "sasl_ssl", "ssl.endpoint.identification.algorithm": "none"},
            "any host could be the broker",
        ),
    ],
    ids=["PLAIN in the clear", "token in the clear", "password unused", "no check", "no host"],
)
def test_insecure_settings_are_named_off_the_loopback_interface(
    config: dict[str, str], says: str
) -> None:
    assert says in insecure({**FAR, **config})
    assert "geheim" not in insecure({**FAR, **config})
    assert insecure({"bootstrap.servers": "127.0.0.1:9092,localhost:9093", **config}) == ""


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"security.protocol": "ssl"},
        {"security.protocol": "sasl_ssl", **SASL},
        {"security.protocol": "sasl_plaintext", **SASL, "sasl.mechanism": "SCRAM-SHA-512"},
    ],
)
def test_settings_that_tell_nobody_anything_are_fine(config: dict[str, str]) -> None:
    assert insecure({**FAR, **config}) == ""


def test_loopback_is_this_machine_and_nothing_that_looks_like_it() -> None:
    here = ("127.0.0.1:9092", "127.9.9.9", "localhost:9092", "[::1]:9092", "SSL://localhost:9092")
    away = ("10.0.0.1:9092", "localhost.example:1", "127.0.0.1.example:1", "[2001:db8::1]:1", "")
    assert [each for each in here if not is_loopback(each)] == []
    assert [each for each in away if is_loopback(each)] == []


def test_one_sides_settings_count_and_may_be_allowed_by_intent() -> None:
    environ = {
        "SCORER_KAFKA_BOOTSTRAP_SERVERS": "broker:9093",
        "SCORER_KAFKA_PRODUCER_SECURITY_PROTOCOL": "ssl",
        "SCORER_KAFKA_PRODUCER_ENABLE_SSL_CERTIFICATE_VERIFICATION": "false",
    }
    with pytest.raises(BadInput, match="SCORER_ALLOW_INSECURE"):
        Settings.load(environ=environ)
    assert Settings.load(environ={**environ, "SCORER_ALLOW_INSECURE": "true"}).allow_insecure
