"""Settings: three sources, the later wins, and every mistake names the thing to mend."""

from pathlib import Path
from typing import Any

import pytest

from stream_scorer import clients
from stream_scorer.config import Settings
from stream_scorer.errors import BadInput
from stream_scorer.flags import read_pair


def load(toml: Path | None = None, flags: Any = None, **environ: Any) -> Settings:
    return Settings.load(environ=environ, toml=toml, flags=flags)


def test_later_source_wins(tmp_path: Path) -> None:
    toml = tmp_path / "scorer.toml"
    toml.write_text('threshold = 0.6\ngroup_id = "from-toml"\n')
    settings = load(
        toml,
        {"threshold": "0.7"},
        SCORER_THRESHOLD="0.5",
        SCORER_GROUP_ID="a",
        SCORER_HTTP_PORT="1",
    )
    assert (settings.threshold, settings.group_id, settings.http_port) == (0.7, "from-toml", 1)


def test_librdkafka_keys_pass_through_from_every_source(tmp_path: Path) -> None:
    toml = tmp_path / "scorer.toml"
    toml.write_text(
        '[kafka]\nsecurity.protocol = "SSL"\nsocket.keepalive.enable = true\n'
        '"consumer.fetch.min.bytes" = 5\n'
    )
    settings = load(
        toml,
        {"kafka": {"producer.linger.ms": "7"}},
        SCORER_KAFKA_BOOTSTRAP_SERVERS="b:1",
        SCORER_KAFKA_CONSUMER_FETCH_MIN_BYTES="9",
    )
    consumer, producer = clients.consumer_config(settings), clients.producer_config(settings)
    for config in (consumer, producer):
        assert config["bootstrap.servers"] == "b:1"
        assert config["security.protocol"] == "SSL"
        assert config["socket.keepalive.enable"] == "true"
    assert consumer["fetch.min.bytes"] == "5"
    assert producer["linger.ms"] == "7"
    assert "fetch.min.bytes" not in producer
    assert "linger.ms" not in consumer


def test_consumer_protocol_leaves_the_brokers_settings_to_the_broker() -> None:
    classic = clients.consumer_config(load())
    modern = clients.consumer_config(load(SCORER_KAFKA_CONSUMER_GROUP_PROTOCOL="consumer"))
    assert "session.timeout.ms" in classic
    assert "session.timeout.ms" not in modern


def test_value_can_come_from_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("geheim\n")
    settings = load(SCORER_KAFKA_SASL_PASSWORD_FILE=str(secret))
    assert settings.kafka["sasl.password"] == "geheim"


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        (
            {"SCORER_TRESHOLD": "1"},
            "SCORER_TRESHOLD is not a setting; did you mean SCORER_THRESHOLD",
        ),
        ({"SCORER_ALERT_TOPIC": "x"}, "did you mean SCORER_ALERTS_TOPIC"),
        ({"SCORER_KAFKA": "x"}, "SCORER_KAFKA is not a setting: want SCORER_KAFKA_<KEY>"),
        ({"SCORER_SINKS": "kafka,kafka"}, "want each sink once"),
        ({"SCORER_KAFKA_ENABLE_AUTO_COMMIT": "true"}, "ENABLE_AUTO_COMMIT is 'true': want false"),
        ({"SCORER_KAFKA_PRODUCER_ACKS": "1"}, "SCORER_KAFKA_PRODUCER_ACKS is '1': want -1 or all"),
        ({"SCORER_KAFKA_CONSUMER_GROUP_ID": "x"}, "use SCORER_GROUP_ID"),
        ({"SCORER_GROUP_ID": "a", "SCORER_GROUP_ID_FILE": __file__}, "are both set: want one"),
        ({"SCORER_THRESHOLD": "high"}, "SCORER_THRESHOLD is 'high'"),
        ({"SCORER_THRESHOLD": "1.5"}, "SCORER_THRESHOLD is '1.5'.*less than or equal to 1"),
        ({"SCORER_THRESHOLD": "nan"}, "SCORER_THRESHOLD is 'nan'"),
        ({"SCORER_MAX_BATCH_ROWS": "0"}, "SCORER_MAX_BATCH_ROWS is '0'"),
        ({"SCORER_FORMAT": "xml"}, "SCORER_FORMAT is 'xml'.*json"),
        ({"SCORER_SINKS": "kafka,fax"}, "SCORER_SINKS is 'fax'"),
        ({"SCORER_SINKS": "log"}, "SCORER_SINKS.*kafka"),
        ({"SCORER_ALERTS_TOPIC": ""}, "SCORER_ALERTS_TOPIC is ''"),
        ({"SCORER_ALERTS_TOPIC": "transactions"}, "want different topics"),
        ({"SCORER_GUARANTEE": "at-most-once"}, "'at-least-once' or 'exactly-once'"),
        (
            {"SCORER_GUARANTEE": "exactly-once", "SCORER_COMMIT_INTERVAL_MS": "5001"},
            "SCORER_COMMIT_INTERVAL_MS is 5001: exactly-once wants at most 5000",
        ),
        ({"SCORER_KAFKA_PRODUCER_TRANSACTIONAL_ID": "x"}, "use SCORER_REPLICA"),
        ({"SCORER_REPLICA": "a b"}, "SCORER_REPLICA is 'a b'"),
        ({"SCORER_MODEL_SHA256": "abc"}, "SCORER_MODEL_SHA256 is 'abc'"),
        ({"SCORER_GROUP_ID_FILE": "/nowhere/x"}, "SCORER_GROUP_ID_FILE names '/nowhere/x'"),
    ],
)
def test_mistake_names_the_setting_the_value_and_the_want(
    environ: dict[str, Any], says: str
) -> None:
    with pytest.raises(BadInput, match=says) as caught:
        load(**environ)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "key"),
    [
        ("SCORER_KAFKA_LOG_LEVEL", "log_level"),
        (
            "SCORER_KAFKA_SASL_OAUTHBEARER_ASSERTION_PRIVATE_KEY_FILE",
            "sasl.oauthbearer.assertion.private.key.file",
        ),
    ],
)
def test_keys_that_are_written_differently_pass_through_too(variable: str, key: str) -> None:
    environ: dict[str, Any] = {variable: "7"}
    assert load(**environ).kafka == {key: "7"}


def test_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\xff\xfe")
    with pytest.raises(BadInput, match="want a file of UTF-8 text"):
        load(SCORER_KAFKA_SASL_PASSWORD_FILE=str(tmp_path / "x"))


@pytest.mark.parametrize("key", ["ssl.key.location", "sasl.oauthbearer.token.endpoint.url"])
def test_key_that_names_a_place_is_no_secret(key: str) -> None:
    assert read_pair(f"{key}=x") == (key, "x")


def test_pair_without_equals_is_not_quoted_it_may_be_a_secret() -> None:
    with pytest.raises(BadInput, match="KEY=VALUE") as caught:
        read_pair("sasl.password:geheim")
    assert "geheim" not in str(caught.value)


def test_mistyped_kafka_key_names_the_variable_that_was_set_and_the_nearest() -> None:
    settings = load(SCORER_KAFKA_CONSUMER_FETCH_MAX_BYTE="1")
    with pytest.raises(BadInput) as caught:
        clients.consumer(settings)
    assert str(caught.value).startswith("SCORER_KAFKA_CONSUMER_FETCH_MAX_BYTE: ")
    assert "did you mean SCORER_KAFKA_FETCH_MAX_BYTES?" in str(caught.value)


def test_other_programs_variables_are_left_alone() -> None:
    assert load(PATH="x", KAFKA_THING="y") == load()


def test_toml_mistakes_name_the_file(tmp_path: Path) -> None:
    toml = tmp_path / "scorer.toml"
    for text, says in (("x = ", "is not TOML"), ("treshold = 1", "did you mean threshold")):
        toml.write_text(text)
        with pytest.raises(BadInput, match=says) as caught:
            load(toml)
        assert "scorer.toml" in str(caught.value)
    with pytest.raises(BadInput, match="No such file"):
        load(tmp_path / "none.toml")


@pytest.mark.parametrize(
    "key",
    ["sasl.password", "ssl.key.password", "ssl.key.pem", "sasl.oauthbearer.client.secret",
     "sasl.oauthbearer.assertion.private.key.passphrase",
     "ssl.keystore.password", "consumer.sasl.password", "sasl.oauthbearer.config"],
)  # fmt: skip
def test_secret_is_masked_and_never_taken_from_the_command_line(key: str) -> None:
    settings = load(flags={"kafka": {key: "geheim"}})
    assert "geheim" not in str(settings.shown())
    assert "geheim" not in repr(settings)
    with pytest.raises(BadInput, match="_FILE") as caught:
        read_pair(f"{key}=geheim")
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize("key", ["foo.bar", "security.protocol"])
def test_key_that_librdkafka_refuses_is_named_as_its_variable(key: str) -> None:
    settings = load(flags={"kafka": {key: "nonsense"}})
    with pytest.raises(BadInput, match=f"SCORER_KAFKA_{key.replace('.', '_').upper()}"):
        clients.producer(settings)


def test_a_mistyped_secret_is_not_shown() -> None:
    environ = {"SCORER_KAFKA_SASL_PASWORD": "hunter2", "SCORER_KAFKA_SASL_USERNAME": "me"}
    shown = Settings.load(environ=environ).shown()
    assert shown["kafka.sasl.pasword"] == "***"
    assert shown["kafka.sasl.username"] == "me"


def test_a_mistyped_kafka_variable_is_told_the_nearest() -> None:
    with pytest.raises(BadInput, match=r"did you mean SCORER_KAFKA_BOOTSTRAP_SERVERS\?"):
        Settings.load(environ={"SCORER_KAFA_BOOTSTRAP_SERVERS": "a:1"})


def test_other_name_of_a_key_is_looked_at_like_its_own() -> None:
    environ = {
        "SCORER_KAFKA_METADATA_BROKER_LIST": "192.0.2.2:9092",
        "SCORER_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "SCORER_KAFKA_SASL_MECHANISMS": "PLAIN",
    }
    with pytest.raises(BadInput, match="sends the secret in the clear"):
        Settings.load(environ=environ)
    del environ["SCORER_KAFKA_SECURITY_PROTOCOL"]
    settings = Settings.load(environ=environ, flags={"kafka": {"bootstrap.servers": "h:1"}})
    assert settings.kafka == {"bootstrap.servers": "h:1", "sasl.mechanism": "PLAIN"}


def test_key_by_two_names_is_refused() -> None:
    environ = {
        "SCORER_KAFKA_SASL_MECHANISM": "SCRAM-SHA-256",
        "SCORER_KAFKA_SASL_MECHANISMS": "PLAIN",
    }
    with pytest.raises(BadInput, match="SASL_MECHANISMS is another name of SCORER_KAFKA_SASL_MECH"):
        Settings.load(environ=environ)


def test_avro_wants_a_registry() -> None:
    for name in ("SCORER_FORMAT", "SCORER_ALERTS_FORMAT"):
        with pytest.raises(BadInput, match="avro wants SCORER_REGISTRY_URL"):
            Settings.load(environ={name: "avro"})


def test_password_for_a_registry_is_not_sent_in_the_clear_and_not_shown() -> None:
    environ = {"SCORER_REGISTRY_URL": "http://registry.bank:8081", "SCORER_REGISTRY_USER": "a:b"}
    with pytest.raises(BadInput, match="SCORER_REGISTRY_USER is set: want https"):
        Settings.load(environ=environ)
    for given in (
        {"SCORER_ALLOW_INSECURE": "true"},
        {"SCORER_REGISTRY_URL": "https://registry.bank"},
        {"SCORER_REGISTRY_URL": "http://127.0.0.1:8081/apis"},
    ):
        settings = Settings.load(environ=environ | given)
        assert settings.shown()["registry_user"] == "***"
        assert "a:b" not in repr(settings)


def test_address_of_a_registry_holds_no_password() -> None:
    with pytest.raises(BadInput, match="SCORER_REGISTRY_URL") as caught:
        Settings.load(environ={"SCORER_REGISTRY_URL": "https://a:hidden@registry.bank"})
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CONSOLE_DATABASE", "postgresql://u:gehe/im@h/d"),
        ("CONSOLE_DATABASE", "postgresql://u@h/d?password=geheim&sslpassword=geheim"),
        ("CONSOLE_METRICS", "http://u:geheim@h/metrics"),
    ],
)
def test_secret_in_a_url_is_not_shown(name: str, value: str) -> None:
    shown = str(Settings.load(environ={f"SCORER_{name}": value}).shown())
    assert "geheim" not in shown
    assert "gehe/im" not in shown
    assert "***" in shown


def test_secret_in_a_url_that_is_refused_is_not_shown() -> None:
    with pytest.raises(BadInput) as refused:
        Settings.load(environ={"SCORER_REGISTRY_URL": "https://KEY:gehe/im+@registry.example"})
    assert "gehe/im" not in str(refused.value)
    assert "//***@registry.example" in str(refused.value)
