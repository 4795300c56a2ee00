"""The SCORER_ settings as faust's and aiokafka's, or why that cannot be."""

import ssl
from collections.abc import Mapping
from typing import Any

from stream_scorer import clients
from stream_scorer.config import Settings, variable
from stream_scorer.errors import BadInput
from stream_scorer.lint import OFF

SECURE = {"ssl", "sasl_ssl"}
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
# Whom we trust, and who we are. Other keys tune librdkafka and mean nothing to aiokafka.
ABOUT_TRUST = ("ssl.", "sasl.", "enable.ssl.", "enable.sasl.", "https.")
TRANSLATED = {
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.key.password",
    "ssl.endpoint.identification.algorithm",
    "enable.ssl.certificate.verification",
    "sasl.mechanism",
    "sasl.username",
    "sasl.password",
}


def broker_urls(settings: Settings) -> list[str]:
    """Return the brokers as faust wants them."""
    servers = clients.bootstrap(settings).split(",")
    return [f"kafka://{each.strip().rpartition('://')[2]}" for each in servers]


def session_s(settings: Settings) -> float:
    """Return for how many seconds an instance may give no sign of life, as for a scorer."""
    config = clients.consumer_config(settings)
    text = config.get("session.timeout.ms", clients.CONSUMER["session.timeout.ms"])
    try:
        return int(text) / 1000
    except ValueError:
        raise BadInput(f"session.timeout.ms is {text!r}: want a whole number") from None


def credentials(settings: Settings) -> dict[str, Any]:
    """Return what `faust.App` takes to get in; raise BadInput for what it does not know."""
    from faust.auth import SASLCredentials, SSLCredentials

    both, consumer, producer = settings.sides
    for side in (consumer, producer):
        for key in side:
            if key.startswith(ABOUT_TRUST) or key in {"security.protocol", "bootstrap.servers"}:
                raise BadInput(f"{key} of one side only: the monitor has one for both")
    for key in both:
        if key.startswith(ABOUT_TRUST) and key not in TRANSLATED:
            raise BadInput(f"{variable(key)} is not known to the monitor's client, aiokafka")
    protocol = both.get("security.protocol", "plaintext").lower()
    context = tls(both) if protocol in SECURE else None
    if protocol.startswith("sasl"):
        mechanism = both.get("sasl.mechanism", "GSSAPI").upper()
        if mechanism not in MECHANISMS:
            raise BadInput(
                f"sasl.mechanism is {mechanism}: the monitor knows {', '.join(MECHANISMS)}"
            )
        return {
            "broker_credentials": SASLCredentials(
                mechanism=mechanism,
                username=both.get("sasl.username"),
                password=both.get("sasl.password"),
                ssl_context=context,
            )
        }
    return {"broker_credentials": SSLCredentials(context)} if context else {}


def tls(config: Mapping[str, str]) -> ssl.SSLContext:
    """Return the client's side of TLS of librdkafka's keys."""
    try:
        context = ssl.create_default_context(cafile=config.get("ssl.ca.location"))
        if config.get("ssl.certificate.location"):
            context.load_cert_chain(
                config["ssl.certificate.location"],
                config.get("ssl.key.location"),
                config.get("ssl.key.password"),
            )
    except OSError as exc:  # ssl.SSLError is one, too
        raise BadInput(
            f"a file of the ssl. settings cannot be used: {exc.strerror or exc}"
        ) from exc
    if config.get("ssl.endpoint.identification.algorithm", "https").lower() == "none":
        context.check_hostname = False
    if config.get("enable.ssl.certificate.verification", "true").lower() in OFF:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
