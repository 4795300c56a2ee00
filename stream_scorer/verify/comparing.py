"""A published alert beside the same alert made again: what differs, field by field."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec

Path = tuple[str | int, ...]  # of a field: ("model", "sha256")

# What another kind of processor may change (model.py's TOLERANCE): the last bits of the score...
TOLERANCE = 1e-6
# ... and, by way of them, the last digit to which a reason's effect is rounded (reasons.py).
EFFECT_TOLERANCE = 1.001e-3
ABSENT: Final = "(absent)"
WRITING: Final = "(how the JSON is written)"


@dataclass(frozen=True, slots=True)
class Difference:
    """One field that differs; `published` and `again` are decoded JSON."""

    field: str  # model.sha256, reasons.0.effect, ...
    published: Any
    again: Any


@dataclass(frozen=True, slots=True)
class Comparison:
    """What differs; `tolerated`: only numbers, by no more than another processor may change."""

    differences: tuple[Difference, ...]
    tolerated: bool = False


def compare(published: bytes, again: bytes) -> Comparison:
    """Compare an alert's bytes as published with those made again; both are JSON objects.

    Equal bytes have no differences. Otherwise every field that differs is named. They are tolerated
    if they are only the probability (within 1e-6), the logit (within 1e-6 of itself, or 1e-6) and
    reasons' effects (within 0.001), and `again` with the published numbers has the published bytes.
    """
    if published == again:
        return Comparison(())
    old, new = msgspec.json.decode(published), msgspec.json.decode(again)
    found = [*walk((), old, new)]
    differences = tuple(Difference(".".join(map(str, path)), a, b) for path, a, b in found)
    if not found:
        return Comparison((Difference(WRITING, f"{len(published)} bytes", f"{len(again)} bytes"),))
    if not all(is_tolerated(*each) for each in found):
        return Comparison(differences)
    for path, value, _ in found:
        put(new, path, value)
    return Comparison(differences, tolerated=msgspec.json.encode(new) == published)


def walk(path: Path, old: Any, new: Any) -> Iterator[tuple[Path, Any, Any]]:  # noqa: ANN401 - JSON
    """Yield the place and both values of each leaf that differs; 1, 1.0 and true differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            yield from walk((*path, key), old.get(key, ABSENT), new.get(key, ABSENT))
    elif isinstance(old, list) and isinstance(new, list):
        for i in range(max(len(old), len(new))):
            a, b = (each[i] if i < len(each) else ABSENT for each in (old, new))
            yield from walk((*path, i), a, b)
    elif type(old) is not type(new) or old != new:
        yield path, old, new


def is_tolerated(path: Path, old: Any, new: Any) -> bool:  # noqa: ANN401 - JSON
    """Tell whether another processor may be the cause of a difference."""
    if not (isinstance(old, float) and isinstance(new, float)):
        return False
    off = abs(old - new)
    match path:
        case ("probability",):
            return off <= TOLERANCE
        case ("logit",):
            return off <= TOLERANCE * max(1.0, abs(old), abs(new))
        case ("reasons", int(), "effect"):
            return off <= EFFECT_TOLERANCE
    return False


def put(into: Any, path: Path, value: object) -> None:  # noqa: ANN401 - JSON
    """Set the field at a place that is there."""
    for step in path[:-1]:
        into = into[step]
    into[path[-1]] = value
