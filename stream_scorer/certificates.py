"""When the certificates that this process shows to others end, for an alert before they do."""

import ssl
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge

from stream_scorer.config import Settings


def own_files(settings: Settings) -> list[Path]:
    """Return the files of the certificates that the settings name: ours, not the authorities'."""
    both, consumer, producer = settings.sides
    named = [side.get("ssl.certificate.location") for side in (both, consumer, producer)]
    ours = (settings.http_certificate, settings.registry_certificate)
    return sorted({Path(str(name)) for name in (*named, *ours) if name})


def not_after(file: Path) -> float | None:
    """Return when a PEM file's first certificate ends, Unix time; None if it holds none.

    By CPython's own decoder, which the standard library's `ssl` has for its tests: nothing public
    there reads a certificate that nobody has sent.
    """
    try:
        found = ssl._ssl._test_decode_cert(str(file))  # type: ignore[attr-defined] # noqa: SLF001
    except (OSError, ssl.SSLError):
        return None
    return float(ssl.cert_time_to_seconds(found["notAfter"]))


def expose(registry: CollectorRegistry, settings: Settings) -> None:
    """Tell when the certificates end that this process begins with; of what cannot be read nothing.

    TLS reads a file at the start only, so one that is renewed on disk changes nothing here.
    """
    ends = {str(file): not_after(file) for file in own_files(settings)}
    if not ends:
        return
    shown = gauge(registry)
    for name, end in ends.items():
        if end is not None:
            shown.labels(name).set(end)


def gauge(registry: CollectorRegistry) -> Gauge:
    """Register the metric, with no file yet."""
    return Gauge(
        "scorer_certificate_expires_timestamp_seconds",
        "When a certificate of our own ends that is in use, Unix time.",
        ["file"],
        registry=registry,
    )
