"""When a certificate ends is told, of each that is ours, as it is in use."""

from datetime import UTC, datetime
from pathlib import Path

import trustme
from prometheus_client import CollectorRegistry, generate_latest

from stream_scorer.certificates import expose, not_after
from stream_scorer.config import Settings

NAME = "scorer_certificate_expires_timestamp_seconds"
SOON, LATER = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC), datetime(2031, 1, 1, tzinfo=UTC)


def write(path: Path, ends: datetime) -> Path:
    """Write a certificate with its authority's behind it, as a chain is written."""
    authority = trustme.CA()
    blobs = authority.issue_cert("localhost", not_after=ends).cert_chain_pems
    path.write_bytes(b"".join(blob.bytes() for blob in (*blobs, authority.cert_pem)))
    return path


def ends(registry: CollectorRegistry, name: str) -> float | None:
    return registry.get_sample_value(NAME, {"file": name})


def test_own_certificates_are_told_as_they_are_in_use(tmp_path: Path) -> None:
    http, client = write(tmp_path / "http.pem", SOON), write(tmp_path / "client.pem", LATER)
    kafka = {"ssl.certificate.location": str(client), "ssl.ca.location": "/ca.pem"}
    registry, schemas = CollectorRegistry(), write(tmp_path / "registry.pem", LATER)
    expose(registry, Settings(http_certificate=http, registry_certificate=schemas, kafka=kafka))
    assert ends(registry, str(http)) == SOON.timestamp()
    assert ends(registry, str(client)) == ends(registry, str(schemas)) == LATER.timestamp()
    write(http, LATER)
    assert ends(registry, str(http)) == SOON.timestamp(), "TLS has read it already"


def test_file_that_is_gone_or_holds_none_has_no_value(tmp_path: Path) -> None:
    (tmp_path / "text.pem").write_text("no certificate")
    assert not_after(tmp_path / "text.pem") is None
    assert not_after(tmp_path / "gone.pem") is None


def test_without_a_certificate_there_is_no_metric() -> None:
    registry = CollectorRegistry()
    expose(registry, Settings())
    assert NAME not in generate_latest(registry).decode()
