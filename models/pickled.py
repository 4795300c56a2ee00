"""Takes the numbers out of a pickled scaler without running anything that the pickle names.

A pickle is a program: whoever wrote it decides what is called when it is loaded. Here every name in
it leads to one of the inert classes below, which keep what they are given; any other name is
refused.
"""

import io
import pickle
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from stream_scorer.errors import BadInput

# The origin's file: {"robust_scaler": RobustScaler(), "time_min": number, "time_max": number}.
SCALER, TIME_MIN, TIME_MAX = "robust_scaler", "time_min", "time_max"
# Bytes. A scaler's pickle has about 600; what is much larger is something else.
LARGEST_BYTES = 1_000_000
# numpy's letters for kinds of numbers: boolean, integer, unsigned, float.
NUMBER_KINDS = "biuf"


@dataclass(frozen=True, slots=True)
class PickledScaler:
    """The numbers of the origin's `vectorize.pkl`: Amount's centre and scale, Time's range."""

    amount_center: float
    amount_scale: float
    time_min: float
    time_max: float


class Inert:
    """Stands for a class or a function of the pickle; keeps what it is given and does nothing."""

    def __new__(cls, *_: object) -> Self:
        return super().__new__(cls)

    def __init__(self, *arguments: object) -> None:
        self.arguments = arguments
        self.state: Any = None

    def __setstate__(self, state: object) -> None:
        self.state = state


class Scaler(Inert):
    """A `RobustScaler`."""


class Array(Inert):
    """A numpy array or scalar, whichever way numpy's version wrote it."""


class Dtype(Inert):
    """A numpy dtype."""


def reconstruct(_: object, __: object, state: object = None) -> Scaler:
    """Stand for `copyreg._reconstructor`, by which protocols 0 and 1 make an object."""
    made = Scaler()
    made.state = state
    return made


def to_bytes(text: object, encoding: object = "latin1") -> bytes:
    """Stand for `_codecs.encode`, by which protocols 0 to 2 write bytes."""
    if not isinstance(text, str) or encoding != "latin1":
        raise BadInput(f"its bytes are written as {encoding!r}: want latin1")
    return text.encode("latin1")


def empty_bytes() -> bytes:
    """Stand for `builtins.bytes`, by which protocols 0 to 2 write no bytes."""
    return b""


# All that a scaler's pickle names, over the versions of scikit-learn and numpy.
ALLOWED: Mapping[tuple[str, str], Any] = {
    **dict.fromkeys(
        [
            ("sklearn.preprocessing._data", "RobustScaler"),
            ("sklearn.preprocessing.data", "RobustScaler"),
        ],
        Scaler,
    ),
    **{
        (f"{core}.multiarray", name): Array
        for core in ("numpy.core", "numpy._core")
        for name in ("_reconstruct", "scalar")
    },
    **{(f"{core}.numeric", "_frombuffer"): Array for core in ("numpy.core", "numpy._core")},
    ("numpy", "ndarray"): Array,
    ("numpy", "dtype"): Dtype,
    ("copyreg", "_reconstructor"): reconstruct,
    ("copy_reg", "_reconstructor"): reconstruct,
    ("builtins", "object"): Inert,
    ("__builtin__", "object"): Inert,
    ("_codecs", "encode"): to_bytes,
    ("builtins", "bytes"): empty_bytes,
    ("__builtin__", "bytes"): empty_bytes,
}


class Reader(pickle.Unpickler):
    """An unpickler that knows the names in ALLOWED and no others."""

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - pickle's signature
        """Return what stands for a name; raise BadInput for one that no scaler needs."""
        try:
            return ALLOWED[module, name]
        except KeyError:
            called = ascii(f"{module}.{name}")[1:-1]  # it may hold a terminal's commands
            raise BadInput(
                f"it names {called}, which a scaler does not need and which is not loaded"
            ) from None


def read_scaler(path: Path) -> PickledScaler:
    """Return the numbers of a `vectorize.pkl`; raise BadInput that names what is not wanted."""
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise BadInput(f"{path} has {path.stat().st_size:,} bytes: no scaler is so large")
        content = path.read_bytes()
    except OSError as exc:
        raise BadInput(f"--scaler {path}: {exc.strerror or exc}") from exc
    try:
        return to_scaler(load(content))
    except BadInput as exc:
        raise BadInput(f"{path}: {exc}") from None
    except (ValueError, RecursionError) as exc:  # a key that cannot even be shown
        raise BadInput(f"{path}: no pickle of a scaler: {type(exc).__name__}") from None


def load(content: bytes) -> object:
    """Return the pickled object, made of plain values and inert stand-ins."""
    try:
        return Reader(io.BytesIO(content)).load()
    except BadInput:
        raise
    # A pickle is a stranger's program for a small machine; it can fail in any of its steps.
    except Exception as exc:
        raise BadInput(f"no pickle of a scaler: {type(exc).__name__}") from exc


def to_scaler(found: object) -> PickledScaler:
    """Take the numbers wanted; raise BadInput for anything missing or besides."""
    if not isinstance(found, dict):
        raise BadInput(f"it holds a {type(found).__name__}: want a dictionary")
    wanted = {SCALER, TIME_MIN, TIME_MAX}
    if set(found) != wanted:
        odd = ", ".join(sorted(map(repr, set(found) ^ wanted)))
        raise BadInput(f"want the keys {', '.join(sorted(wanted))}, and not more; see {odd}")
    scaler = found[SCALER]
    if not isinstance(scaler, Scaler) or not isinstance(scaler.state, dict):
        raise BadInput(f"{SCALER} is no fitted RobustScaler")
    center, scale = (attribute(scaler.state, name) for name in ("center_", "scale_"))
    return PickledScaler(
        center, scale, number(found[TIME_MIN], TIME_MIN), number(found[TIME_MAX], TIME_MAX)
    )


def attribute(state: dict[Any, Any], name: str) -> float:
    """Return the one number of a fitted array; other attributes are not looked at."""
    if state.get(name) is None:
        raise BadInput(f"{SCALER} has no {name}: it was not fitted, or without that part")
    return number(state[name], f"{SCALER}.{name}")


def number(value: object, name: str) -> float:
    """Return a plain number, a numpy scalar or an array of one number as a float."""
    if isinstance(value, int | float):
        found = np.array([value if abs(value) <= sys.float_info.max else np.inf])
    elif isinstance(value, Array):
        found = to_numbers(value, name)
    else:
        raise BadInput(f"{name} is a {type(value).__name__}: want a number")
    if found.size != 1 or not np.isfinite(found).all():
        raise BadInput(f"{name} holds {found.tolist()}: want one finite number")
    return float(found[0])


def to_numbers(array: Array, name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the numbers of an inert array, float64 (n,).

    numpy writes an array's state as (version, shape, dtype, Fortran order, bytes), or gives
    `_frombuffer` (bytes, dtype, shape, order), and `scalar` (dtype, bytes).
    """
    parts = array.state if array.state is not None else array.arguments
    if not isinstance(parts, tuple):
        raise BadInput(f"{name} is no array that numpy writes")
    dtype = next((each for each in parts if isinstance(each, Dtype)), None)
    raw = next((each for each in parts if isinstance(each, bytes | bytearray)), None)
    if dtype is None or raw is None:
        raise BadInput(f"{name} is an array of objects: want numbers")
    code = dtype.arguments[0] if dtype.arguments else None
    order = dtype.state[1] if isinstance(dtype.state, tuple) and len(dtype.state) > 1 else "|"
    if (
        not isinstance(code, str)
        or code[:1] not in NUMBER_KINDS
        or order not in {"<", ">", "|", "="}
    ):
        raise BadInput(f"{name} is an array of {code!r}: want numbers")
    try:
        return np.frombuffer(bytes(raw), dtype=f"{order}{code}").astype(np.float64)
    except (TypeError, ValueError) as exc:
        raise BadInput(f"{name} is a broken array: {exc}") from exc
