"""What is done with records that are odd: tombstones, keys that stand twice, limits, size."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Self

from stream_scorer.config import LARGEST_RECORD_BYTES, Settings
from stream_scorer.errors import BadInput

Limits = Mapping[str, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Policy:
    """The answers of the settings; those of the class take all that can be scored."""

    skip_tombstones: bool = False
    duplicate_keys: Literal["last", "count", "reject"] = "last"
    # Bytes. A larger value is not parsed, so that no record takes long.
    largest_record_bytes: int = LARGEST_RECORD_BYTES
    # Feature -> lowest and highest value that is scored, both included.
    limits: Limits = field(default_factory=dict)

    @classmethod
    def of(cls, settings: Settings, feature_names: Sequence[str]) -> Self:
        """Return the policy for a model; raise BadInput if it has no feature that is limited."""
        for name in settings.limits:
            if name not in feature_names:
                near = difflib.get_close_matches(name, feature_names, n=1, cutoff=0.0)
                raise BadInput(
                    f"SCORER_LIMITS names {name!r}: the model has no such feature; did you mean "
                    f"{near[0]}?"
                )
        return cls(
            skip_tombstones=settings.tombstones == "skip",
            duplicate_keys=settings.duplicate_keys,
            largest_record_bytes=settings.largest_record_bytes,
            limits=settings.limits,
        )
