"""Where a brought model's scaling comes from: the origin's pickle, a TOML file, or nowhere."""

import difflib
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.pickled import read_scaler
from models.scaling import Scaling
from stream_scorer.errors import BadInput

# The origin scaled these two and no others.
AMOUNT, TIME = "Amount", "Time"
# What a RobustScaler fitted on the raw Amount of the ULB data holds: median and quartile distance.
ULB_CENTER, ULB_SCALE = 22.0, 71.565
# A scaler within this of 0 and 1 was fitted on values that had been scaled before.
IDENTITY_WITHIN = 1e-6
PAIRS = ({"center", "scale"}, {"min", "max"})


@dataclass(frozen=True, slots=True)
class Affine:
    """One feature's scaling: (raw - center) / scale."""

    center: float
    scale: float


def from_pickle(
    path: Path, *, amount_center: float | None, amount_scale: float | None
) -> dict[str, Affine]:
    """Return the scaling of the origin's `vectorize.pkl`; nothing in the file is run.

    Its Amount was scaled before it was fitted, so that it changes nothing and the raw Amount would
    reach the net: that is refused, unless the values are given.
    """
    found = read_scaler(path)
    given = amount_center is not None and amount_scale is not None
    identity = (
        abs(found.amount_center) < IDENTITY_WITHIN and abs(found.amount_scale - 1) < IDENTITY_WITHIN
    )
    if identity and not given:
        raise BadInput(
            f"{path}: its scaler does nothing to {AMOUNT} (centre {found.amount_center:g}, scale "
            f"{found.amount_scale:g}): it was fitted on an {AMOUNT} that had been scaled already, "
            "so the raw one would reach the net; give the values of the raw one, for the ULB data "
            f"--amount-center {ULB_CENTER:g} --amount-scale {ULB_SCALE:g}"
        )
    if given and not identity:
        raise BadInput(
            f"{path}: its scaler has {AMOUNT} centre {found.amount_center:g}, scale "
            f"{found.amount_scale:g}: want that or --amount-center and --amount-scale, not both"
        )
    center = amount_center if amount_center is not None else found.amount_center
    scale = amount_scale if amount_scale is not None else found.amount_scale
    return {
        TIME: check(Affine(found.time_min, found.time_max - found.time_min), f"{path}: {TIME}"),
        AMOUNT: check(Affine(center, scale), f"{path}: {AMOUNT}"),
    }


def from_toml(path: Path) -> dict[str, Affine]:
    """Return the scaling of a TOML file: a table a feature, center and scale, or min and max."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise BadInput(f"--scaling {path}: {exc.strerror or exc}") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise BadInput(f"{path} is not TOML: {exc}") from exc
    try:
        return {name: to_affine(table, f"{path}: {name}") for name, table in tables.items()}
    except OverflowError as exc:
        raise BadInput(f"{path} holds a number that no float64 holds") from exc


def to_affine(table: object, where: str) -> Affine:
    """Return one feature's scaling; raise BadInput that says where it is wrong."""
    numbers = table if isinstance(table, dict) else {}
    plain = all(isinstance(v, int | float) and not isinstance(v, bool) for v in numbers.values())
    if set(numbers) not in PAIRS or not plain:
        raise BadInput(f"{where} is {table!r}: want numbers, center and scale or min and max")
    if "min" in numbers:
        return check(Affine(numbers["min"], numbers["max"] - numbers["min"]), where)
    return check(Affine(numbers["center"], numbers["scale"]), where)


def check(affine: Affine, where: str) -> Affine:
    """Return a scaling that has a meaning."""
    if not math.isfinite(affine.center) or not 0 < affine.scale < math.inf:
        raise BadInput(
            f"{where} has centre {affine.center:g} and scale {affine.scale:g}: want finite numbers "
            "and a scale above 0"
        )
    return affine


def to_scaling(affines: Mapping[str, Affine], names: tuple[str, ...]) -> Scaling:
    """Return the scaling of all features, by name; one that is not named stays as it is."""
    for name in affines:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1, cutoff=0.0)
            raise BadInput(
                f"the scaling names {name!r}, which is no feature; did you mean {near[0]!r}?"
            )
    centre, factor = np.zeros(len(names)), np.ones(len(names))
    for name, affine in affines.items():
        centre[names.index(name)] = affine.center
        factor[names.index(name)] = 1 / affine.scale
    return Scaling(centre, factor, math.inf)
