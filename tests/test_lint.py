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
        ({"security.protocol": " sasl_plaintext", **SASL}, "sends the secret in the clear"),
        (
            {"security.protocol": "sasl_plaintext", **SASL, "sasl.mechanism": " PLAIN"},
            "sends the secret in the clear",
        ),
        (
            {"security.protocol": "ssl", "ssl.endpoint.identification.algorithm": " none"},
            "any host could be the broker",
        ),
    ],
    ids=[
        "PLAIN in the clear",
        "token in the clear",
        "password unused",
        "no check",
        "no host",
        "space before the protocol",
        "space before the mechanism",
        "space before none",
    ],
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


def test_secret_is_told_to_no_endpoint_in_the_clear_wherever_the_broker_is() -> None:
    url = "sasl.oauthbearer.token.endpoint.url"
    assert "want https" in insecure({**FAR, url: "HTTP://idp.example/token"})
    assert "want https" in insecure({"bootstrap.servers": "localhost:1", url: "http://idp:80/t"})
    assert insecure({**FAR, url: "https://idp.example/token"}) == ""
    assert insecure({**FAR, url: "http://127.0.0.1:8080/token"}) == ""
    assert insecure({**FAR, url: "http://[::1]:8080/token"}) == ""
    assert "want https" in insecure({**FAR, url: "http://127.0.0.1:1@idp.example/token"})


def test_what_both_sides_override_is_still_the_admin_clients() -> None:
    environ = {
        "SCORER_KAFKA_BOOTSTRAP_SERVERS": "broker:9093",
        "SCORER_KAFKA_SECURITY_PROTOCOL": "sasl_plaintext",
        "SCORER_KAFKA_SASL_MECHANISM": "PLAIN",
        "SCORER_KAFKA_SASL_PASSWORD": "geheim",
        "SCORER_KAFKA_CONSUMER_SECURITY_PROTOCOL": "sasl_ssl",
        "SCORER_KAFKA_PRODUCER_SECURITY_PROTOCOL": "sasl_ssl",
    }
    with pytest.raises(BadInput, match="sends the secret in the clear"):
        Settings.load(environ=environ)


def test_one_sides_settings_count_and_may_be_allowed_by_intent() -> None:
    environ = {
        "SCORER_KAFKA_BOOTSTRAP_SERVERS": "broker:9093",
        "SCORER_KAFKA_PRODUCER_SECURITY_PROTOCOL": "ssl",
        "SCORER_KAFKA_PRODUCER_ENABLE_SSL_CERTIFICATE_VERIFICATION": "false",
    }
    with pytest.raises(BadInput, match="SCORER_ALLOW_INSECURE"):
        Settings.load(environ=environ)
    assert Settings.load(environ={**environ, "SCORER_ALLOW_INSECURE": "true"}).allow_insecure
