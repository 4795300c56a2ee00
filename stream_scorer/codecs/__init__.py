"""Wire formats: the values of one batch -> one feature matrix, and rejects for what has no row.

To add a format: one module with a decoder class, one line in `CODECS`.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from stream_scorer.codecs.json import JsonDecoder
from stream_scorer.config import Settings
from stream_scorer.errors import BadInput
from stream_scorer.records import Matrix, Reject


class Decoder(Protocol):
    """Decodes the features that it was made for."""

    def __call__(
        self, values: Sequence[bytes | None]
    ) -> tuple[Matrix, list[int], dict[int, Reject]]:
        """Return float64 (kept, features), kept and rejects; row i is values[kept[i]]."""
        ...

    def doubled(
        self, values: Sequence[bytes | None], kept: Sequence[int]
    ) -> tuple[list[int], dict[int, Reject]]:
        """Return those of `kept`, indexes of values that decoded, in which a name stands twice.

        And a reject for each that cannot be looked at.
        """
        ...

    def transaction_id(self, value: bytes) -> str | None:
        """Return the id that the event itself carries, if it does."""
        ...


MakeDecoder = Callable[[Sequence[str]], Decoder]


def by_schema(settings: Settings) -> MakeDecoder:
    """Return what makes a decoder of Avro; raise BadInput where its libraries are not there."""
    from stream_scorer import registry  # its client takes a tenth of a second to import

    try:
        from stream_scorer.codecs.avro import AvroDecoder
    except ImportError as exc:
        raise BadInput(registry.MISSING_EXTRA) from exc
    return partial(AvroDecoder, find_schema=registry.connect(settings).schema)


CODECS: dict[str, Callable[[Settings], MakeDecoder]] = {
    "json": lambda _: JsonDecoder,
    "avro": by_schema,
}


def decoder_maker(settings: Settings) -> MakeDecoder:
    """Return what makes a decoder of the settings' format."""
    return CODECS[settings.format](settings)
