"""Says what in a client's settings would show a password, or trust anybody, on a network."""

import ipaddress
import re
from collections.abc import Mapping

# Mechanisms that send what opens the door; SCRAM proves that it knows it instead.
TELLING = {"PLAIN", "OAUTHBEARER"}
PROTOCOLS_IN_THE_CLEAR = {"plaintext", "sasl_plaintext"}
OFF = {"false", "0", "no", "f", "n"}


def insecure(config: Mapping[str, str]) -> str:
    """Return what is insecure about librdkafka keys, empty if nothing is.

    On the loopback interface everything may be: nobody listens. librdkafka takes a space before
    some values, and so do we.
    """
    config = {key: value.strip() for key, value in config.items()}
    if told_in_the_clear(config.get("sasl.oauthbearer.token.endpoint.url", "")):
        return "sasl.oauthbearer.token.endpoint.url is told the secret in the clear: want https://"
    if loopback(config.get("bootstrap.servers", "127.0.0.1")):
        return ""
    return in_the_clear(config) or unverified(config)


def in_the_clear(config: Mapping[str, str]) -> str:
    """Return what would send a secret for all to read."""
    protocol = config.get("security.protocol", "plaintext").lower()
    mechanism = config.get("sasl.mechanism", "GSSAPI").upper()
    if protocol == "sasl_plaintext" and mechanism in TELLING:
        return f"sasl.mechanism {mechanism} over sasl_plaintext sends the secret in the clear"
    if protocol == "plaintext" and "sasl.password" in config:
        return "sasl.password is set and security.protocol is plaintext: want sasl_ssl"
    return ""


def unverified(config: Mapping[str, str]) -> str:
    """Return what would take anybody for the broker."""
    if config.get("security.protocol", "plaintext").lower() in PROTOCOLS_IN_THE_CLEAR:
        return ""
    if config.get("enable.ssl.certificate.verification", "true").lower() in OFF:
        return "enable.ssl.certificate.verification is off: anybody could be the broker"
    if config.get("ssl.endpoint.identification.algorithm", "https").lower() == "none":
        return "ssl.endpoint.identification.algorithm is none: any host could be the broker"
    return ""


def told_in_the_clear(url: str) -> bool:
    """Tell whether what is sent to a URL goes to another machine without TLS.

    Who signs in stands before the host, and may look like one: http://127.0.0.1:1@elsewhere.
    """
    scheme, _, rest = url.partition("://")
    host = re.split("[/?#]", rest)[0].rpartition("@")[2]
    return scheme.lower() == "http" and not is_loopback(host)


def loopback(servers: str) -> bool:
    """Tell whether all of `host:port,...` are this machine."""
    return all(is_loopback(each.strip()) for each in servers.split(","))


def is_loopback(server: str) -> bool:
    """Tell whether one `host:port`, `[v6]:port` or `protocol://host:port` is this machine."""
    address = server.rpartition("://")[2]
    host = address[1:].partition("]")[0] if address.startswith("[") else address.split(":")[0]
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
