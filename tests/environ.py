"""What a process of ours inherits: this one's environment, and nobody's settings."""

import os


def own_environ() -> dict[str, str]:
    """Return the environment without `SCORER_` variables."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SCORER_")}
