"""What `Time` does to the scores, measured on the exported file."""

from models.bundle import score
from models.transactions import TIME, Floats

# Seconds: a file that starts a month later, and clocks that count from 1970.
SHIFTS_S = {"30 days later": 30 * 86_400.0, "as epoch seconds": 1_700_000_000.0}


def time_effect(content: bytes, features: Floats) -> list[dict[str, object]]:
    """Return for each shift the largest change of any row's score; `features` float64 (n, 30)."""
    logit, probability = score(content, features)
    found: list[dict[str, object]] = []
    for text, seconds in SHIFTS_S.items():
        shifted = features.copy()
        shifted[:, TIME] += seconds
        later_logit, later_probability = score(content, shifted)
        found.append(
            {
                "shift": text,
                "shift_s": seconds,
                "largest_logit_change": float(abs(later_logit - logit).max()),
                "largest_probability_change": float(abs(later_probability - probability).max()),
            }
        )
    return found
