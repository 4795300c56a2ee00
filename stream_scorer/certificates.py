"""When the certificates that this process shows to others end, for an alert before they do."""

import ssl
from collections.abc import Iterator, Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from stream_scorer.config import Settings


class Certificates(Collector):
    """`scorer_certificate_expires_timestamp_seconds`, read from the files at each scrape.

    So a certificate that was renewed on disk is seen, whether it is in use already or not.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        """Look at these PEM files; of a chain the first certificate counts, as it is one's own."""
        self._files = files

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield one value for each file that can be read; what cannot has no value."""
        family = GaugeMetricFamily(
            "scorer_certificate_expires_timestamp_seconds",
            "When a certificate of our own ends, Unix time.",
            labels=["file"],
        )
        for file in self._files:
            ends = not_after(file)
            if ends is not None:
                family.add_metric([file.name], ends)
        yield family


def own_files(settings: Settings) -> list[Path]:
    """Return the files of the certificates that the settings name: ours, not the authorities'."""
    both, consumer, producer = settings.sides
    named = [side.get("ssl.certificate.location") for side in (both, consumer, producer)]
    return sorted(
        {Path(str(name)) for name in named if name}
        | ({settings.http_certificate} if settings.http_certificate else set())
    )


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
    """Register the metric, if there is a certificate to look at."""
    files = own_files(settings)
    if files:
        registry.register(Certificates(files))
