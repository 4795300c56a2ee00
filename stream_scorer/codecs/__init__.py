"""Wire formats: the values of one batch -> one feature matrix, and rejects for what has no row.

To add a format: one module with a decoder class, one line in `CODECS`.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from stream_scorer.codecs.json import JsonDecoder
from stream_scorer.records import Matrix, Reject


class Decoder(Protocol):
    """Decodes the features that it was made for."""

    def __call__(
        self, values: Sequence[bytes | None]
    ) -> tuple[Matrix, list[int], dict[int, Reject]]:
        """Return float64 (kept, features), kept and rejects; row i is values[kept[i]]."""
        ...

    def doubled(self, values: Sequence[bytes | None], kept: Sequence[int]) -> list[int]:
        """Return those of `kept`, indexes of values that decoded, in which a name stands twice."""
        ...

    def transaction_id(self, value: bytes) -> str | None:
        """Return the id that the event itself carries, if it does."""
        ...


CODECS: dict[str, Callable[[Sequence[str]], Decoder]] = {"json": JsonDecoder}
